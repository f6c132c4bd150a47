#include "backend/cpu/wire.hpp"

#include "backend/math.hpp"

namespace trainmark::cpu {
namespace {

/// Calls body(to 16 bits, from them) with the functions of a type, so that loops need not ask at each element.
template <class Body>
void with_wire(DType wire, Body&& body) {
  if (wire == DType::bf16)
    return body([](float value) { return to_bf16(value); }, [](std::uint16_t bits) { return from_bf16(bits); });
  TRAINMARK_CHECK(wire == DType::f16, "gradients travel as f32, bf16 or f16");
  body([](float value) { return to_f16(value); }, [](std::uint16_t bits) { return from_f16(bits); });
}

}  // namespace

void to_wire(const float* values, std::int64_t count, DType wire, std::uint16_t* to) {
  with_wire(wire, [&](auto rounded, auto) {
    for (std::int64_t at = 0; at < count; ++at)
      to[at] = rounded(values[at]);
  });
}

void from_wire(const std::uint16_t* from, std::int64_t count, DType wire, float* values) {
  with_wire(wire, [&](auto, auto value_of) {
    for (std::int64_t at = 0; at < count; ++at)
      values[at] = value_of(from[at]);
  });
}

void add_up_wire(const std::uint16_t* rows, std::int64_t parts, std::int64_t count, DType wire, std::uint16_t* sums) {
  with_wire(wire, [&](auto rounded, auto value_of) {
    for (std::int64_t at = 0; at < count; ++at) {
      float sum = value_of(rows[at]);
      for (std::int64_t part = 1; part < parts; ++part)
        sum += value_of(rows[part * count + at]);
      sums[at] = rounded(sum);
    }
  });
}

}  // namespace trainmark::cpu
