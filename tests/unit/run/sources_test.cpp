// What lies beside or behind a dataset's files: others that they need, runs that stage to them, ranges of channels.
#include <gtest/gtest.h>

#include <fstream>

#include "run/launch/dataset.hpp"
#include "support/mpi_main.hpp"
#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

const World& world() { return test_world(); }

/// Two splits of one file each, with two samples in it, which rank 0 made.
class Sources : public ::testing::Test {
 protected:
  Sources() {
    options_.recipe.model = CosmoflowOptions{.extent = 32};
    std::string path;
    if (world().all().rank() == 0) {
      folder_ = std::make_unique<testing::Scratch>();
      path = folder_->path().string();
      for (const char* split : {"train", "validation"}) {
        std::filesystem::create_directories(folder_->path() / split);
        put(folder_->path() / split / "a.h5", 2);
      }
    }
    root_ = world().all().broadcast(path);
    options_.data.train = (root_ / "train").string();
    options_.data.validation = (root_ / "validation").string();
  }
  ~Sources() override { world().all().barrier(); }

  static void put(const std::filesystem::path& path, hsize_t samples) {
    testing::File file(path);
    file.put("x", {samples, 32, 32, 32, 4}, std::vector<std::int16_t>(samples * 32 * 32 * 32 * 4, 1));
    file.put("y", {samples, 4}, std::vector<float>(samples * 4));
  }

  std::unique_ptr<testing::Scratch> folder_;
  std::filesystem::path root_;
  RunOptions options_;
};

TEST_F(Sources, OfEitherSplitThatGrowWhileOthersStageToThemEndTheRun) {
  for (const std::string split : {"train", "validation"}) {
    const std::filesystem::path folder = root_ / split;
    if (world().all().rank() == 0) std::ofstream(folder / ".trainmark.lock").flush();
    world().all().barrier();
    const Dataset found = find_dataset(world(), options_, [] {});
    Timeline timeline({});
    Watchdog watchdog([](const std::string&) {});
    const auto bring = [&] { return stage_dataset(world(), options_, found, timeline, watchdog); };
    EXPECT_EQ(bring().train.root, root_ / "train");
    world().all().barrier();
    if (world().all().rank() == 0) put(folder / "later.h5", 1);
    world().all().barrier();
    testing::expect_data_error([&] { (void)bring(); }, {split + ": had 1 files when it was scanned and has 2 now"});
    world().all().barrier();
  }
}

TEST_F(Sources, ThatAStagingFilledInPartEndTheRun) {
  const std::filesystem::path folder = root_ / "train", journal = folder / ".trainmark.journal.0";
  if (world().all().rank() == 0) {
    std::ofstream(folder / ".trainmark.lock").flush();
    std::ofstream(journal).flush();
  }
  world().all().barrier();
  const Dataset found = find_dataset(world(), options_, [] {});
  Timeline timeline({});
  Watchdog watchdog([](const std::string&) {});
  const auto bring = [&] { return stage_dataset(world(), options_, found, timeline, watchdog); };
  testing::expect_data_error([&] { (void)bring(); },
                             {"train: holds what a staging has left", "trainmark stage CONFIG"});
  world().all().barrier();
  if (world().all().rank() == 0) std::filesystem::remove(journal);
  world().all().barrier();
  EXPECT_EQ(bring().train.root, folder);
}

TEST_F(Sources, AreNotStagedWhereTheirSamplesAreInAnotherFileToo) {
  if (world().all().rank() == 0) {
    testing::File file(root_ / "validation" / "d.h5");
    file.put("y", {1, 4}, std::vector<float>(4));
    put(root_ / "store.h5x", 1);
    H5Lcreate_external((root_ / "store.h5x").c_str(), "/x", file.id(), "x", H5P_DEFAULT, H5P_DEFAULT);
  }
  world().all().barrier();
  EXPECT_EQ(find_dataset(world(), options_, [] {}).validation.samples, 3) << "it is read where it is";
  options_.stage.strategy = Strategy::replicate;
  options_.stage.target = (root_ / "target").string();
  testing::expect_data_error([&] { (void)find_dataset(world(), options_, [] {}); },
                             {"d.h5: its samples are also in another file", "staging copies each file alone"});
}

TEST_F(Sources, AreShardedByWholeFiles) {
  options_.stage.strategy = Strategy::shard;
  options_.stage.target = (root_ / "target").string();
  EXPECT_EQ(find_dataset(world(), options_, [] {}).train.plan.parts.size(), 1U) << "a node";
  options_.data.train_samples = 1;
  testing::expect_data_error(
      [&] { (void)find_dataset(world(), options_, [] {}); },
      {"/data/train_samples: 1 samples end in the middle of a file (2 are in the files up to it)", "set it to 2 or 0"});
  options_.stage.strategy = Strategy::replicate;
  EXPECT_EQ(find_dataset(world(), options_, [] {}).train.samples, 1);
}

TEST_F(Sources, AreStagedInTimeThatIsTaken) {
  options_.stage.strategy = Strategy::replicate;
  options_.stage.target = (root_ / "target").string();
  const Dataset found = find_dataset(world(), options_, [] {});
  Timeline timeline({});
  Watchdog watchdog([](const std::string&) {});
  const StagedDataset staged = stage_dataset(world(), options_, found, timeline, watchdog);
  EXPECT_GT(staged.train.seconds, 0.0);
  EXPECT_GT(staged.seconds, 0.0);
  EXPECT_EQ(staged.train.root, root_ / "target" / "train");
  EXPECT_EQ(staged.validation.root, root_ / "target" / "validation");
}

TEST(Channels, AreToldToEveryRankWithWhatTheyRangeOver) {
  std::unique_ptr<testing::Scratch> folder;
  std::string path;
  RunOptions options;
  options.recipe.model = DeepcamOptions{.rows = 16, .columns = 16};
  if (world().all().rank() == 0) {
    folder = std::make_unique<testing::Scratch>();
    path = folder->path().string();
    for (const char* split : {"train", "validation"}) {
      std::filesystem::create_directories(folder->path() / split);
      testing::File file(folder->path() / split / "data-1996-01-01-00-0.h5");
      file.group("climate");
      file.put("climate/data", {16, 16, 16}, std::vector<float>(16 * 16 * 16));
      file.put_integers("climate/labels_0", {16, 16}, H5T_STD_U8LE, std::vector<std::int64_t>(16 * 16));
    }
    for (const char* file : {"stats.h5", "others.h5"}) {
      ChannelStats stats;
      for (int channel = 0; channel < 16; ++channel) {
        stats.minimum.push_back(-channel - (file[0] == 'o' ? 100.0 : 1.0));
        stats.maximum.push_back(2.0 * channel + 1.0);
      }
      stats.mean = stats.mean_square = std::vector<double>(16);
      write_channel_stats(folder->path() / file, stats, "a test");
    }
  }
  const std::filesystem::path root = world().all().broadcast(path);
  options.data.train = (root / "train").string();
  options.data.validation = (root / "validation").string();
  for (const double least : {1.0, 100.0}) {
    const Dataset found = find_dataset(world(), options, [] {});
    ASSERT_EQ(found.channels.size(), 16U);
    for (std::size_t channel = 0; channel < 16; ++channel) {
      EXPECT_EQ(found.channels[channel].least, -static_cast<double>(channel) - least);
      EXPECT_EQ(found.channels[channel].most, 2.0 * static_cast<double>(channel) + 1.0);
    }
    options.data.stats = (root / "others.h5").string();
  }
  world().all().barrier();
}

}  // namespace
}  // namespace trainmark
