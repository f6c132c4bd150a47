// The comparison of a backend with the CPU: it must find a backend that computes nothing, and pass the CPU itself,
// whose bf16 is the measure of what rounding explains.
#include "run/launch/comparison.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <regex>

#include "run/launch/differences.hpp"
#include "support/mpi_main.hpp"
#include "support/passing_backend.hpp"
#include "support/spy_backend.hpp"

namespace trainmark {
namespace {

RunOptions small(Precision precision) {
  RunOptions options;
  options.seed = 5;
  options.recipe.model = CosmoflowOptions{.extent = 32, .width = 0.0625};
  options.train.global_batch = 4;
  options.train.precision = precision;
  options.recipe.schedule = PiecewiseSchedule{.peak_rate = 0.01};
  return options;
}

/// Nothing hangs here.
const Stuck rested = [](const Status& failure) { ADD_FAILURE() << failure.message; };

class Comparison : public ::testing::TestWithParam<Precision> {
 protected:
  [[nodiscard]] static RunOutcome outcome(Backend& backend, const RunOptions& options) {
    Progress progress({.speaks = false});
    return check_backend(test_world(), backend, options, progress, rested);
  }
};

TEST_P(Comparison, FindsABackendThatComputesNothing) {
  const RunOutcome outcome = Comparison::outcome(*make_null_backend(), small(GetParam()));
  EXPECT_EQ(outcome.code, ExitCode::communication);
  EXPECT_NE(outcome.verdict.find("tensors differ by more than rounding"), std::string::npos) << outcome.verdict;
}

TEST_P(Comparison, LooksAtTheEvaluationThatARunWouldUse) {
  Progress progress({});
  ::testing::internal::CaptureStderr();
  (void)check_backend(test_world(), *make_null_backend(), small(GetParam()), progress, rested);
  const std::string said = ::testing::internal::GetCapturedStderr();
  if (test_world().all().rank() != 0) return;
  // Sums that stay zero differ from the truth by all of it.
  EXPECT_TRUE(std::regex_search(said, std::regex("metric of an evaluation +1\\.000e\\+00"))) << said;
}

TEST_P(Comparison, ShowsALossThatIsNoNumberOnOneRankToAll) {
  testing::SpyBackend backend;
  const bool last = test_world().all().rank() == test_world().all().size() - 1;
  backend.execute = [&](const Op& op, std::span<void* const> args) {
    constexpr float none = std::numeric_limits<float>::quiet_NaN();
    if (last && std::holds_alternative<Loss>(op)) std::memcpy(args[3], &none, sizeof none);
  };
  Progress progress({});
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(check_backend(test_world(), backend, small(GetParam()), progress, rested).code, ExitCode::communication);
  const std::string said = ::testing::internal::GetCapturedStderr();
  if (test_world().all().rank() != 0) return;
  EXPECT_TRUE(std::regex_search(said, std::regex("loss of step 1 +inf +inf"))) << said;
}

TEST_P(Comparison, PassesTheCpuItself) {
  const RunOutcome outcome = Comparison::outcome(*make_cpu_backend(1, false), small(GetParam()));
  EXPECT_EQ(outcome.code, ExitCode::success) << outcome.verdict;
}

TEST_P(Comparison, TakesTheLossScaleOffWhatItCompares) {
  RunOptions options = small(GetParam());
  options.train.loss_scaling = ScaleLoss::always;
  const RunOutcome outcome = Comparison::outcome(*make_cpu_backend(1, false), options);
  EXPECT_EQ(outcome.code, ExitCode::success) << outcome.verdict;
}

TEST_P(Comparison, LooksAtOnePartOfAStepInParts) {
  RunOptions options = small(GetParam());
  options.train.global_batch = 8;
  options.train.gradient_accumulation_steps = 2;
  EXPECT_EQ(outcome(*make_cpu_backend(1, false), options).code, ExitCode::success);
  options.train.gradient_accumulation_steps = 3;
  EXPECT_THROW((void)outcome(*make_cpu_backend(1, false), options), Error);
}

/// What is said where the backend is compared with itself.
std::string said_of_itself(Backend& backend, const RunOptions& options, ExitCode expected) {
  Progress progress({});
  ::testing::internal::CaptureStderr();
  const ExitCode code = check_itself(test_world(), backend, options, progress, rested).code;
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(code, expected) << said;
  return said;
}

TEST_P(Comparison, PassesTheCpuAgainstItself) {
  RunOptions options = small(GetParam());
  options.recipe.model = CosmoflowOptions{.extent = 32, .width = 0.0625, .dropout = 0.25};
  options.train.global_batch = 2 * test_world().all().size();
  const auto backend = make_cpu_backend(1, false);
  const std::string said = said_of_itself(*backend, options, ExitCode::success);
  if (test_world().all().rank() != 0) return;
  EXPECT_NE(said.find("steps, fused against"), std::string::npos) << said;
  EXPECT_NE(said.find("steps, all samples at once against one by one"), std::string::npos) << said;
}

TEST_P(Comparison, LooksAtNoSampleAloneWhereNormsMakeThatAnotherStep) {
  RunOptions options = small(GetParam());
  options.recipe.model = Resnet50Options{.extent = 32, .width = 0.0625, .classes = 4};
  options.train.global_batch = 2 * test_world().all().size();
  const auto backend = make_cpu_backend(1, false);
  const std::string said = said_of_itself(*backend, options, ExitCode::success);
  if (test_world().all().rank() != 0) return;
  EXPECT_NE(said.find("fused against"), std::string::npos) << said;
  EXPECT_EQ(said.find("all samples at once"), std::string::npos) << said;
}

/// A wrong sum is one that only a large batch has.
TEST_P(Comparison, FindsABackendWhoseLossHangsOnHowManySamplesItTakesAtOnce) {
  for (const auto& [wrong, moves] : {std::pair(false, true), std::pair(true, true), std::pair(false, false)}) {
    testing::SpyBackend backend;
    backend.execute = [&](const Op& op, std::span<void* const> args) {
      if (moves && std::holds_alternative<Update>(op)) *static_cast<float*>(args[0]) += 1.0F;
      if (!std::holds_alternative<Loss>(op)) return;
      const auto planned = std::find_if(backend.planned.rbegin(), backend.planned.rend(),
                                        [](const auto& each) { return each.first == "Loss"; });
      const float loss = wrong && planned->second.inputs.at(0).shape[0] > 1 ? 2.0F : 1.0F;
      std::memcpy(args[3], &loss, sizeof loss);
    };
    RunOptions options = small(GetParam());
    options.train.global_batch = 2 * test_world().all().size();
    const bool agrees = !wrong && moves;  // without any update there is nothing to agree on
    said_of_itself(backend, options, agrees ? ExitCode::success : ExitCode::communication);
  }
}

TEST(Rounding, ExplainsThriceWhatItMakesAndNoMore) {
  Progress progress({.speaks = false});
  const auto verdict = [&](double norm, double rounding, Kind kind, Precision precision) {
    return judged({{.tensor = "t", .norm = norm, .rounding = rounding, .kind = kind}}, precision, "", progress).code;
  };
  EXPECT_EQ(verdict(3e-3, 1.1e-3, Kind::backward, Precision::fp32), ExitCode::success);
  EXPECT_EQ(verdict(3e-3, 0.9e-3, Kind::backward, Precision::fp32), ExitCode::communication);
  EXPECT_EQ(verdict(0.9e-3, 0.0, Kind::backward, Precision::fp32), ExitCode::success);
  EXPECT_EQ(verdict(0.9e-3, 0.0, Kind::alone, Precision::fp32), ExitCode::communication);
  EXPECT_EQ(verdict(0.0039, 0.0, Kind::alone, Precision::bf16), ExitCode::success);
  EXPECT_EQ(verdict(0.0041, 0.0, Kind::alone, Precision::bf16), ExitCode::communication);
  EXPECT_EQ(verdict(std::numeric_limits<double>::quiet_NaN(), 1.0, Kind::update, Precision::bf16),
            ExitCode::communication);
}

/// A backend that is wrong at one operation by half a percent, which a network's own rounding would hide.
TEST(Operations, ShowTheOneThatIsALittleWrong) {
  RunOptions options = small(Precision::fp32);
  options.recipe.model = DeepcamOptions{.rows = 32, .columns = 32, .width = 0.03, .middle_blocks = 1};
  options.recipe.rule = Lamb{};
  options.train.global_batch = 2 * test_world().all().size();
  for (const bool wrong : {false, true}) {
    const auto cpu = make_cpu_backend(1, false);
    testing::PassingBackend backend(*cpu);
    if (wrong)
      backend.behind = [](const Op& op, std::span<void* const> args, const Operands& operands) {
        if (!std::holds_alternative<SpatialSum>(op)) return;
        auto* sums = static_cast<float*>(args[operands.inputs.size()]);
        for (std::int64_t i = 0; i < operands.outputs.front().shape.elements(); ++i)
          sums[i] *= 1.005F;
      };
    Progress progress({});
    ::testing::internal::CaptureStderr();
    const RunOutcome outcome = check_backend(test_world(), backend, options, progress, rested);
    const std::string said = ::testing::internal::GetCapturedStderr();
    EXPECT_EQ(outcome.code, wrong ? ExitCode::communication : ExitCode::success) << said;
    if (!wrong || test_world().all().rank() != 0) continue;
    const std::string alone = said.substr(0, said.find("one step, unfused"));
    EXPECT_TRUE(std::regex_search(alone, std::regex("pool\\.mean\\.dst +(5\\.0|4\\.9)"))) << said;
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, Comparison, ::testing::Values(Precision::fp32, Precision::bf16));

}  // namespace
}  // namespace trainmark
