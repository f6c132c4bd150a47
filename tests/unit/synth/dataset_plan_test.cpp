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
  refused([](SynthOptions&, DeepcamData& d) { d.height = 1538; }, "height 1538 is not an even number from 32 to 1536");
  refused([](SynthOptions&, DeepcamData& d) { d.width = 3074; }, "width 3074 is not an even number from 32 to 3072");
  refused([](SynthOptions&, DeepcamData& d) { d.width = 30; }, "width 30");
  refused([](SynthOptions&, DeepcamData& d) { d.height = 33; }, "height 33");
  // Dates are of 8,000 years of 365 days of 8 steps.
  refused([](SynthOptions& o, DeepcamData&) { o.train_samples = 23'360'001; }, "give at most 23360000");
  refused([](SynthOptions& o, DeepcamData&) { o.validation_samples = 23'360'001; }, "no dates");
}

TEST(DatasetPlan, TakesImagesUpToTheirBounds) {
  SynthOptions options = images(DatasetLayout::block);
  for (const DeepcamData& data : {DeepcamData{.height = 32, .width = 32}, DeepcamData{.height = 1536, .width = 3072}}) {
    options.content = data;
    EXPECT_EQ(refusal(options), "");
  }
  for (const int bits : {8, 16, 32, 64}) {
    options.content = DeepcamData{.label_bits = bits};
    EXPECT_EQ(refusal(options), "") << bits;
  }
  options.train_samples = 23'360'000;
  EXPECT_EQ(refusal(options), "");
  options.layout = DatasetLayout::packed;
  options.train_samples = 23'360'001;
  EXPECT_EQ(refusal(options), "") << "numbers have no end as dates have";
}

TEST(DatasetPlan, TakesPicturesUpToTheirBoundsAndRefusesOthers) {
  const auto said = [](int classes, int size, DatasetLayout layout = DatasetLayout::jpeg, int gzip = 0) {
    SynthOptions options;
    options.content = ImageData{.classes = classes, .size = size};
    options.layout = layout;
    options.gzip = gzip;
    return refusal(options);
  };
  EXPECT_EQ(said(2, 32), "");
  EXPECT_EQ(said(1000, 2048), "");
  EXPECT_NE(said(1, 96).find("1 classes are not 2 to 1000"), std::string::npos);
  EXPECT_NE(said(1001, 96).find("1001 classes are not 2 to 1000"), std::string::npos);
  EXPECT_NE(said(10, 31).find("images of 31 pixels"), std::string::npos);
  EXPECT_NE(said(10, 2049).find("images of 2049 pixels"), std::string::npos);
  EXPECT_NE(said(10, 96, DatasetLayout::packed).find("layout \"packed\" does not exist for ResNet-50"),
            std::string::npos);
  EXPECT_NE(said(10, 96, DatasetLayout::jpeg, 3).find("gzip level 3 is of no use"), std::string::npos);
}

TEST(DatasetPlan, PacksPicturesIntoFilesOfTheirNumberOfSamples) {
  SynthOptions options;
  options.content = ImageData{};
  options.layout = DatasetLayout::jpeg;
  options.train_samples = 9;
  options.validation_samples = 1;
  options.samples_per_file = 4;
  const auto files = files_of(options);
  ASSERT_EQ(files.size(), 4U);
  EXPECT_EQ(files[2].name, "jpeg_000002.hdf5");
  EXPECT_EQ(files[2].first, 8);
  EXPECT_EQ(files[2].samples, 1);
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

TEST(DatasetPlan, FingerprintsNameAllThatShapesAFile) {
  SynthOptions options = universes();
  options.gzip = 4;
  options.big_endian = true;
  EXPECT_EQ(fingerprint(options, files_of(options)[1]),
            "layout=universe extent=32 universe_extent=128 gzip=4 big_endian=1 seed=20231 split=train first=64 "
            "samples=64");
  options = images(DatasetLayout::packed);
  EXPECT_EQ(fingerprint(options, files_of(options).back()),
            "layout=packed height=96 width=144 label_bits=8 gzip=0 big_endian=0 seed=20231 split=validation first=0 "
            "samples=2");
  options.content = ImageData{};
  options.layout = DatasetLayout::jpeg;
  EXPECT_EQ(fingerprint(options, files_of(options)[0]),
            "layout=jpeg classes=10 size=96 gzip=0 big_endian=0 seed=20231 split=train first=0 samples=64");
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
  refused([](SynthOptions& o) { o.validation_samples = 0; }, "0 validation samples");
  refused([](SynthOptions& o) { o.gzip = -1; }, "gzip level -1");
  refused([](SynthOptions& o) { cubes(o).extent = 514; }, "extent 514 is not an even number from 2 to 512");
  refused([](SynthOptions& o) { cubes(o).universe_extent = 1056; }, "universe extent 1056 is not a multiple");
  refused([](SynthOptions& o) { cubes(o).universe_extent = 16; }, "universe extent 16");
}

TEST(DatasetPlan, TakesCubesUpToTheirBounds) {
  SynthOptions options;
  for (const int extent : {2, 512}) {
    options.content = CosmoflowData{.extent = extent};
    EXPECT_EQ(refusal(options), "") << extent;
  }
  for (const int gzip : {0, 9}) {
    options.gzip = gzip;
    EXPECT_EQ(refusal(options), "") << gzip;
  }
  options.train_samples = options.validation_samples = options.samples_per_file = 1;
  EXPECT_EQ(refusal(options), "");
  options = universes();
  options.content = CosmoflowData{.extent = 512, .universe_extent = 1024};
  options.train_samples = options.validation_samples = 8;
  EXPECT_EQ(refusal(options), "");
  options.content = CosmoflowData{.extent = 32, .universe_extent = 32};
  options.train_samples = options.validation_samples = 1;
  EXPECT_EQ(refusal(options), "") << "a universe of one sample";
}

}  // namespace
}  // namespace trainmark::synth
