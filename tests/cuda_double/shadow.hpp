// What is remembered of every four bytes of memory: the last write and two reads, each as operation, block, thread and
// epochs in 64 bits. Two accesses race if nothing orders them and one of them writes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace trainmark::cuda_double {

/// Counters are kept modulo their width: what wraps around can hide a race, or in rare cases imagine one.
struct Mark {
  std::uint64_t operation : 20 = 0;  // 0: no access; in shared memory the block's serial number
  std::uint64_t thread : 10 = 0;
  std::uint64_t block : 12 = 0;
  std::uint64_t barriers : 10 = 0;
  std::uint64_t warp_syncs : 7 = 0;
  std::uint64_t atomic : 1 = 0;
  std::uint64_t bytes : 4 = 0;  // of the four, as bits
  [[nodiscard]] bool same_moment(const Mark& other) const {
    return same_place(other) && barriers == other.barriers && warp_syncs == other.warp_syncs;
  }
  [[nodiscard]] bool same_place(const Mark& other) const {
    return operation == other.operation && thread == other.thread && block == other.block;
  }
};
static_assert(sizeof(Mark) == 8);

struct Cell {
  Mark write;
  Mark reads[2];
};

/// Cells for a range of memory, taken from the system only where something was accessed.
class Shadow {
 public:
  Shadow(const void* begin, std::size_t bytes);
  Shadow(const Shadow&) = delete;
  Shadow& operator=(const Shadow&) = delete;
  ~Shadow();
  [[nodiscard]] bool covers(const void* address) const { return address >= begin_ && address < begin_ + bytes_; }
  [[nodiscard]] Cell* at(const void* address) const {
    return cells_ + (static_cast<const char*>(address) - begin_) / 4;
  }
  void clear();

 private:
  const char* begin_;
  std::size_t bytes_;
  Cell* cells_;
};

/// One access as it meets the cells. `ordered(mark)` says whether an earlier access is known to be over; returns the
/// first mark that races, or an empty one.
template <class Ordered>
Mark record(Cell* cell, const char* address, std::size_t bytes, Mark mark, bool write, Ordered&& ordered) {
  Mark racing;
  const auto check = [&](const Mark& before) {
    if (before.operation == 0 || (before.bytes & mark.bytes) == 0 || racing.operation != 0) return;
    if (before.same_place(mark) || (before.atomic != 0 && mark.atomic != 0) || ordered(before)) return;
    racing = before;
  };
  const char* const end = address + bytes;
  for (; address < end; ++cell) {
    const auto first = reinterpret_cast<std::uintptr_t>(address) % 4;
    const std::size_t here = std::min<std::size_t>(4 - first, static_cast<std::size_t>(end - address));
    mark.bytes = (((1U << here) - 1U) << first) & 15U;
    check(cell->write);
    // Parts of the four bytes that one thread accesses between two barriers are one access.
    const auto joined = [&](const Mark& before) {
      Mark both = mark;
      if (before.same_moment(mark)) both.bytes |= before.bytes;
      return both;
    };
    if (write) {
      for (const Mark& read : cell->reads)
        check(read);
      *cell = {joined(cell->write), {}};
    } else {
      // A reader replaces itself, or one that is over; two that are at it together are both kept.
      const bool second = cell->reads[0].operation != 0 && !cell->reads[0].same_place(mark) && !ordered(cell->reads[0]);
      Mark& read = cell->reads[second ? 1 : 0];
      read = joined(read);
    }
    address += here;
  }
  return racing;
}

}  // namespace trainmark::cuda_double
