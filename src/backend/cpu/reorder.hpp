// Brings memory from one layout to another. Weights go to a convolution's blocks, and their gradients come back, each
// step: oneDNN 3.2 does that at 8 to 25 GB/s, a third of a bf16 step of DeepCAM. Kernels of our own take 0.3 to 0.9 of
// its time; what they do not know, or are not faster at, is oneDNN's.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

namespace trainmark::cpu {

/// How weights [outer, inner, taps] lie in blocks: of `block` neighbours along one of the first two axes, each with
/// `unit` neighbours along the other next to each other.
struct WeightBlocks {
  std::array<std::int64_t, 2> extents = {};
  std::array<std::int64_t, 2> padded = {};   ///< extents as stored; what is beyond is zero
  std::array<std::int64_t, 2> strides = {};  ///< elements from block to block, or from unit to unit
  std::int64_t taps = 1, tap_stride = 1;
  std::size_t axis = 0;  ///< of `block`
  std::int64_t block = 1;
  std::int64_t unit = 1;
  bool half = false;  ///< bf16, else fp32

  /// Words of a tile that is reordered at a time: 16 KiB.
  static constexpr std::int64_t room = 4096;
  /// Units along the other axis in a tile: as many as fit where they are contiguous in the plain tensor.
  [[nodiscard]] std::int64_t units_of_tile() const noexcept {
    return axis == 0 ? std::clamp<std::int64_t>(room / (block * taps), 1, 64) : 1;
  }
  struct Tiles {
    std::int64_t across, down;  ///< along `axis`, and along the other
  };
  [[nodiscard]] Tiles tiles() const noexcept {
    const std::int64_t step = units_of_tile() * unit;
    return {padded[axis] / block, (padded[1 - axis] + step - 1) / step};
  }
};

class Reorder {
 public:
  Reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to);
  /// May return before it is done: `stream` tells.
  void execute(dnnl::stream& stream, dnnl::memory& from, dnnl::memory& to) const;
  /// Whether it goes by a kernel of our own.
  [[nodiscard]] bool is_ours() const noexcept { return pack_ || unpack_; }

 private:
  std::optional<WeightBlocks> pack_, unpack_;
  std::optional<dnnl::reorder> library_;
};

}  // namespace trainmark::cpu
