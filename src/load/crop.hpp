// Which part of an image becomes a sample: pure arithmetic on extents, without pixels. Random crops are a function of
// (seed, epoch, sample) alone, so they are equal for any number of ranks and threads.
#pragma once

#include <cstdint>

#include "trainmark/core.hpp"
#include "trainmark/load.hpp"

namespace trainmark {

struct ImageExtent {
  int width = 0, height = 0;  ///< in pixels
  bool operator==(const ImageExtent&) const = default;
};

/// A part of an image in its pixels' units: pixel i covers [i, i + 1).
struct CropBox {
  double left = 0.0, top = 0.0, width = 0.0, height = 0.0;
  bool flip = false;  ///< left and right change places
  bool operator==(const CropBox&) const = default;
};

/// An area uniform in the recipe's range of shares, an aspect (width over height) whose logarithm is uniform in its
/// range, a place uniform among those where the box lies inside; flipped in half of all cases. After 100 boxes that do
/// not fit, the largest centred box whose aspect is in the range.
[[nodiscard]] CropBox random_crop(const CodedImages& recipe, ImageExtent image, Rng& random);

/// What a centre crop of `extent` pixels shows once the shorter side was resized to round(256 * extent / 224) pixels.
[[nodiscard]] CropBox centre_crop(ImageExtent image, int extent);

/// The box that a visit of a sample sees.
[[nodiscard]] CropBox crop_of(const CodedImages& recipe, const Cropping& cropping, const Visit& visit,
                              ImageExtent image, int extent);

}  // namespace trainmark
