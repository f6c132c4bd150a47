// The null backend computes nothing, but what lies in its memory can be read whatever its type.
#include <gtest/gtest.h>

#include <array>

#include "backend/math.hpp"
#include "trainmark/backend.hpp"

namespace trainmark {
namespace {

TEST(NullBackend, ReadsHalvesOfBothKindsAsFloats) {
  const auto backend = make_null_backend();
  constexpr std::array<float, 3> values = {1.5F, -0.25F, 96.0F};  // exact in all three types
  std::array<std::uint16_t, 3> bf16{}, f16{};
  for (std::size_t at = 0; at < values.size(); ++at) {
    bf16.at(at) = to_bf16(values.at(at));
    f16.at(at) = to_f16(values.at(at));
  }
  const auto read = [&](DType dtype, const void* memory) {
    std::array<float, 3> floats{};
    backend->to_logical({Shape{3}, dtype, logical_layout}, memory, floats.data());
    return floats;
  };
  EXPECT_EQ(read(DType::f32, values.data()), values);
  EXPECT_EQ(read(DType::bf16, bf16.data()), values);
  EXPECT_EQ(read(DType::f16, f16.data()), values);
}

}  // namespace
}  // namespace trainmark
