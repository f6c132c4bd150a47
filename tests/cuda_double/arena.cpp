// The double's memory: fresh memory is poisoned (NaN in every type), freed memory is taken away, and every block ends
// at a page that cannot be touched. The few bytes that alignment leaves around a block are checked when it is freed.
#include <fmt/format.h>
#include <sys/mman.h>

#include <cstring>

#include "cuda_double/device.hpp"

namespace trainmark::cuda_double {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t alignment = 256;
constexpr int fresh = 0xFF, margin = 0xA5;
std::size_t rounded(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

Arena::Arena() {
  void* memory = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  begin_ = next_ = static_cast<char*>(memory);
}

void* Arena::allocate(std::size_t bytes, MemoryKind kind) {
  const std::size_t pages = rounded(rounded(bytes, alignment), page);
  if (kind == MemoryKind::device) open();
  if (next_ + page + pages + page > begin_ + size) return nullptr;
  char* first = next_ + page;
  if (mprotect(first, pages, PROT_READ | PROT_WRITE) != 0) return nullptr;
  next_ = first + pages;
  char* begin = first + pages - rounded(bytes, alignment);
  std::memset(first, margin, pages);
  std::memset(begin, fresh, bytes);
  blocks_[first] = {begin, bytes, kind, true, count_++};
  used_[static_cast<std::size_t>(kind)] += bytes;
  return begin;
}

void Arena::check_margins(const MemoryBlock& block) const {
  const char* first = std::prev(blocks_.upper_bound(block.begin))->first;
  const auto touched = [](const char* from, const char* to) {
    while (from < to && *from == static_cast<char>(margin))
      ++from;
    return from < to;
  };
  if (touched(first, block.begin)) add_finding(fmt::format("something wrote before {}", describe(block.begin)));
  const char* end = block.begin + block.bytes;
  if (touched(end, block.begin + rounded(block.bytes, alignment)))
    add_finding(fmt::format("something wrote past the end of {}", describe(block.begin)));
}

bool Arena::release(void* memory, MemoryKind kind) {
  const auto after = blocks_.upper_bound(static_cast<const char*>(memory));
  if (after == blocks_.begin()) return false;
  auto& [first, block] = *std::prev(after);
  if (block.begin != memory || !block.live || block.kind != kind) return false;
  open();
  check_margins(block);
  block.live = false;
  used_[static_cast<std::size_t>(kind)] -= block.bytes;
  const std::size_t pages = rounded(rounded(block.bytes, alignment), page);
  char* start = const_cast<char*>(first);
  madvise(start, pages, MADV_DONTNEED);
  mprotect(start, pages, PROT_NONE);
  return true;
}

void Arena::protect(int protection) {
  for (const auto& [first, block] : blocks_) {
    if (!block.live || block.kind != MemoryKind::device) continue;
    const std::size_t pages = rounded(rounded(block.bytes, alignment), page);
    if (mprotect(const_cast<char*>(first), pages, protection) != 0) throw std::bad_alloc();
  }
}

void Arena::open() {
  if (!open_ && device().options.closed_to_the_host) protect(PROT_READ | PROT_WRITE);
  open_ = true;
}

void Arena::close() {
  if (open_ && device().options.closed_to_the_host) protect(PROT_NONE);
  open_ = false;
}

void Arena::clear() {
  open_ = false;
  madvise(begin_, static_cast<std::size_t>(next_ - begin_), MADV_DONTNEED);
  mprotect(begin_, static_cast<std::size_t>(next_ - begin_) + page, PROT_NONE);
  blocks_.clear();
  used_ = {};
  next_ = begin_;
  count_ = 0;
}

const MemoryBlock* Arena::find(const void* address) const noexcept {
  const auto after = blocks_.upper_bound(static_cast<const char*>(address));
  return contains(address) && after != blocks_.begin() ? &std::prev(after)->second : nullptr;
}

std::string Arena::describe(const void* address) const {
  const MemoryBlock* block = find(address);
  if (block == nullptr) return contains(address) ? "no block of the device" : fmt::format("{}", address);
  return fmt::format("{}{} block {} ({} bytes) + {}", block->live ? "" : "freed ",
                     block->kind == MemoryKind::device ? "device" : "pinned", block->number, block->bytes,
                     static_cast<const char*>(address) - block->begin);
}

bool check_range(const std::string& who, const Access& access) {
  const Arena& arena = device().arena;
  if (access.bytes == 0 || !arena.contains(access.begin)) return true;
  const MemoryBlock* block = arena.find(access.begin);
  if (block != nullptr && block->holds(access.begin, access.bytes)) return true;
  add_finding(fmt::format("{} {} {} bytes outside live memory: {}", who, access.write ? "writes" : "reads",
                          access.bytes, arena.describe(access.begin)));
  return false;
}

}  // namespace trainmark::cuda_double
