// Datasets of JPEGs: the same bytes from any number of ranks, and samples of the right class.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "support/mpi_main.hpp"
#include "synth/data_file.hpp"
#include "trainmark/load.hpp"
#include "trainmark/synth.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(Images, HaveTheSameBytesFromAnyNumberOfRanksAndLabelsInTurn) {
  const Group& all = test_world().all();
  const fs::path folder =
      all.broadcast((fs::path(testing::TempDir()) / ("trainmark-images-" + std::to_string(getpid()))).string());
  SynthOptions options;
  options.content = ImageData{.classes = 7, .size = 40};
  options.layout = DatasetLayout::jpeg;
  options.train_samples = 22;
  options.validation_samples = 5;
  options.samples_per_file = 4;
  const SynthReport report = generate_dataset(test_world(), options, folder / "data", {});
  EXPECT_EQ(report.files_written, 8);
  all.barrier();
  if (all.rank() == 0) {
    const auto content = synth::make_content(options);
    fs::create_directories(folder / "alone");
    for (const synth::FilePlan& plan : synth::files_of(options)) {
      const fs::path alone = folder / "alone" / plan.name;
      synth::write_file(*content, plan, alone, [](std::int64_t) {});
      EXPECT_TRUE(bytes_of(alone) == bytes_of(folder / "data" / plan.split / plan.name)) << plan.name;
      fs::remove(alone);
    }
    const DataSchema schema = image_schema(32, 7);
    const Manifest manifest = scan_dataset(folder / "data/train", {}, schema);
    const auto source = open_hdf5(folder / "data/train", manifest, {}, schema);
    ASSERT_EQ(source->size(), 22);
    std::vector<std::byte> image(schema.fields[0].bytes());
    for (std::int64_t sample = 0; sample < 22; ++sample) {
      std::int32_t label = -1;
      source->read({.sample = sample}, {image, std::as_writable_bytes(std::span(&label, 1))});
      EXPECT_EQ(label, sample % 7);
    }
  }
  all.barrier();
  EXPECT_EQ(generate_dataset(test_world(), options, folder / "data", {}).files_kept, 8);
  all.barrier();
  if (all.rank() == 0) fs::remove_all(folder);
}

}  // namespace
}  // namespace trainmark
