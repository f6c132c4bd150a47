#include "support/mpi_main.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>

namespace {
const trainmark::World* the_world = nullptr;
}

const trainmark::World& test_world() { return *the_world; }

int main(int argc, char** argv) {
  const trainmark::World world(argc, argv);
  the_world = &world;
  testing::InitGoogleTest(&argc, argv);
  // Rank 0 reports; other ranks speak only when they fail.
  if (world.all().rank() != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
  }
  const int mine = RUN_ALL_TESTS();
  std::array<double, 1> worst = {static_cast<double>(mine)};
  world.all().max(worst);
  return worst[0] != 0.0 ? 1 : 0;
}
