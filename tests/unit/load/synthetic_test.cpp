// Samples that no file holds: fixed, and values that the schema allows.
#include <gtest/gtest.h>

#include <cstring>

#include "load/values.hpp"
#include "trainmark/load.hpp"

namespace trainmark {
namespace {

LegalValues within(double least, double most) {
  LegalValues legal;
  legal.least = least;
  legal.most = most;
  return legal;
}

std::vector<std::byte> drawn(const Field& field, std::int64_t index) {
  std::vector<std::byte> values(field.bytes());
  synthetic_source({.fields = {field}, .cut = {}}, index + 1, 7)->read({.sample = index}, {values});
  return values;
}

TEST(SyntheticSource, DrawsLegalValuesOfEveryType) {
  const std::vector<LegalValues> ranges = {{},           within(0, 2),     within(1, 1),  within(0.25, 0.75),
                                           within(2, 5), within(0.5, 2.5), within(-8, -2)};
  for (const DType dtype : {DType::i16, DType::i32, DType::i64, DType::u8, DType::f32, DType::f64}) {
    for (const LegalValues& legal : ranges) {
      const bool whole = dtype != DType::f32 && dtype != DType::f64;
      if (whole && legal.least == 0.25) continue;          // holds no integer
      if (dtype == DType::u8 && legal.most < 0) continue;  // holds none either
      const Field field{"labels", {5, 3}, dtype, legal, {}};
      for (const std::int64_t index : {0, 1, 9}) {
        EXPECT_EQ(fault_of(field, drawn(field, index)), std::nullopt) << name_of(dtype);
        EXPECT_EQ(count_illegal(field, drawn(field, index)), 0);
      }
    }
  }
}

TEST(SyntheticSource, GivesCountsAndTargetsOfEverySize) {
  const Field counts{"x", {1000}, DType::i16, within(0, 32767), {}};
  std::vector<std::byte> bytes = drawn(counts, 0);
  std::vector<std::int16_t> values(1000);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  for (const std::int16_t wanted : {0, 1, 2, 3})
    EXPECT_GT(std::count(values.begin(), values.end(), wanted), 200) << wanted;
  EXPECT_EQ(std::count_if(values.begin(), values.end(), [](std::int16_t value) { return value > 3; }), 0);
}

TEST(Values, AreJudgedInEveryType) {
  const auto judged = [](DType dtype, auto value) {
    const Field field{"labels", {2}, dtype, within(0, 2), {}};
    std::vector<std::byte> bytes(2 * sizeof value);
    std::memcpy(bytes.data() + sizeof value, &value, sizeof value);
    return fault_of(field, bytes).value_or("legal");
  };
  EXPECT_EQ(judged(DType::u8, std::uint8_t{3}), "labels[1] is 3, legal are 0 to 2");
  EXPECT_EQ(judged(DType::u8, std::uint8_t{2}), "legal");
  EXPECT_EQ(judged(DType::i32, std::int32_t{-1}), "labels[1] is -1, legal are 0 to 2");
  EXPECT_EQ(judged(DType::i64, std::int64_t{1} << 40), "labels[1] is 1099511627776, legal are 0 to 2");
  EXPECT_EQ(judged(DType::f64, 2.5), "labels[1] is 2.5, legal are 0 to 2");
  EXPECT_EQ(judged(DType::i16, std::int16_t{1}), "legal");
}

TEST(Values, AreIntegersWithinFractionalLimits) {
  const Field field{"labels", {1}, DType::i32, within(0.5, 2.5), {}};
  const auto judged = [&](std::int32_t value) {
    return fault_of(field, std::as_bytes(std::span(&value, 1))).value_or("legal");
  };
  EXPECT_EQ(judged(0), "labels[0] is 0, legal are 1 to 2");
  EXPECT_EQ(judged(1), "legal");
  EXPECT_EQ(judged(2), "legal");
  EXPECT_EQ(judged(3), "labels[0] is 3, legal are 1 to 2");
  const Field below{"labels", {1}, DType::i32, within(-2.5, -0.5), {}};
  const std::int32_t none = 0, ends = -2;
  EXPECT_EQ(fault_of(below, std::as_bytes(std::span(&none, 1))), "labels[0] is 0, legal are -2 to -1");
  EXPECT_EQ(fault_of(below, std::as_bytes(std::span(&ends, 1))), std::nullopt);
}

TEST(Values, OfAFieldWithoutLimitsAreAllOfItsType) {
  const Field field{"id", {2}, DType::i64, {}, {}};
  const std::int64_t ends[2] = {std::numeric_limits<std::int64_t>::lowest(), std::numeric_limits<std::int64_t>::max()};
  EXPECT_EQ(fault_of(field, std::as_bytes(std::span(ends))), std::nullopt) << "no double is 2^63 - 1";
}

}  // namespace
}  // namespace trainmark
