// Whole datasets: the same bytes from any number of ranks, readable in all three layouts, never overwritten.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <thread>

#include "support/mpi_main.hpp"
#include "synth/data_file.hpp"
#include "trainmark/load.hpp"
#include "trainmark/synth.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

DataSchema schema(std::int64_t extent) {
  return {.fields = {{"x", Shape{extent, extent, extent, 4}, DType::i16, {}, {"x", "full"}},
                     {"y", Shape{4}, DType::f32, {}, {"y", "unitPar"}}},
          .cut = Cut{.stored_as = "full", .extent = 128}};
}

constexpr std::array all_layouts = {DatasetLayout::packed, DatasetLayout::block, DatasetLayout::universe};

SynthOptions small(DatasetLayout layout) {
  SynthOptions options;
  options.layout = layout;
  options.content = CosmoflowData{.extent = 8, .universe_extent = 16};
  options.train_samples = 16;
  options.validation_samples = 8;
  options.samples_per_file = 5;
  return options;
}

class Generate : public testing::Test {
 protected:
  // One folder for all ranks, named by rank 0.
  fs::path folder = test_world().all().broadcast(
      (fs::path(testing::TempDir()) / ("trainmark-synth-" + std::to_string(getpid()))).string());
  void TearDown() override {
    test_world().all().barrier();
    if (test_world().all().rank() == 0) fs::remove_all(folder);
    test_world().all().barrier();
  }
  SynthReport make(const SynthOptions& options, const std::string& name) {
    const SynthReport report = generate_dataset(test_world(), options, folder / name, {});
    test_world().all().barrier();
    return report;
  }
  /// What is said when `options` are refused for the data that are there.
  std::string refusal(const SynthOptions& options, const std::string& name) {
    try {
      make(options, name);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      test_world().all().barrier();
      return error.what();
    }
    return "nothing";
  }
  template <class Work>
  static void on_first(Work&& work) {
    if (test_world().all().rank() == 0) work();
    test_world().all().barrier();
  }
  /// The bytes of each sample, its targets at the end.
  std::vector<std::vector<std::byte>> samples_of(const std::string& name) const {
    const fs::path root = folder / name;
    const Manifest manifest = scan_dataset(root, {}, schema(8));
    const auto source = open_hdf5(root, manifest, {}, schema(8));
    std::vector<std::vector<std::byte>> samples;
    for (std::int64_t i = 0; i < manifest.samples(); ++i) {
      std::vector<std::byte>& bytes = samples.emplace_back(schema(8).sample_bytes());
      const std::span<std::byte> all(bytes);
      source->read({.sample = i}, {all.first(all.size() - 16), all.last(16)});
    }
    return samples;
  }
  static std::uint64_t hash_of(const fs::path& root) {
    std::uint64_t hash = 14695981039346656037ULL;
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
      std::ifstream stream(file, std::ios::binary);
      for (std::istreambuf_iterator<char> byte(stream), end; byte != end; ++byte) {
        hash = (hash ^ static_cast<unsigned char>(*byte)) * 1099511628211ULL;
      }
    }
    return hash;
  }
};

TEST_F(Generate, WritesTheSameBytesHoweverManyRanksWriteAndWhenever) {
  for (const DatasetLayout form : all_layouts) {
    const std::string layout(word(form));
    SynthOptions options = small(form);
    options.gzip = form == DatasetLayout::packed ? 0 : 3;
    make(options, layout);
    if (test_world().all().rank() == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5 keeps times by the second
      const fs::path alone = folder / (layout + "-alone");
      const auto content = synth::make_content(options);
      for (const synth::FilePlan& file : synth::files_of(options)) {
        fs::create_directories(alone / file.split);
        synth::write_file(*content, file, alone / file.split / file.name, [](std::int64_t) {});
      }
      EXPECT_EQ(hash_of(folder / layout), hash_of(alone)) << layout;
    }
    test_world().all().barrier();
  }
}

TEST_F(Generate, SamplesDoNotDependOnHowManyShareAFile) {
  SynthOptions other = small(DatasetLayout::packed);
  other.samples_per_file = 16;
  make(small(DatasetLayout::packed), "five");
  make(other, "sixteen");
  make(small(DatasetLayout::block), "one");
  EXPECT_EQ(samples_of("five/train"), samples_of("sixteen/train"));
  EXPECT_EQ(samples_of("five/train"), samples_of("one/train"));
  EXPECT_NE(samples_of("five/train")[0], samples_of("five/validation")[0]);
}

TEST_F(Generate, EveryLayoutHoldsItsSamples) {
  for (const DatasetLayout layout : all_layouts) {
    for (const int gzip : {0, 6}) {
      SynthOptions options = small(layout);
      options.gzip = gzip;
      const std::string name = std::string(word(layout)) + std::to_string(gzip);
      make(options, name);
      const Manifest manifest = scan_dataset(folder / name / "train", {}, schema(8));
      EXPECT_EQ(manifest.samples(), 16) << name;
      const auto source = open_hdf5(folder / name / "train", manifest, {}, schema(8));
      std::vector<std::byte> x(schema(8).fields[0].bytes()), y(16);
      for (std::int64_t sample = 0; sample < 16; ++sample)
        source->read({.sample = sample}, {x, y});
      for (const std::byte* at = y.data(); at < y.data() + 16; at += 4) {
        float target = 0;
        std::memcpy(&target, at, 4);
        EXPECT_LE(std::fabs(target), 1.0F);
      }
    }
  }
}

TEST_F(Generate, ByteOrderAndCompressionDoNotChangeTheSamples) {
  for (const DatasetLayout form : {DatasetLayout::packed, DatasetLayout::universe}) {
    const std::string layout(word(form));
    SynthOptions other = small(form);
    other.gzip = 4;
    other.big_endian = true;
    make(small(form), layout + "-plain");
    make(other, layout + "-other");
    EXPECT_EQ(samples_of(layout + "-plain/train"), samples_of(layout + "-other/train"));
  }
}

TEST_F(Generate, CompressesAboutAsWellAsTheRealData) {
  SynthOptions options = small(DatasetLayout::packed);
  options.content = CosmoflowData{.extent = 32};
  options.train_samples = options.validation_samples = 4;
  options.gzip = 6;
  const SynthReport report = make(options, "gzip");
  const double ratio = 8.0 * static_cast<double>(schema(32).fields[0].bytes()) / static_cast<double>(report.bytes);
  EXPECT_GT(ratio, 4.0);
  EXPECT_LT(ratio, 8.0);
}

TEST_F(Generate, KeepsWhatIsThereAndRefusesToReplaceOtherData) {
  EXPECT_EQ(make(small(DatasetLayout::packed), "kept").files_written, 6);
  const SynthReport again = make(small(DatasetLayout::packed), "kept");
  EXPECT_EQ(again.files_written, 0);
  EXPECT_EQ(again.files_kept, 6);
  EXPECT_GT(again.seconds, 0.0);
  std::int64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "kept"))
    bytes += entry.is_regular_file() ? static_cast<std::int64_t>(entry.file_size()) : 0;
  EXPECT_EQ(again.bytes, bytes) << "of the whole dataset, whoever wrote it";
  const std::uint64_t before = hash_of(folder / "kept");
  SynthOptions other = small(DatasetLayout::packed);
  other.seed = 5;
  const std::string said = refusal(other, "kept");
  EXPECT_NE(said.find("seed is 20231, not 5"), std::string::npos) << said;
  EXPECT_EQ(hash_of(folder / "kept"), before);
}

TEST_F(Generate, MakesWhatIsMissingAndTheGrowthOfASet) {
  make(small(DatasetLayout::packed), "grown");
  on_first([&] { fs::remove(folder / "grown/train/packed_000001.hdf5"); });
  EXPECT_EQ(make(small(DatasetLayout::packed), "grown").files_written, 1);
  SynthOptions more = small(DatasetLayout::block);
  make(more, "blocks");
  more.train_samples += 4;
  const SynthReport report = make(more, "blocks");
  EXPECT_EQ(report.files_written, 4);
  EXPECT_EQ(report.files_kept, 24);
}

TEST_F(Generate, RefusesAFolderThatHoldsOtherFilesToo) {
  SynthOptions fewer = small(DatasetLayout::block);
  make(fewer, "strangers");
  fewer.train_samples -= 1;
  const std::string said = refusal(fewer, "strangers");
  EXPECT_NE(said.find("block_000015.hdf5"), std::string::npos) << said;
}

TEST_F(Generate, RefusesADamagedFileInsteadOfReplacingIt) {
  make(small(DatasetLayout::packed), "damaged");
  on_first([&] { fs::resize_file(folder / "damaged/train/packed_000002.hdf5", 1000); });
  const std::uint64_t before = hash_of(folder / "damaged");
  const std::string said = refusal(small(DatasetLayout::packed), "damaged");
  EXPECT_NE(said.find("packed_000002.hdf5"), std::string::npos) << said;
  EXPECT_NE(said.find("damaged"), std::string::npos) << said;
  EXPECT_EQ(hash_of(folder / "damaged"), before);
}

TEST_F(Generate, ReportsProgressToTheEnd) {
  std::vector<double> heard;
  generate_dataset(test_world(), small(DatasetLayout::packed), folder / "progress",
                   [&](double at) { heard.push_back(at); });
  if (test_world().all().rank() != 0) {
    EXPECT_TRUE(heard.empty());
    return;
  }
  ASSERT_GT(heard.size(), 2U);
  EXPECT_TRUE(std::is_sorted(heard.begin(), heard.end()));
  EXPECT_EQ(heard.back(), 1.0);
}

TEST_F(Generate, RefusesNonsenseBeforeItMakesAFolder) {
  SynthOptions options = small(DatasetLayout::universe);
  options.content = CosmoflowData{.extent = 8, .universe_extent = 20};
  EXPECT_THROW(make(options, "nonsense"), Error);
  EXPECT_FALSE(fs::exists(folder / "nonsense"));
}

}  // namespace
}  // namespace trainmark
