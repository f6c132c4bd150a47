// How activations lie in device memory, and the way between that and logical order on the host (tests, checks,
// exports).
#include "backend/cuda/layout.hpp"

#include <bit>
#include <cstring>

#include "backend/cuda/plans.hpp"
#include "backend/math.hpp"

namespace trainmark::cuda {

TensorDesc activation_desc(const Shape& shape, DType dtype) {
  return {shape, dtype, shape.rank() > 2 ? channels_last : logical_layout};
}
std::vector<TensorDesc> as_activations(const std::vector<TensorDesc>& outputs) {
  std::vector<TensorDesc> descs;
  for (const TensorDesc& output : outputs)
    descs.push_back(activation_desc(output.shape, output.dtype));
  return descs;
}
Shape stored_shape(const TensorDesc& desc) {
  Shape shape = desc.shape;
  if (desc.layout != logical_layout) shape[1] = padded(shape[1]);
  if (desc.layout == packed_weights) shape[0] = padded(shape[0]);
  return shape;
}
std::size_t stored_bytes(const TensorDesc& desc) {
  return static_cast<std::size_t>(stored_shape(desc).elements()) * size_of(desc.dtype);
}

namespace {

float read(const std::byte* from, DType type) {
  if (type == DType::f32) {
    float value = 0.0F;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }
  std::uint16_t half = 0;
  std::memcpy(&half, from, sizeof(half));
  return type == DType::bf16 ? from_bf16(half) : from_f16(half);
}
void write(std::byte* to, DType type, float value) {
  if (type == DType::f32) {
    std::memcpy(to, &value, sizeof(value));
    return;
  }
  const std::uint16_t half = type == DType::bf16 ? to_bf16(value) : to_f16(value);
  std::memcpy(to, &half, sizeof(half));
}

/// Calls `each(logical index, stored index)` for every element that exists.
template <class Each>
void for_each_element(const TensorDesc& desc, Each&& each) {
  if (desc.layout == logical_layout) {  // the others have axis 1 last, and padding at the end of axis 0 is no concern
    for (std::int64_t i = 0; i < desc.shape.elements(); ++i)
      each(i, i);
    return;
  }
  const std::int64_t channels = desc.shape[1];
  const std::int64_t stored = padded(channels);
  const std::int64_t points = desc.shape.elements() / (desc.shape[0] * channels);
  for (std::int64_t n = 0; n < desc.shape[0]; ++n)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < points; ++p)
        each((n * channels + c) * points + p, (n * points + p) * stored + c);
}

}  // namespace

void to_logical_order(const TensorDesc& desc, const std::byte* from, float* to) {
  const auto size = static_cast<std::int64_t>(size_of(desc.dtype));
  for_each_element(desc,
                   [&](std::int64_t at, std::int64_t stored) { to[at] = read(from + stored * size, desc.dtype); });
}
void from_logical_order(const TensorDesc& desc, const float* from, std::byte* to) {
  const auto size = static_cast<std::int64_t>(size_of(desc.dtype));
  std::memset(to, 0, stored_bytes(desc));  // padding is zero
  for_each_element(desc,
                   [&](std::int64_t at, std::int64_t stored) { write(to + stored * size, desc.dtype, from[at]); });
}

}  // namespace trainmark::cuda
