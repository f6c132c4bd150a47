// Ranks that wait hear of ranks that work, and hear nothing of one that hangs.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "support/mpi_main.hpp"
#include "trainmark/comm.hpp"

namespace trainmark {
namespace {

const Group& all() { return test_world().all(); }

/// What ranks on one machine have done, as files of a folder: news that take another way than the pulse.
class Notes {
 public:
  Notes() {
    std::string name = (std::filesystem::temp_directory_path() / "trainmark-pulse-XXXXXX").string();
    if (all().rank() == 0 && mkdtemp(name.data()) == nullptr) name.clear();
    folder_ = all().broadcast(name);
  }
  ~Notes() {
    all().barrier();
    if (all().rank() == 0) std::filesystem::remove_all(folder_);
  }
  void leave(int round) const { std::ofstream(folder_ / std::to_string(round * all().size() + all().rank())); }
  [[nodiscard]] bool left_by_others(int round) const {
    for (int rank = 0; rank < all().size(); ++rank) {
      const bool there = std::filesystem::exists(folder_ / std::to_string(round * all().size() + rank));
      if (rank != all().rank() && !there) return false;
    }
    return true;
  }

 private:
  std::filesystem::path folder_;
};

TEST(Pulse, TellsWaitingRanksThatOthersGoOn) {
  const Notes notes;
  int heard = 0, round = 0;
  Pulse pulse(
      all(),
      [&] {
        ++heard;
        notes.leave(round);
      },
      0.0);
  for (const int worker : {0, all().size() - 1}) {  // one after the other: it can be used again
    heard = 0;
    if (all().rank() == worker) {
      while (!notes.left_by_others(round)) {  // works until all others have heard of it, however long they take to come
        pulse.beat();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    pulse.wait(false);
    const bool waited = all().rank() != worker;
    EXPECT_GE(heard, waited ? 2 : 1) << "a round that the work joined, and the last one";
    ++round;
  }
}

TEST(Pulse, TellsNothingWhileARankIsSilent) {
  int heard = 0;
  Pulse pulse(
      all(), [&] { ++heard; }, 0.0);
  if (all().rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(300));
  pulse.wait(false);
  EXPECT_EQ(heard, 1) << "nothing until the silent rank came";
}

TEST(Pulse, AsksForSignsNoMoreOftenThanItsInterval) {
  int heard = 0;
  Pulse pulse(
      all(), [&] { ++heard; }, 1e6);
  if (all().rank() == 0) {
    for (int beat = 0; beat < 50; ++beat) {
      pulse.beat();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  pulse.wait(false);
  EXPECT_LE(heard, 2) << "the first beat's round and the last one";
}

TEST(Pulse, CancelsTheWorkOfAllWhereOneFailed) {
  Pulse pulse(
      all(), [] {}, 0.0);
  const int broken = all().size() - 1;
  for (int turn = 0; turn < 2; ++turn) {  // it can be used again: what failed before fails nobody later
    bool cancelled = all().rank() == broken;
    try {
      agree_on(all(), pulse, [&] {
        if (all().rank() == broken) throw Error(ExitCode::data, "broken file");
        try {
          for (int beat = 0; beat < 20'000; ++beat) {
            pulse.beat();
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
        } catch (const Pulse::Cancelled&) {
          cancelled = true;
          throw;
        }
      });
      FAIL() << "no error";
    } catch (const AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      const std::string message = error.what();
      EXPECT_NE(message.find("broken file"), std::string::npos) << message;
      EXPECT_EQ(message.find("ranks failed"), std::string::npos) << "who was cancelled did not fail: " << message;
    }
    EXPECT_TRUE(cancelled) << "worked to the end for nothing";
    int beats = 0;
    agree_on(all(), pulse, [&] {
      for (; beats < 20; ++beats)
        pulse.beat();
    });
    EXPECT_EQ(beats, 20);
  }
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
