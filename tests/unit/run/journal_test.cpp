// What the loop's journal tells of its epochs and which of them is the best, by values.
#include <regex>

#include "rig.hpp"

namespace trainmark {
namespace {

using testing::records_of;
using testing::Rig;
using testing::Seen;

TEST(Journal, RatesAreOfTrainingAloneInTableAndLog) {
  Rig rig;
  rig.loss = [](const Seen&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return 0.5F;
  };
  rig.metric = [](const Seen&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    return 0.25;
  };
  static_cast<void>(rig.train());
  if (!rig.results->writes()) return;
  const auto rows = rig.table("epochs.csv");
  const auto logged = records_of(rig.log(), "throughput");
  ASSERT_EQ(rows.size(), 2U);
  ASSERT_EQ(logged.size(), 2U);
  for (std::size_t at = 0; at < 2; ++at) {
    const double rate = std::stod(rows[at].at("samples_per_s"));
    EXPECT_NEAR(rate * std::stod(rows[at].at("train_s")), 8.0, 0.01) << "the samples of an epoch";
    EXPECT_GE(std::stod(rows[at].at("eval_s")), 0.06);
    EXPECT_NEAR(std::get<double>(logged[at].value), rate, 0.001);
  }
}

TEST(Journal, ProgressTellsARateAndWhatIsLeftAtIt) {
  Rig rig;
  rig.aloud = true;
  rig.train_samples = 16;
  rig.options.train.epochs = 1;
  rig.loss = [](const Seen&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return 0.5F;
  };
  ::testing::internal::CaptureStderr();
  static_cast<void>(rig.train());
  const std::string told = ::testing::internal::GetCapturedStderr();
  if (!rig.results->writes()) return;
  const std::regex line(R"(step (\d) of 4  loss 0\.50000  ([\d.]+) samples/s  ([\d.]+) s left in epoch)");
  int lines = 0;
  for (std::sregex_iterator at(told.begin(), told.end(), line), end; at != end; ++at, ++lines) {
    const double left = 4.0 - std::stod((*at)[1]), rate = std::stod((*at)[2]);
    ASSERT_GT(rate, 0.0) << told;
    EXPECT_NEAR(std::stod((*at)[3]), left * 4.0 / rate, 0.051 + 0.2 * left / (rate * rate)) << told;
  }
  EXPECT_EQ(lines, 4) << told;
}

TEST(Journal, TheBestMetricIsTheHighestWhereHigherIsBetter) {
  for (const bool higher : {true, false}) {
    Rig rig;
    if (higher) rig.options.recipe.model = DeepcamOptions{};
    rig.options.train.epochs = 3;
    rig.metric = [](const Seen& step) {
      return step.state.epoch == 1 ? 0.75 : 0.5 - 0.25 * static_cast<double>(step.state.epoch / 2);
    };
    const TrainOutcome outcome = rig.train();
    EXPECT_DOUBLE_EQ(outcome.metric, 0.25);
    EXPECT_DOUBLE_EQ(outcome.best_metric, higher ? 0.75 : 0.25) << "of 0.5, 0.75 and 0.25";
  }
}

}  // namespace
}  // namespace trainmark
