// Half precision by hand: every value survives the way there and back, and ties, limits and specials round as IEEE
// says.
#include "backend/math.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace trainmark {
namespace {

TEST(HalfPrecision, EveryFp16ValueSurvivesTheWayThroughFp32) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = from_f16(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(from_f16(to_f16(value)))) << bits;
    } else {
      ASSERT_EQ(to_f16(value), half) << value;
    }
  }
}

TEST(HalfPrecision, Fp16RoundsToNearestEvenAndOverflowsWhereIeeeSays) {
  EXPECT_EQ(to_f16(1.0F), 0x3C00);
  EXPECT_EQ(to_f16(1.0F + 0x1p-11F), 0x3C00) << "a tie goes to the even neighbour below";
  EXPECT_EQ(to_f16(1.0F + 0x3p-11F), 0x3C02) << "a tie goes to the even neighbour above";
  EXPECT_EQ(to_f16(1.0F + 0x1.02p-11F), 0x3C01);
  EXPECT_EQ(to_f16(65504.0F), 0x7BFF) << "the largest finite value";
  EXPECT_EQ(to_f16(65519.9F), 0x7BFF);
  EXPECT_EQ(to_f16(65520.0F), 0x7C00) << "rounds to infinity";
  EXPECT_EQ(to_f16(-1e30F), 0xFC00);
  EXPECT_EQ(to_f16(0x1p-14F), 0x0400) << "the smallest normal value";
  EXPECT_EQ(to_f16(0x1p-24F), 0x0001) << "the smallest subnormal value";
  EXPECT_EQ(to_f16(0x1p-25F), 0x0000) << "half of it is a tie, to even";
  EXPECT_EQ(to_f16(-0x1.8p-25F), 0x8001);
  EXPECT_EQ(to_f16(std::numeric_limits<float>::infinity()), 0x7C00);
}

TEST(HalfPrecision, Bf16RoundsToNearestEvenAndKeepsNan) {
  EXPECT_EQ(to_bf16(1.0F + 0x1p-8F), 0x3F80);
  EXPECT_EQ(to_bf16(1.0F + 0x3p-8F), 0x3F82);
  EXPECT_TRUE(std::isnan(from_bf16(to_bf16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace trainmark
