// Several targets: the first in which everything fits on every node is taken, by what is there already and what is
// free.
#include "staging.hpp"
#include "unit/stage/system_calls.hpp"

namespace trainmark {
namespace {

using testing::expect_data_error;
using testing::Staging;
using testing::system_calls;
namespace fs = std::filesystem;

class Choice : public Staging {
 protected:
  Choice() {
    on_one_rank([&] {
      for (const char* name : {"small", "large"})
        fs::create_directories(root_ / name);
    });
    system_calls() = {};
    system_calls().told_of = "/small";
    leave(4096);
  }
  ~Choice() override { system_calls() = {}; }

  /// What is free in the small one, in bytes.
  static void leave(std::uint64_t bytes) {
    struct statvfs& info = system_calls().file_system.emplace();
    info.f_frsize = 4096;
    info.f_blocks = 1000;
    info.f_bfree = info.f_bavail = bytes / 4096;
  }
  TargetChoice choose(const std::vector<std::string>& names) {
    plan_ = plan_staging(manifest_, options_, test_world().nodes());
    std::vector<std::vector<StagingSet>> candidates;
    for (const std::string& name : names)
      candidates.push_back(std::vector<StagingSet>{StagingSet{manifest_, plan_, source_, root_ / name / "train"}});
    TargetChoice choice = choose_target(test_world(), candidates, options_, context_);
    test_world().all().barrier();
    return choice;
  }
  StagingPlan plan_;
};

TEST_F(Choice, FallsOnTheFirstThatHasRoom) {
  const TargetChoice large = choose({"small", "large"});
  EXPECT_EQ(large.number, 1U);
  ASSERT_EQ(large.passed_over.size(), 1U);
  EXPECT_NE(large.passed_over[0].find("/small has "), std::string::npos) << large.passed_over[0];
  leave(std::uint64_t{100} * 4096);
  const TargetChoice small = choose({"small", "large"});
  EXPECT_EQ(small.number, 0U);
  EXPECT_TRUE(small.passed_over.empty());
  EXPECT_FALSE(fs::exists(root_ / "small" / "train")) << "it only looks";
}

TEST_F(Choice, SaysWhatIsFreeAndWhatIsNeeded) {
  for (const std::string& words :
       {std::string("node "), std::string("/small has 4.0 KiB free, staging needs 36.0 KiB")})
    EXPECT_NE(choose({"small", "large"}).passed_over[0].find(words), std::string::npos)
        << choose({"small", "large"}).passed_over[0];
}

TEST_F(Choice, CountsNoSpaceForWhatIsThereAlready) {
  options_.target = (root_ / "small" / "train").string();
  leave(std::uint64_t{100} * 4096);
  (void)run();
  leave(0);
  EXPECT_EQ(choose({"small", "large"}).number, 0U);
  on_one_rank([&] { fs::remove(root_ / "small" / "train" / name_of(6)); });
  EXPECT_EQ(choose({"small", "large"}).number, 1U);
  options_.reuse = false;
  leave(std::uint64_t{100} * 4096);
  EXPECT_EQ(choose({"small", "large"}).number, 0U);
}

TEST_F(Choice, CountsNoSpaceForWhatLiesInContainersAlready) {
  options_.target = (root_ / "small" / "train").string();
  options_.form = StageForm::packed;
  leave(std::uint64_t{100} * 4096);
  (void)run();
  leave(0);
  EXPECT_EQ(choose({"small", "large"}).number, 0U);
  options_.form = StageForm::files;
  EXPECT_EQ(choose({"small", "large"}).number, 1U) << "in that form there is nothing";
  options_.form = StageForm::packed;
  on_one_rank([&] { testing::write_file(source_ / name_of(6), text_of(5)); });
  scan();
  EXPECT_EQ(choose({"small", "large"}).number, 1U) << "what is outdated gives its two blocks, new containers take more";
  leave(std::uint64_t{4} * 4096);
  EXPECT_EQ(choose({"small", "large"}).number, 0U);
}

TEST_F(Choice, OfNoneIsAnErrorThatNamesEach) {
  system_calls().told_of = "";
  expect_data_error(
      [&] {
        (void)choose({"small", "large"});
      },
      {"stage.target: none of 2 folders has room on every node", "/small has 4.0 KiB free", "; node ",
       "/large has 4.0 KiB free", "nothing was copied"});
}

TEST_F(Choice, PassesOverWhatIsNoFolder) {
  on_one_rank([&] { testing::write_file(root_ / "file", "in the way"); });
  EXPECT_EQ(choose({"file/below", "large"}).number, 1U);
}

}  // namespace
}  // namespace trainmark
