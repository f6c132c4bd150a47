#include "support/mpi_main.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <memory>

namespace {

const trainmark::World* the_world = nullptr;

/// For ranks other than 0: silent but for failures.
class FailurePrinter final : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "rank %d: %s:%d: Failure\n%s\n", test_world().all().rank(),
                 result.file_name() != nullptr ? result.file_name() : "?", result.line_number(), result.message());
  }
};

}  // namespace

const trainmark::World& test_world() { return *the_world; }

int main(int argc, char** argv) {
  const trainmark::Mpi mpi(argc, argv);
  const trainmark::World& world = mpi.world();
  the_world = &world;
  testing::InitGoogleTest(&argc, argv);
  // Rank 0 reports; other ranks speak only when they fail.
  if (world.all().rank() != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailurePrinter);
  }
  const int mine = RUN_ALL_TESTS();
  std::array<double, 1> worst = {static_cast<double>(mine)};
  world.all().max(worst);
  return worst[0] != 0.0 ? 1 : 0;
}
