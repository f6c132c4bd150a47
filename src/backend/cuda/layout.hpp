// Between logical order and the order of device memory, on the host.
#pragma once

#include <cstddef>

#include "trainmark/backend.hpp"

namespace trainmark::cuda {

/// `from`: stored_bytes(desc) as they lie on the device; `to`: f32, one for each logical element.
void to_logical_order(const TensorDesc& desc, const std::byte* from, float* to);
void from_logical_order(const TensorDesc& desc, const float* from, std::byte* to);

}  // namespace trainmark::cuda
