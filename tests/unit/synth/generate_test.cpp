// Whole datasets: the same bytes from any number of ranks, readable in all three layouts, never overwritten.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include "support/mpi_main.hpp"
#include "trainmark/load.hpp"
#include "trainmark/synth.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

DataSchema schema(std::int64_t extent) {
  return {{{"x", Shape{extent, extent, extent, 4}, DType::i16}, {"y", Shape{4}, DType::f32}}};
}

SynthOptions small(const std::string& layout) {
  SynthOptions options;
  options.layout = layout;
  options.extent = 8;
  options.universe_extent = 16;
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
    const SynthReport report = generate_cosmoflow(test_world(), options, folder / name, {});
    test_world().all().barrier();
    return report;
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

TEST_F(Generate, WritesTheSameBytesHoweverManyRanksWrite) {
  // Known from a run on one rank; a change of the generator must raise its version and this number.
  make(small("packed"), "packed");
  static const std::uint64_t here = hash_of(folder / "packed");
  EXPECT_EQ(here, 7239627115074528093ULL);
}

TEST_F(Generate, EveryLayoutHoldsItsSamples) {
  for (const std::string layout : {"packed", "block", "universe"}) {
    for (const int gzip : {0, 6}) {
      SynthOptions options = small(layout);
      options.gzip = gzip;
      const std::string name = layout + std::to_string(gzip);
      make(options, name);
      const Manifest manifest = scan_dataset(folder / name / "train", {}, schema(8));
      EXPECT_EQ(manifest.samples(), 16) << name;
      const auto source = open_hdf5(folder / name / "train", manifest, {}, schema(8));
      std::vector<std::byte> x(schema(8).fields[0].bytes()), y(16);
      for (std::int64_t sample = 0; sample < 16; ++sample)
        source->read(sample, {x, y});
      for (const std::byte* at = y.data(); at < y.data() + 16; at += 4) {
        float target = 0;
        std::memcpy(&target, at, 4);
        EXPECT_LE(std::fabs(target), 1.0F);
      }
    }
  }
}

TEST_F(Generate, ByteOrderAndCompressionDoNotChangeTheSamples) {
  SynthOptions other = small("packed");
  other.gzip = 4;
  other.big_endian = true;
  make(small("packed"), "plain");
  make(other, "other");
  std::vector<std::byte> x(schema(8).fields[0].bytes()), y(16), x2(x.size()), y2(16);
  const auto open = [&](const std::string& name) {
    return open_hdf5(folder / name / "train", scan_dataset(folder / name / "train", {}, schema(8)), {}, schema(8));
  };
  const auto plain = open("plain"), swapped = open("other");
  for (std::int64_t sample = 0; sample < 16; ++sample) {
    plain->read(sample, {x, y});
    swapped->read(sample, {x2, y2});
    EXPECT_EQ(x, x2);
    EXPECT_EQ(y, y2);
  }
}

TEST_F(Generate, CompressesAboutAsWellAsTheRealData) {
  SynthOptions options = small("packed");
  options.extent = 32;
  options.train_samples = options.validation_samples = 4;
  options.gzip = 6;
  const SynthReport report = make(options, "gzip");
  const double ratio = 8.0 * static_cast<double>(schema(32).fields[0].bytes()) / static_cast<double>(report.bytes);
  EXPECT_GT(ratio, 4.0);
  EXPECT_LT(ratio, 8.0);
}

TEST_F(Generate, KeepsWhatIsThereAndRefusesToReplaceOtherData) {
  EXPECT_EQ(make(small("packed"), "kept").files_written, 6);
  const SynthReport again = make(small("packed"), "kept");
  EXPECT_EQ(again.files_written, 0);
  EXPECT_EQ(again.files_kept, 6);
  SynthOptions other = small("packed");
  other.seed = 5;
  try {
    make(other, "kept");
    FAIL() << "other data were replaced";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_NE(std::string(error.what()).find("seed"), std::string::npos) << error.what();
  }
}

TEST_F(Generate, RefusesOptionsThatMakeNoSense) {
  const auto refused = [&](auto change) {
    SynthOptions options = small("universe");
    change(options);
    EXPECT_THROW(make(options, "nonsense"), Error);
  };
  refused([](SynthOptions& options) { options.layout = "cubes"; });
  refused([](SynthOptions& options) { options.extent = 7; });
  refused([](SynthOptions& options) { options.universe_extent = 20; });
  refused([](SynthOptions& options) { options.train_samples = 12; });
  refused([](SynthOptions& options) { options.gzip = 11; });
  EXPECT_FALSE(fs::exists(folder / "nonsense"));
}

}  // namespace
}  // namespace trainmark
