// A part of a JPEG as RGB, decoded at a reduced scale where that is enough: what libjpeg-turbo offers, with exceptions
// instead of its exit(), and with damaged data as an error instead of a warning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "load/crop.hpp"

namespace trainmark {

/// Why an image cannot be decoded, in words for people. Whoever knows the file makes an Error of it.
class ImageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A rectangle of decoded pixels and where it lies. Coordinates are those of the image reduced by `reduction`.
struct DecodedPart {
  std::span<const std::byte> rgb;  ///< [height][width][3]
  int width = 0, height = 0;
  int left = 0, top = 0;
  int reduction = 1;  ///< 1, 2, 4 or 8: pixels of the image that one of these stands for, along each axis
  [[nodiscard]] std::size_t bytes() const noexcept {
    return static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3;
  }
};
/// All of an image at a reduction, whose pixels lie at `rgb` (null: as large as they would be).
[[nodiscard]] DecodedPart whole_part(const std::byte* rgb, ImageExtent image, int reduction) noexcept;

/// Not thread-safe; costs some kilobytes and keeps its memory from image to image.
class JpegDecoder {
 public:
  JpegDecoder();
  ~JpegDecoder();
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  /// Reads the header. `coded` must stay until decode() has returned. Raises ImageError: no JPEG (other formats are
  /// named), damaged, empty, more than 64 million pixels.
  [[nodiscard]] ImageExtent open(std::span<const std::byte> coded);
  /// All pixels that `box` touches, at the greatest reduction that leaves it at least `extent` pixels along both axes
  /// (1 where there is none), valid until the next call. Grey becomes RGB, CMYK and YCCK are converted without a colour
  /// profile. With `to_the_end` the data behind the box are decoded as well, for their errors. Raises ImageError:
  /// damaged, cut short.
  [[nodiscard]] DecodedPart decode(const CropBox& box, int extent, bool to_the_end = false);
  /// All pixels of the image at a reduction: where a part has them, too, they are the same.
  [[nodiscard]] DecodedPart decode_whole(int reduction);

  /// Of the image opened last, as far as it was decoded: bytes before a marker that belong to nothing, which readers
  /// pass over.
  [[nodiscard]] std::int64_t stray_bytes() const noexcept;

 private:
  DecodedPart decode_reduced(const CropBox& box, int reduction, bool to_the_end);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The greatest of 8, 4, 2, 1 by which a box may be reduced and still be `extent` pixels wide and high.
[[nodiscard]] int reduction_for(const CropBox& box, int extent) noexcept;

}  // namespace trainmark
