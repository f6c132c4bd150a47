// How far two computations are apart, in figures worked out by hand, on one rank and over all; and how the largest are
// shown.
#include "run/launch/differences.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/mpi_main.hpp"

namespace trainmark {
namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();

TEST(DifferenceOfTensors, IsRelativeToTheTruth) {
  const Difference found = difference("t", {3.0F, 4.0F, 8.0F}, 1.0, {3.0F, 4.0F, 12.0F});  // norms 4 and 13
  EXPECT_EQ(found.tensor, "t");
  EXPECT_NEAR(found.norm, 4.0 / 13.0, 1e-12);
  EXPECT_NEAR(found.largest, 4.0 / 12.0, 1e-12);
  const Difference below = difference("t", {3.0F, 4.0F, -8.0F}, 1.0, {3.0F, 4.0F, -12.0F});
  EXPECT_NEAR(below.largest, 4.0 / 12.0, 1e-12) << "signs make no difference";
  EXPECT_NEAR(difference("t", {6.0F, 8.0F, 24.0F}, 2.0, {3.0F, 4.0F, 12.0F}).norm, 0.0, 1e-12) << "the loss scale";
  EXPECT_EQ(difference("t", {0.0F, 0.0F}, 1.0, {0.0F, 0.0F}).norm, 0.0);
  EXPECT_EQ(difference("t", {1.0F}, 1.0, {0.0F}).norm, INFINITY);
  EXPECT_EQ(difference("t", {1.0F}, 1.0, {0.0F}).largest, INFINITY);
}

TEST(DifferenceOfTensors, LosesNoNaNInAMaximum) {
  const Difference found = difference("t", {NAN, 1.0F, 9.0F}, 1.0, {1.0F, 1.0F, 1.0F});
  EXPECT_TRUE(std::isnan(found.norm));
  EXPECT_TRUE(std::isnan(found.largest));
}

TEST(AgreedDifferences, AreTheWorstOfAllRanks) {
  const World& world = test_world();
  const double mine = world.all().rank() + 1.0, most = world.all().size();
  std::vector<Difference> differences = {{.tensor = "a", .norm = mine, .largest = 10.0 * mine, .rounding = 0.1 * mine},
                                         {.tensor = "b", .norm = 3.0 - mine, .largest = 0.0, .rounding = 0.0},
                                         {.tensor = "c", .norm = none, .largest = none, .rounding = none}};
  agree_on_worst(world, differences);
  EXPECT_EQ(differences[0].norm, most);
  EXPECT_EQ(differences[0].largest, 10.0 * most);
  EXPECT_NEAR(differences[0].rounding, 0.1 * most, 1e-12);
  EXPECT_EQ(differences[0].unexplained, most) << "three times its rounding explains none of it";
  EXPECT_EQ(differences[1].norm, 2.0) << "of rank 0";
  EXPECT_EQ(differences[2].norm, INFINITY);
  EXPECT_EQ(differences[2].largest, INFINITY);
  EXPECT_EQ(differences[2].rounding, 0.0) << "of what failed nothing is explained";
  EXPECT_EQ(differences[2].unexplained, INFINITY);
}

TEST(AgreedDifferences, AreExplainedByTheRoundingOfTheirOwnRank) {
  const World& world = test_world();
  const bool last = world.all().rank() == world.all().size() - 1;
  std::vector<Difference> explained = {{.tensor = "a", .norm = 0.3, .rounding = 0.11}};
  agree_on_worst(world, explained);
  EXPECT_EQ(explained[0].unexplained, 0.0);
  std::vector<Difference> others = {{.tensor = "a", .norm = last ? 0.3 : 0.0, .rounding = last ? 0.0 : 0.2}};
  agree_on_worst(world, others);
  EXPECT_EQ(others[0].unexplained, 0.3) << "another rank's explains nothing";
}

TEST(RoundingOfDifferences, IsTheLargestThatWasNoted) {
  std::vector<Difference> differences = {{.tensor = "a"}, {.tensor = "b"}};
  note_rounding(differences, {{.tensor = "a", .norm = 0.2}, {.tensor = "b", .norm = 0.1}});
  note_rounding(differences, {{.tensor = "a", .norm = 0.1}, {.tensor = "b", .norm = 0.3}});
  note_rounding(differences, {{.tensor = "a", .norm = none}, {.tensor = "b", .norm = INFINITY}});
  EXPECT_EQ(differences[0].rounding, 0.2);
  EXPECT_EQ(differences[1].rounding, 0.3);
  EXPECT_EQ(differences[0].norm, 0.0);
}

std::string shown(std::vector<Difference> differences) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress({});
    print(progress, std::move(differences));
  }
  return ::testing::internal::GetCapturedStderr();
}

TEST(ShownDifferences, AreTheTenLargestFromTheLargestOn) {
  std::vector<Difference> differences;
  for (int i = 0; i < 12; ++i)
    differences.push_back({.tensor = "t" + std::to_string(i), .norm = 1e-3 * i, .largest = 2e-3 * i});
  const std::string text = shown(differences);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 11) << "a head and ten lines";
  EXPECT_NE(text.find("largest\n"), std::string::npos) << "no column of rounding where none was noted: " << text;
  EXPECT_NE(text.find("   1.100e-02    2.200e-02\n"), std::string::npos) << text;
  EXPECT_LT(text.find("t11 "), text.find("t10 "));
  EXPECT_EQ(text.find("t1 "), std::string::npos);
  EXPECT_NE(text.find("t2 "), std::string::npos);
}

TEST(ShownDifferences, HaveTheirRoundingBesideThem) {
  const std::string text = shown({{.tensor = "a", .norm = 0.25, .largest = 0.5, .rounding = 0.125},
                                  {.tensor = "b", .norm = 0.5, .largest = 1.0, .rounding = INFINITY},
                                  {.tensor = "c"}});
  EXPECT_NE(text.find("largest     rounding\n"), std::string::npos) << text;
  EXPECT_NE(text.find("   2.500e-01    5.000e-01    1.250e-01\n"), std::string::npos) << text;
  EXPECT_NE(text.find("   5.000e-01    1.000e+00   not judged\n"), std::string::npos) << text;
  EXPECT_NE(text.find("   0.000e+00    0.000e+00    0.000e+00\n"), std::string::npos) << text;
}

TEST(JudgedDifferences, CountWhatIsBeyondTheBoundOfItsKind) {
  const auto outcome = [](const std::vector<Difference>& differences, Precision precision) {
    Progress progress({.speaks = false});
    return judged(differences, precision, "all agree", progress);
  };
  const std::vector<Difference> at_bounds = {{.tensor = "a", .norm = 4e-3, .kind = Kind::alone},
                                             {.tensor = "f", .norm = 0.05, .kind = Kind::forward},
                                             {.tensor = "b", .norm = 0.05, .kind = Kind::backward},
                                             {.tensor = "u", .norm = 0.05, .kind = Kind::update}};
  EXPECT_EQ(outcome(at_bounds, Precision::bf16).code, ExitCode::success);
  EXPECT_EQ(outcome(at_bounds, Precision::bf16).verdict, "all agree");
  EXPECT_EQ(outcome(at_bounds, Precision::fp32).verdict, "4 tensors differ by more than rounding");
  EXPECT_EQ(outcome(at_bounds, Precision::fp32).code, ExitCode::communication);
  EXPECT_EQ(outcome(at_bounds, Precision::fp16).verdict, "2 tensors differ by more than rounding")
      << "fp16 gradients and updates may be further apart than bf16's";
  EXPECT_EQ(bound_alone(Precision::fp32), 1e-4);
  EXPECT_EQ(bound_alone(Precision::tf32), 1e-3);
  EXPECT_EQ(bound_alone(Precision::bf16), 4e-3);
}

}  // namespace
}  // namespace trainmark
