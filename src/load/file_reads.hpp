// Positioned reads that finish or say why not.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "load/region_reader.hpp"

namespace trainmark {

/// Fills `to` from `offset` of the file on, never with what lies beyond its end in a container. Raises Error{data}: cut
/// short, I/O error.
void read_fully(const OpenFile& file, std::uint64_t offset, std::span<std::byte> to);

/// Collects reads of nearby ranges and issues them together: gaps up to `largest_gap` are read and dropped, because a
/// system call (and on a cold file a seek) costs more than copying them.
class GatheredRead {
 public:
  static constexpr std::uint64_t largest_gap = 16 * 1024;
  explicit GatheredRead(const OpenFile& file);
  void add(std::uint64_t offset, std::span<std::byte> to);
  void finish();

 private:
  const OpenFile& file_;
  std::vector<iovec>& pieces_;  // the thread's own, kept for its next read
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace trainmark
