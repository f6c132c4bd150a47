// Ranks that wait hear of ranks that work, and hear nothing of one that hangs.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "support/mpi_main.hpp"
#include "trainmark/comm.hpp"

namespace trainmark {
namespace {

const Group& all() { return test_world().all(); }

TEST(Pulse, TellsWaitingRanksThatOthersGoOn) {
  int heard = 0;
  Pulse pulse(
      all(), [&] { ++heard; }, 0.0);
  for (const int worker : {0, all().size() - 1}) {  // one after the other: it can be used again
    heard = 0;
    if (all().rank() == worker) {
      for (int beat = 0; beat < 200; ++beat) {
        pulse.beat();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    pulse.wait();
    const bool waited = all().rank() != worker;
    EXPECT_GE(heard, waited ? 2 : 1) << "a round that the work joined, and the last one";
  }
}

TEST(Pulse, TellsNothingWhileARankIsSilent) {
  int heard = 0;
  Pulse pulse(
      all(), [&] { ++heard; }, 0.0);
  if (all().rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(300));
  pulse.wait();
  EXPECT_EQ(heard, 1) << "nothing until the silent rank came";
}

TEST(Pulse, IsBesideTheWayOfErrors) {
  Pulse pulse(all(), [] {});
  try {
    agree_on(all(), pulse, [&] {
      pulse.beat();
      if (all().rank() == all().size() - 1) throw Error(ExitCode::data, "broken file");
    });
    FAIL() << "no error";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
  }
  agree_on(all(), pulse, [] {});
}

}  // namespace
}  // namespace trainmark
