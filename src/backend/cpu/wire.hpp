// Gradients as they travel between ranks: 16-bit floats, which only these loops read.
#pragma once

#include <cstdint>

#include "trainmark/core.hpp"

namespace trainmark::cpu {

/// `wire`: bf16 or f16, rounded to nearest even; what lies beyond its range becomes infinite.
void to_wire(const float* values, std::int64_t count, DType wire, std::uint16_t* to);
void from_wire(const std::uint16_t* from, std::int64_t count, DType wire, float* values);
/// Sums of `parts` rows of `count`, added up in fp32 row after row and rounded once.
void add_up_wire(const std::uint16_t* rows, std::int64_t parts, std::int64_t count, DType wire, std::uint16_t* sums);

}  // namespace trainmark::cpu
