// What a run's record tells of energy: of the nodes that were read, and of devices.
#include <numeric>

#include "concluding.hpp"

namespace trainmark {
namespace {

using testing::Concluding;
using testing::Rig;
using testing::stats;
using testing::trained;

TEST_F(Concluding, EnergyIsToldWhereEveryNodeWasRead) {
  build(Until::target);
  run_clock(true);
  const bool reads = world.node().rank() == 0;
  rig.recorder->consumed(reads ? std::optional(NodeEnergy{EnergySource::rapl, 480.0}) : std::nullopt, std::nullopt);
  static_cast<void>(rig.recorder->completed(trained(), stats));
  if (!writes()) return;
  EXPECT_EQ(figures()["energy_j"], 480.0);
  EXPECT_EQ(figures()["energy_packages_j"], 480.0);
  EXPECT_EQ(figures()["energy_per_sample_j"], 5.0);
  EXPECT_EQ(figures()["energy_to_target_j"], 480.0);
  EXPECT_EQ(figures()["energy_sampling_s"], 5.0);
  EXPECT_FALSE(figures().contains("energy_devices_j"));
  EXPECT_EQ(record()["texts"]["energy_source"], "RAPL packages");
}

TEST_F(Concluding, EnergyOfDevicesComesOnTopOfPackagesAndIsInANodes) {
  for (const EnergySource source : {EnergySource::rapl, EnergySource::cray}) {
    Rig other;
    other.options.train.until = Until::steps;
    other.build();
    other.timeline->run_start();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    other.timeline->run_stop(false);
    if (world.node().rank() == 0) other.recorder->consumed(NodeEnergy{source, 100.0}, std::nullopt);
    TrainOutcome outcome = trained();
    outcome.target_met = false;
    outcome.sensors.add({.watts = 1000.0, .core_mhz = 1, .memory_mhz = 1, .throttled_by = ""});
    static_cast<void>(other.recorder->completed(outcome, stats));
    const std::vector<double> run_seconds = world.all().all_gather(other.timeline->run_seconds());  // each rank's own
    if (!other.results->writes()) continue;
    const auto found = other.json("run.json")["figures"];
    EXPECT_FALSE(found.contains("energy_to_target_j"));
    if (source == EnergySource::cray) {
      EXPECT_EQ(found["energy_j"], 100.0);
    } else {
      EXPECT_NEAR(found["energy_devices_j"], 1000.0 * std::accumulate(run_seconds.begin(), run_seconds.end(), 0.0),
                  1e-6);
      EXPECT_NEAR(found["energy_j"], 100.0 + found["energy_devices_j"].get<double>(), 1e-6);
    }
  }
}

TEST_F(Concluding, DevicesOwnCountersAreBetterThanTheirMeanPowerWhereAllHaveThem) {
  for (const bool all : {true, false}) {
    Rig other;
    other.options.train.until = Until::steps;
    other.build();
    other.timeline->run_start();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    other.timeline->run_stop(false);
    const bool counts = all || world.all().rank() > 0;
    other.recorder->consumed(std::nullopt, counts ? std::optional(250.0) : std::nullopt);
    TrainOutcome outcome = trained();
    outcome.sensors.add({.watts = 1000.0, .core_mhz = 1, .memory_mhz = 1, .throttled_by = ""});
    static_cast<void>(other.recorder->completed(outcome, stats));
    if (!other.results->writes()) continue;
    const auto found = other.json("run.json");
    if (all) {
      EXPECT_EQ(found["figures"]["energy_devices_j"], 250.0 * world.all().size());
    }
    EXPECT_EQ(found["texts"]["energy_source"],
              all ? "the devices' own counters" : "the devices' mean power in training x time");
  }
}

TEST(DeviceJoules, AreADifferenceOfOneCounter) {
  EXPECT_EQ(joules_between(1e9, 1e9 + 3.5), 3.5);
  EXPECT_EQ(joules_between(1e9, 2.0), std::nullopt) << "the driver was loaded again";
  EXPECT_EQ(joules_between(std::nullopt, 2.0), std::nullopt);
  EXPECT_EQ(joules_between(2.0, std::nullopt), std::nullopt);
}

TEST_F(Concluding, NothingIsSaidOfEnergyThatNobodyRead) {
  build(Until::steps);
  run_clock(false);
  static_cast<void>(rig.recorder->completed(trained(), stats));
  if (!writes()) return;
  const nlohmann::json found = figures();
  for (const auto& [name, value] : found.items())
    EXPECT_EQ(name.find("energy"), std::string::npos) << name;
}

}  // namespace
}  // namespace trainmark
