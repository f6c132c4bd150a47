// Elements of activations as fp32, one at a time, where a loop is not worth vectors.
#pragma once

#include "backend/math.hpp"

namespace trainmark::cpu {

/// `type`: f32 or bf16.
[[nodiscard]] inline float read(const void* from, std::int64_t at, DType type) {
  return type == DType::f32 ? static_cast<const float*>(from)[at]
                            : from_bf16(static_cast<const std::uint16_t*>(from)[at]);
}
inline void write(void* to, std::int64_t at, DType type, float value) {
  if (type == DType::f32) {
    static_cast<float*>(to)[at] = value;
  } else {
    static_cast<std::uint16_t*>(to)[at] = to_bf16(value);
  }
}

}  // namespace trainmark::cpu
