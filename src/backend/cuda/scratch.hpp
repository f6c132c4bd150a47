// Lays the pieces of one plan's scratch memory out, each aligned for vector access.
#pragma once

#include <cstddef>

namespace trainmark::cuda {

class Scratch {
 public:
  /// Offset of a piece of `bytes`.
  [[nodiscard]] std::size_t take(std::size_t bytes) noexcept {
    const std::size_t offset = bytes_;
    bytes_ += (bytes + alignment - 1) / alignment * alignment;
    return offset;
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  static constexpr std::size_t alignment = 256;
  std::size_t bytes_ = 0;
};

}  // namespace trainmark::cuda
