// Between logical order and the order of device memory, on the host.
#pragma once

#include <cstddef>

#include "trainmark/backend.hpp"

namespace trainmark::cuda {

/// Weights in the order of the graphs that read them: O,[D,]H,W,I, both numbers of channels padded.
inline constexpr Layout packed_weights = 2;

/// `from`: stored_bytes(desc) as they lie on the device; `to`: f32, one for each logical element.
void to_logical_order(const TensorDesc& desc, const std::byte* from, float* to);
void from_logical_order(const TensorDesc& desc, const float* from, std::byte* to);

}  // namespace trainmark::cuda
