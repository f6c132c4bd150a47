// Bilinear resampling of a decoded part of an image to a sample.
#pragma once

#include <cstddef>
#include <span>

#include "load/jpeg_decoder.hpp"

namespace trainmark {

/// Writes `box` of the image into `to`, [extent][extent][3]: the mean of the four nearest pixels by distance, pixel
/// centres at halves (align_corners false), neighbours outside of the box's pixels replaced by its outermost ones. In
/// fixed point; a value is within 1 of that of exact arithmetic on the decoded pixels.
void resize_bilinear(const DecodedPart& part, const CropBox& box, int extent, std::span<std::byte> to);

}  // namespace trainmark
