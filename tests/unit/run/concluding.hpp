// A run whose record tests look at, as a fixture.
#pragma once

#include <chrono>
#include <thread>

#include "rig.hpp"

namespace trainmark::testing {

/// Every field another number.
inline TrainOutcome trained() {
  TrainOutcome outcome;
  outcome.target_met = true;
  outcome.epochs = 3;
  outcome.steps = 12;
  outcome.samples = 96;
  outcome.train_seconds = 4.0;
  outcome.eval_seconds = 1.5;
  outcome.wait_seconds = 0.25;
  outcome.uploads = {.seconds = 0.75, .exposed_seconds = 0.5};
  outcome.first_step_seconds = 0.875;
  outcome.metric = 0.1;
  outcome.best_metric = 0.0625;
  outcome.step_seconds = {0.5, 0.125, 0.25};
  return outcome;
}
inline const LoaderStats stats{.wait_seconds = 9.0, .read_seconds = 2.5, .bytes = 3 << 20, .samples = 96};

class Concluding : public ::testing::Test {
 protected:
  Rig rig;
  const World& world = test_world();

  void build(Until until) {
    rig.options.train.until = until;
    rig.build();
  }
  /// A run of some milliseconds by its log.
  void run_clock(bool success) {
    rig.timeline->run_start();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    rig.timeline->run_stop(success);
  }
  [[nodiscard]] nlohmann::json record() const { return rig.json("run.json"); }
  [[nodiscard]] nlohmann::json figures() const { return record()["figures"]; }
  [[nodiscard]] bool writes() const { return rig.results->writes(); }
};

}  // namespace trainmark::testing
