// One rank reads what a dataset holds; all come to know the same, and hear meanwhile that it goes on.
#include <gtest/gtest.h>

#include <fstream>

#include "run/launch/dataset.hpp"
#include "support/mpi_main.hpp"
#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

const Group& all() { return test_world().all(); }

/// Two splits that rank 0 made: training samples 3 + 1 in two files, with a manifest beside them, and 2 for validation.
class FindDataset : public ::testing::Test {
 protected:
  FindDataset() {
    options_.recipe.model = CosmoflowOptions{.extent = 32};
    std::string path;
    if (all().rank() == 0) {
      folder_ = std::make_unique<testing::Scratch>();
      path = folder_->path().string();
      put(folder_->path() / "train" / "a.h5", 3);
      put(folder_->path() / "train" / "b.h5", 1);
      put(folder_->path() / "validation" / "c.h5", 2);
      (void)verify_dataset(folder_->path() / "train", {}, schema_of(options_.recipe.model), true);
    }
    root_ = all().broadcast(path);
    options_.data.train = (root_ / "train").string();
    options_.data.validation = (root_ / "validation").string();
  }
  ~FindDataset() override { all().barrier(); }

  static void put(const std::filesystem::path& path, hsize_t samples) {
    testing::File file(path);
    file.put("x", {samples, 32, 32, 32, 4}, std::vector<std::int16_t>(samples * 32 * 32 * 32 * 4, 1));
    file.put("y", {samples, 4}, std::vector<float>(samples * 4));
  }

  std::unique_ptr<testing::Scratch> folder_;
  std::filesystem::path root_;
  RunOptions options_;
};

TEST_F(FindDataset, TellsEveryRankNamesCountsTimesAndHashes) {
  int heard = 0;
  const Dataset found = find_dataset(test_world(), options_, [&] { ++heard; });
  ASSERT_EQ(found.train.manifest.entries.size(), 2U);
  const ManifestEntry& second = found.train.manifest.entries[1];
  EXPECT_EQ(second.name, "b.h5");
  EXPECT_EQ(second.samples, 1);
  EXPECT_EQ(second.bytes, static_cast<std::int64_t>(std::filesystem::file_size(root_ / "train" / "b.h5")));
  EXPECT_EQ(second.xxh3, hash_file(root_ / "train" / "b.h5"));
  EXPECT_GT(second.modified_ns, 0);
  EXPECT_EQ(found.train.samples, 4);
  EXPECT_EQ(found.validation.samples, 2);
  EXPECT_EQ(found.facts.train_samples, 4);
  EXPECT_GE(heard, all().rank() == 0 ? 8 : 2);  // who reads hears of each folder and file, others of each split
}

TEST_F(FindDataset, HasEachRankOpenItsPartOfFilesWithoutAManifest) {
  if (all().rank() == 0) {
    std::filesystem::remove(root_ / "train" / manifest_name);
    for (hsize_t i = 0; i < 9; ++i)
      put(root_ / "train" / ("c" + std::to_string(i) + ".h5"), i % 3 + 1);
  }
  all().barrier();
  int heard = 0;
  const Dataset found = find_dataset(test_world(), options_, [&] { ++heard; });
  std::vector<std::int64_t> samples;
  for (const ManifestEntry& entry : found.train.manifest.entries)
    samples.push_back(entry.samples);
  EXPECT_EQ(samples, (std::vector<std::int64_t>{3, 1, 1, 2, 3, 1, 2, 3, 1, 2, 3}));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const ListedLayout& layout = found.train.manifest.entries[i].layout;
    ASSERT_TRUE(layout.form) << "rank " << all().rank() << " does not know how file " << i << " lies";
    EXPECT_NE(layout.form->find("\"dims\":[" + std::to_string(samples[i]) + ",32"), std::string::npos) << *layout.form;
    EXPECT_NE(layout.places, "");
  }
}

TEST_F(FindDataset, EndsOnEveryRankWhereOnlyTheLastOfItsFilesCannotBeOpened) {
  if (all().rank() == 0) {
    std::filesystem::remove(root_ / "train" / manifest_name);
    put(root_ / "train" / "x.h5", 1);
    std::ofstream(root_ / "train" / "z.h5") << "no HDF5";
  }
  all().barrier();
  testing::expect_data_error([&] { (void)find_dataset(test_world(), options_, [] {}); }, {"z.h5", "HDF5"});
}

TEST_F(FindDataset, EndsOnEveryRankWhereOneFileOfAnotherRanksPartIsOfAnotherForm) {
  if (all().rank() == 0) {
    std::filesystem::remove(root_ / "train" / manifest_name);
    for (const char* name : {"d.h5", "e.h5"})
      put(root_ / "train" / name, 2);
    testing::File file(root_ / "train" / "z.h5");
    file.put("x", {64, 64, 64, 4}, std::vector<std::int16_t>(64 * 64 * 64 * 4, 1));
    file.put("y", {4}, std::vector<float>(4));
  }
  all().barrier();
  testing::expect_data_error([&] { (void)find_dataset(test_world(), options_, [] {}); },
                             {"holds files of 2 forms", "4 of layout packed with 'x' and 'y' (a.h5)",
                              "1 of layout universe 64x64x64x4 with 'x' and 'y' (z.h5)"});
}

TEST_F(FindDataset, NamesCompanionsOnEveryRankWhereFilesAreStaged) {
  if (all().rank() == 0) {
    std::filesystem::remove(root_ / "train" / manifest_name);
    put(root_ / "train" / "store.h5x", 1);
    const testing::File file(root_ / "train" / "d.h5");
    for (const char* name : {"x", "y"})
      H5Lcreate_external("store.h5x", name, file.id(), name, H5P_DEFAULT, H5P_DEFAULT);
  }
  all().barrier();
  options_.stage.strategy = Strategy::replicate;
  testing::expect_data_error([&] { (void)find_dataset(test_world(), options_, [] {}); },
                             {"d.h5", "its samples are also in another file", "store.h5x", "staging copies"});
}

TEST_F(FindDataset, KeepsTheFilesThatHoldTheSamplesAskedFor) {
  options_.data.train_samples = 3;
  const Dataset found = find_dataset(test_world(), options_, [] {});
  EXPECT_EQ(found.train.samples, 3);
  EXPECT_EQ(found.train.manifest.entries.size(), 1U);
  EXPECT_EQ(found.facts.train_samples, 4);
}

TEST_F(FindDataset, EndsWhereASourceThatIsStagedToHasGrownSinceItWasScanned) {
  if (all().rank() == 0) {
    std::filesystem::remove(root_ / "train" / manifest_name);
    std::ofstream(root_ / "train" / ".trainmark.lock").flush();
  }
  all().barrier();
  const Dataset found = find_dataset(test_world(), options_, [] {});
  Timeline timeline({});
  Watchdog watchdog([](const std::string&) {});
  const auto bring = [&] { return stage_dataset(test_world(), options_, found, timeline, watchdog); };
  EXPECT_EQ(bring().train.root, root_ / "train");
  all().barrier();
  if (all().rank() == 0) put(root_ / "train" / "later.h5", 1);
  all().barrier();
  testing::expect_data_error([&] { (void)bring(); }, {"train: had 2 files when it was scanned and has 3 now"});
}

TEST_F(FindDataset, LeavesContentsOfOtherTimesThanListedToStagingWhichComparesThem) {
  options_.stage.strategy = Strategy::replicate;
  options_.stage.target = (root_ / "target").string();
  const std::filesystem::path file = root_ / "train" / "b.h5";
  const auto an_hour_later = [&] {
    if (all().rank() == 0)
      std::filesystem::last_write_time(file, std::filesystem::last_write_time(file) + std::chrono::hours(1));
    all().barrier();
  };
  std::string said;
  Timeline timeline({});
  Watchdog watchdog([](const std::string&) {});
  const auto bring = [&] {
    const Dataset found = find_dataset(
        test_world(), options_, [] {}, [&](const std::string& line) { said += line; });
    return stage_dataset(test_world(), options_, found, timeline, watchdog);
  };
  an_hour_later();
  (void)bring();
  EXPECT_EQ(said.find("1 of the files below ") != std::string::npos, all().rank() == 0) << said;
  EXPECT_EQ(said.find("are compared with its hashes when they are copied") != std::string::npos, all().rank() == 0);
  if (all().rank() == 0) {
    std::fstream damaged(file, std::ios::in | std::ios::out | std::ios::binary);
    damaged.seekp(-1, std::ios::end);
    damaged.put('!');
  }
  all().barrier();
  an_hour_later();
  testing::expect_data_error([&] { (void)bring(); }, {"b.h5: content has XXH3 ", "its manifest says"});
  options_.data.manifest = ManifestBeside::ignored;
  EXPECT_EQ(bring().train.root, root_ / "target" / "train");
}

TEST_F(FindDataset, EndsOnEveryRankWhereANameCannotBeTold) {
  if (all().rank() == 0) put(root_ / "validation" / "d\n.h5", 1);
  testing::expect_data_error([&] { (void)find_dataset(test_world(), options_, [] {}); },
                             {"'d\\x0a.h5' has a control character"});
}

}  // namespace
}  // namespace trainmark
