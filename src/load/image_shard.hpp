// The writing side of the layout "jpeg": images are collected, then written as one file's datasets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "load/hdf5_writer.hpp"

namespace trainmark {

/// The images of one file, in memory until they are written.
class ImageShard {
 public:
  void add(std::span<const std::byte> coded, std::int32_t label);
  [[nodiscard]] std::int64_t images() const noexcept { return static_cast<std::int64_t>(labels_.size()); }
  /// `jpeg` u8 [bytes], `offsets` i64 [images + 1], `labels` i32 [images], all contiguous. Raises Error{data}.
  void write(Hdf5Writer& file, bool big_endian = false) const;

 private:
  std::vector<std::byte> bytes_;
  std::vector<std::int64_t> offsets_ = {0};
  std::vector<std::int32_t> labels_;
};

}  // namespace trainmark
