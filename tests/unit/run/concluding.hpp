// A run whose record tests look at, as a fixture.
#pragma once

#include <chrono>
#include <thread>

#include "rig.hpp"

namespace trainmark::testing {

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
