// However a run ends, its record says why: the words of ranks that fail alone, signals, folders, and backends that
// hang.
#include <fmt/format.h>

#include <future>

#include "rig.hpp"

namespace trainmark {
namespace {

using testing::Rig;

class Endings : public ::testing::Test {
 protected:
  Rig rig;
  const World& world = test_world();

  void build(Until until) {
    rig.options.train.until = until;
    rig.build();
  }
  [[nodiscard]] bool writes() const { return rig.results->writes(); }
};

TEST_F(Endings, AnErrorThatAllRaiseIsConcludedByRank0Alone) {
  build(Until::steps);
  rig.recorder->failed(AgreedError(ExitCode::data, "rank 1 of 2: its file is broken"));
  world.all().barrier();
  EXPECT_FALSE(rig.results->word_of_a_failed_rank().has_value()) << "nobody failed alone";
  if (!writes()) return;
  EXPECT_EQ(rig.json("run.json")["exit_code"], 3);
  EXPECT_EQ(rig.json("run.json")["status"], "failed");
  EXPECT_EQ(rig.json("run.json")["message"], "rank 1 of 2: its file is broken");
}

TEST_F(Endings, DivergenceIsAStatusOfItsOwn) {
  build(Until::steps);
  rig.recorder->failed(AgreedError(ExitCode::target_missed, "step 3: the loss is nan"));
  if (!writes()) return;
  EXPECT_EQ(rig.json("run.json")["status"], "diverged");
  EXPECT_EQ(rig.json("run.json")["exit_code"], 6);
}

TEST_F(Endings, AnErrorOfAnotherKindIsTheEnvironments) {
  build(Until::steps);
  rig.recorder->failed(std::runtime_error("out of something"));
  if (!writes()) return;
  EXPECT_EQ(rig.json("run.json")["exit_code"], 4);
  EXPECT_EQ(rig.json("run.json")["message"], "out of something");
}

TEST_F(Endings, ARankThatFailsAloneIsTheReasonOfASignal) {
  if (world.all().size() == 1) GTEST_SKIP() << "takes several ranks";
  build(Until::steps);
  rig.timeline->run_start();
  const bool alone = world.all().rank() == 1;
  if (alone) rig.recorder->failed(Error(ExitCode::data, "its file is broken"));
  world.all().barrier();
  if (writes()) {
    ASSERT_TRUE(rig.results->word_of_a_failed_rank().has_value());
    conclude_on_signal(143, *rig.timeline, *rig.results);
    EXPECT_EQ(rig.json("run.json")["exit_code"], 3);
    EXPECT_EQ(rig.json("run.json")["status"], "failed");
    EXPECT_EQ(rig.json("run.json")["message"], "rank 1 on " + world.host() + ": its file is broken");
  }
  world.all().barrier();
}

TEST_F(Endings, ASignalByItselfIsItsOwnReason) {
  build(Until::steps);
  rig.timeline->run_start();
  conclude_on_signal(130, *rig.timeline, *rig.results);
  world.all().barrier();  // a rank that is ahead would leave its word before rank 0 looks for one
  rig.recorder->failed(Error(ExitCode::data, "what came of it"));
  if (!writes()) return;
  EXPECT_EQ(rig.json("run.json")["exit_code"], 130);
  EXPECT_EQ(rig.json("run.json")["status"], "aborted");
  EXPECT_NE(rig.json("run.json")["message"].get<std::string>().find("signal 2"), std::string::npos);
  const auto stop = testing::records_of(rig.log(), "run_stop");
  ASSERT_EQ(stop.size(), 1U);
  EXPECT_EQ(std::get<std::string>(stop[0].metadata.back().second), "aborted");
}

TEST_F(Endings, AWordThatIsNoneIsPassedOver) {
  build(Until::steps);
  if (!writes()) return;
  std::ofstream(rig.results->folder() / ".failed-rank-1.json") << "{\"exit_code\": 3";
  std::ofstream(rig.results->folder() / ".failed-rank-2.json") << "{\"exit_code\": 3}";
  EXPECT_FALSE(rig.results->word_of_a_failed_rank().has_value());
  std::ofstream(rig.results->folder() / ".failed-rank-3.json")
      << R"({"exit_code": 5, "status": "failed", "message": "lost"})";
  const auto word = rig.results->word_of_a_failed_rank();
  ASSERT_TRUE(word.has_value());
  EXPECT_EQ(word->code, ExitCode::communication);
  EXPECT_EQ(word->message, "lost");
}

TEST_F(Endings, AFolderThatIsThereAlreadyIsAnotherRuns) {
  rig.context.job_id = "job";
  rig.context.resolved_config = "{}";
  build(Until::steps);
  Results second(world, rig.options, rig.context);
  EXPECT_EQ(second.folder().filename(), "job-2");
  EXPECT_EQ(Results(world, rig.options, rig.context).folder().filename(), "job-3");
  if (writes()) {
    EXPECT_EQ(rig.text("config.resolved.json"), "{}\n");
  }
}

TEST_F(Endings, APlaceThatCannotBeWrittenToIsRefusedOnAllRanks) {
  rig.options.results.folder = "/proc/nowhere";
  try {
    const Results refused(world, rig.options, rig.context);
    ADD_FAILURE() << "nothing was raised";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    EXPECT_NE(std::string(error.what()).find("/results/folder"), std::string::npos) << error.what();
  }
}

TEST(Leaving, ABackendThatHangsIsLeftBehind) {
  class Hanging final : public testing::SpyBackend {
   public:
    explicit Hanging(std::shared_future<void> until) : until_(std::move(until)) {}
    bool abandon(const std::string& reason, std::chrono::milliseconds) noexcept override {
      told = reason;
      until_.wait();
      return true;
    }
    std::string told;

   private:
    std::shared_future<void> until_;
  };
  std::promise<void> release;
  const auto hanging = std::make_shared<Hanging>(release.get_future().share());
  abandon(*hanging, "no reason", std::chrono::seconds(1));  // returns although the other does not
  EXPECT_EQ(hanging->told, "no reason");
  release.set_value();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // its thread lets go of the backend
}

/// Says when it is told to abandon, and whether that came to rest.
class Resting final : public testing::SpyBackend {
 public:
  Resting(std::vector<std::string>& said, bool rests) : said_(said), rests_(rests) {}
  bool abandon(const std::string& reason, std::chrono::milliseconds) noexcept override {
    said_.push_back("abandoned: " + reason);
    return rests_;
  }

 private:
  std::vector<std::string>& said_;
  bool rests_;
};
struct Freed {
  std::vector<std::string>& said;
  ~Freed() { said.emplace_back("freed"); }
};

TEST(WorkOnADevice, IsBrokenOffBeforeWhatItUsesIsFreed) {
  using Said = std::vector<std::string>;
  for (const bool rests : {true, false}) {
    Said said;
    Resting backend(said, rests);
    const auto stuck = [&](const Status& failure) {
      said.push_back(fmt::format("stuck: {} {}", static_cast<int>(failure.code), failure.message));
    };
    EXPECT_THROW(
        {
          const Freed memory{said};
          on_device(backend, stuck, [] { throw Error(ExitCode::communication, "a peer is gone"); });
        },
        Error);
    EXPECT_EQ(said, rests ? (Said{"abandoned: a peer is gone", "freed"})
                          : (Said{"abandoned: a peer is gone", "stuck: 5 a peer is gone", "freed"}));
  }
}

TEST(WorkOnADevice, ThatSucceedsGivesItsResultAndBreaksNothingOff) {
  std::vector<std::string> said;
  Resting backend(said, true);
  EXPECT_EQ(on_device(backend, nullptr, [] { return 7; }), 7);
  EXPECT_EQ(said, std::vector<std::string>{});
}

TEST(OneLine, LeavesOutWhatIsThereForTheEye) {
  EXPECT_EQ(one_line("{\n  \"b\": 1,\n  \"a\": [1, 2]\n}\n"), R"({"b":1,"a":[1,2]})");
  EXPECT_EQ(one_line(""), "{}");
}

}  // namespace
}  // namespace trainmark
