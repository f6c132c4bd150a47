// Which files a dataset has, who writes them, and what is refused before anything is written.
#include "synth/dataset_plan.hpp"

#include <gtest/gtest.h>

#include <set>

namespace trainmark::synth {
namespace {

std::string refusal(const SynthOptions& options) {
  try {
    require_sense(options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return {};
}

CosmoflowData& cubes(SynthOptions& options) { return std::get<CosmoflowData>(options.content); }

SynthOptions universes() {
  SynthOptions options;
  options.layout = DatasetLayout::universe;
  options.train_samples = 128;
  options.validation_samples = 64;
  return options;
}

TEST(DatasetPlan, PacksSamplesIntoFilesAndTheRestIntoTheLast) {
  SynthOptions options;
  options.train_samples = 130;
  options.validation_samples = 3;
  const auto files = files_of(options);
  ASSERT_EQ(files.size(), 4U);
  EXPECT_EQ(files[2].name, "packed_000002.hdf5");
  EXPECT_EQ(files[2].first, 128);
  EXPECT_EQ(files[2].samples, 2);
  EXPECT_EQ(files[3].split, "validation");
  EXPECT_EQ(files[3].samples, 3);
  EXPECT_NE(files[2].stream, files[3].stream);
}

TEST(DatasetPlan, AUniverseHoldsAllItsBlocks) {
  const auto files = files_of(universes());
  ASSERT_EQ(files.size(), 3U);
  EXPECT_EQ(files[1].name, "univ_000001.hdf5");
  EXPECT_EQ(files[1].samples, 64);
}

SynthOptions images(DatasetLayout layout) {
  SynthOptions options;
  options.content = DeepcamData{};
  options.layout = layout;
  options.train_samples = 3000;
  options.validation_samples = 2;
  return options;
}

TEST(DatasetPlan, NamesImagesByDatesInTheOrderOfTheirNumbers) {
  const auto files = files_of(images(DatasetLayout::block));
  ASSERT_EQ(files.size(), 3002U);
  EXPECT_EQ(files[0].name, "data-1996-01-01-00-1.h5");
  EXPECT_EQ(files[9].name, "data-1996-01-02-01-1.h5");
  EXPECT_EQ(files[8 * 59].name, "data-1996-03-01-00-1.h5") << "years have no leap days";
  EXPECT_EQ(files[2919].name, "data-1996-12-31-07-1.h5");
  EXPECT_EQ(files[2920].name, "data-1997-01-01-00-1.h5");
  EXPECT_EQ(files[3001].name, "data-1996-01-01-01-2.h5");
  for (std::size_t i = 1; i < 3000; ++i)
    EXPECT_LT(files[i - 1].name, files[i].name);
  EXPECT_EQ(files_of(images(DatasetLayout::packed))[1].name, "packed_000001.hdf5");
}

TEST(DatasetPlan, RefusesImagesThatMakeNoSense) {
  EXPECT_EQ(refusal(images(DatasetLayout::block)), "");
  EXPECT_EQ(refusal(images(DatasetLayout::packed)), "");
  EXPECT_NE(refusal(images(DatasetLayout::universe)).find("choose block or packed"), std::string::npos);
  const auto refused = [](auto change, const char* said) {
    SynthOptions options = images(DatasetLayout::block);
    change(options, std::get<DeepcamData>(options.content));
    EXPECT_NE(refusal(options).find(said), std::string::npos) << refusal(options) << "\nlacks: " << said;
  };
  refused([](SynthOptions&, DeepcamData& d) { d.height = 16; }, "height 16");
  refused([](SynthOptions&, DeepcamData& d) { d.width = 99; }, "width 99");
  refused([](SynthOptions&, DeepcamData& d) { d.label_bits = 24; }, "labels of 24 bits");
  refused([](SynthOptions& o, DeepcamData&) { o.train_samples = std::int64_t{1} << 40; }, "no dates");
}

TEST(DatasetPlan, EveryFileHasOneRank) {
  for (const int size : {1, 2, 3, 7}) {
    std::multiset<std::size_t> all;
    for (int rank = 0; rank < size; ++rank) {
      for (const std::size_t file : files_of_rank(5, rank, size))
        all.insert(file);
    }
    EXPECT_EQ(all, (std::multiset<std::size_t>{0, 1, 2, 3, 4})) << size;
  }
}

TEST(DatasetPlan, FingerprintsTellFilesAndOptionsApart) {
  SynthOptions options, other;
  other.seed = 1;
  const auto files = files_of(options);
  EXPECT_NE(fingerprint(options, files[0]), fingerprint(options, files[1]));
  EXPECT_NE(fingerprint(options, files[0]), fingerprint(other, files[0]));
  // Training sets of different sizes share their first files, so that a set can grow.
  other = options;
  other.train_samples *= 2;
  EXPECT_EQ(fingerprint(options, files[0]), fingerprint(other, files_of(other)[0]));
}

TEST(DatasetPlan, RefusesOptionsThatMakeNoSenseAndSaysWhatWould) {
  EXPECT_EQ(refusal(SynthOptions{}), "");
  EXPECT_EQ(refusal(universes()), "");
  const auto refused = [](auto change, const char* said) {
    SynthOptions options = universes();
    change(options);
    EXPECT_NE(refusal(options).find(said), std::string::npos) << refusal(options) << "\nlacks: " << said;
  };
  refused([](SynthOptions& o) { o.layout = DatasetLayout::jpeg; }, "universe, block or packed");
  refused([](SynthOptions& o) { cubes(o).extent = 7; }, "extent 7");
  refused([](SynthOptions& o) { cubes(o).extent = 0; }, "extent 0");
  refused([](SynthOptions& o) { cubes(o).universe_extent = 80; }, "universe extent 80");
  refused([](SynthOptions& o) { cubes(o).universe_extent = 0; }, "universe extent 0");
  refused([](SynthOptions& o) { o.train_samples = 100; }, "give 64 or 128");
  refused([](SynthOptions& o) { o.validation_samples = 10; }, "give 64 or more");
  refused([](SynthOptions& o) { o.gzip = 11; }, "gzip level 11");
  refused([](SynthOptions& o) { o.samples_per_file = 0; }, "0 samples a file");
  refused([](SynthOptions& o) { o.train_samples = -1; }, "-1 training samples");
}

}  // namespace
}  // namespace trainmark::synth
