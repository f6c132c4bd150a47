// What is recorded and told of a run when it is launched: its record, its first lines, warnings of what is not as asked
// for; and of the nodes that staged for much longer than others.
#include "concluding.hpp"
#include "run/record/staging_told.hpp"

namespace trainmark {
namespace {

using testing::Concluding;
using testing::Rig;

TEST(Stragglers, AreNodesThatWorkedMuchLongerThanOthers) {
  StagedDataset dataset;
  const auto nodes = [&](const std::vector<double>& copy, double verify) {
    dataset.train.nodes.clear();
    for (const double each : copy) {
      dataset.train.nodes.emplace_back();
      dataset.train.nodes.back().host = "n" + std::to_string(dataset.train.nodes.size());
      dataset.train.nodes.back().copy_seconds = each;
      dataset.train.nodes.back().verify_seconds = verify;
    }
    return stragglers(dataset);
  };
  EXPECT_TRUE(nodes({10, 11, 12, 14.9, 9}, 0).empty());
  const auto slow = nodes({10, 11, 40, 9, 10}, 2);
  ASSERT_EQ(slow.size(), 1U);
  EXPECT_NE(slow[0].find("node n3 worked 42.0 s on its train files, the median of 5 nodes is 12.0 s"),
            std::string::npos)
      << slow[0];
  EXPECT_TRUE(nodes({0.1, 0.1, 0.9}, 0).empty()) << "less than a second is no matter";
  EXPECT_TRUE(nodes({1, 100}, 0).empty()) << "of two nobody knows which one is as it should be";
}

TEST_F(Concluding, TheLaunchLeavesARecordThatSaysRunning) {
  rig.context.environment_json = R"({"host": "h"})";
  rig.context.command_line = "trainmark run";
  rig.context.job_id = "job";
  build(Until::steps);
  rig.recorder->launch(rig.backend, rig.context);
  if (!writes()) return;
  EXPECT_EQ(record()["status"], "running");
  EXPECT_TRUE(record()["exit_code"].is_null());
  EXPECT_EQ(record()["name"], rig.options.name);
  EXPECT_EQ(record()["workload"], "cosmoflow");
  EXPECT_EQ(record()["job"], "job");
  EXPECT_EQ(record()["command_line"], "trainmark run");
  EXPECT_EQ(record()["texts"]["backend"], "spy");
  const nlohmann::json environment = rig.json("env.json");
  EXPECT_EQ(environment["host"], "h");
  EXPECT_EQ(environment["backend"], "spy");
  ASSERT_EQ(environment["ranks"].size(), static_cast<std::size_t>(world.all().size()));
  for (int rank = 0; rank < world.all().size(); ++rank)
    EXPECT_EQ(environment["ranks"][static_cast<std::size_t>(rank)]["rank"], rank);
  EXPECT_EQ(rig.results->folder().filename(), "job");
}

TEST_F(Concluding, TheRecordTellsOfTheJobWhatIsKnown) {
  rig.context.job = {"srun", "Slurm", "4712", "4711", 3, 2, "n[0-1]", 1'779'006'662, 0, {}};
  build(Until::steps);
  rig.recorder->launch(rig.backend, rig.context);
  if (!writes()) return;
  EXPECT_EQ(record()["launch"], nlohmann::json::parse(R"({"launcher": "srun", "system": "Slurm", "id": "4712",
    "array": "4711", "task": 3, "restarts": 2, "nodes": "n[0-1]", "ends_at": "2026-05-17T08:31:02Z"})"));
}

TEST_F(Concluding, TheRecordIsSilentAboutAJobWhereThereIsNone) {
  build(Until::steps);
  rig.recorder->launch(rig.backend, rig.context);
  if (!writes()) return;
  EXPECT_FALSE(record().contains("launch")) << record();
}

TEST_F(Concluding, TheFirstLineTellsTheLaunchAndWarningsTellWhatIsNotAsAskedFor) {
  rig.aloud = true;
  rig.options.train.precision = Precision::bf16;
  rig.context.order_of_sums = "rings";
  build(Until::steps);
  ::testing::internal::CaptureStderr();
  rig.recorder->launch(rig.backend, rig.context);
  const std::string told = ::testing::internal::GetCapturedStderr();
  if (!writes()) return;
  const int ranks = world.all().size();
  EXPECT_NE(told.find(rig.options.name + ": cosmoflow on " + std::to_string(ranks) + (ranks == 1 ? " rank" : " ranks") +
                      ", 1 node; global batch 4, bf16, spy\n"),
            std::string::npos)
      << told;
  EXPECT_NE(told.find("deterministic: sums over ranks with rings"), std::string::npos) << told;
  EXPECT_NE(told.find("results in " + rig.results->folder().string()), std::string::npos) << told;
  EXPECT_EQ(record()["texts"]["order_of_sums"], "rings");
}

TEST_F(Concluding, TheLaunchIsWarnedOfMoreThreadsThanCpus) {
  rig.aloud = true;
  rig.backend.compute_threads = 100000;
  rig.options.load.threads = 3;  // for each of two loaders
  build(Until::steps);
  ::testing::internal::CaptureStderr();
  rig.recorder->launch(rig.backend, rig.context);
  const std::string told = ::testing::internal::GetCapturedStderr();
  if (!writes()) return;
  EXPECT_NE(told.find("warning: node " + world.host()), std::string::npos) << told;
  EXPECT_NE(told.find("(and " + std::to_string(6 * world.all().size()) + " readers)"), std::string::npos) << told;
}

}  // namespace
}  // namespace trainmark
