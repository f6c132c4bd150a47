// Files of samples whose number nobody knew before: they are read as any other file of the layout "packed", without the
// HDF5 library, and do not become larger than that allows.
#include <gtest/gtest.h>

#include "load/layout.hpp"
#include "load/sample_file.hpp"
#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

using testing::expect_data_error;
using testing::Scratch;

const DataSchema& schema() {
  static const DataSchema small{.fields = {{.name = "x", .shape = {1, 2, 1, 4}, .dtype = DType::i16},
                                           {.name = "y", .shape = {2}, .dtype = DType::f32}}};
  return small;
}

/// Sample `number`, whose bytes are its own.
SampleMemory sample(std::int64_t number) {
  SampleMemory memory(schema());
  for (const std::span<std::byte> field : memory.view())
    std::ranges::fill(field, static_cast<std::byte>(number % 100));
  return memory;
}

void expect_samples(const Scratch& folder, std::int64_t count) {
  const Manifest manifest = scan_dataset(folder.path(), {}, schema());
  ASSERT_EQ(manifest.samples(), count);
  const auto source = open_hdf5(folder.path(), manifest, {}, schema());
  SampleMemory found(schema());
  for (std::int64_t number = 0; number < count; ++number) {
    source->read({number, 0}, found.view());
    SampleMemory expected = sample(number);
    for (std::size_t at = 0; at < 2; ++at)
      ASSERT_TRUE(std::ranges::equal(found.view()[at], expected.view()[at])) << number << ' ' << at;
  }
  const FileLayout layout = resolve_layout(folder.path() / manifest.entries.front().name, {}, schema());
  EXPECT_EQ(layout.layout, DatasetLayout::packed);
  EXPECT_EQ(layout.fields.front().why_library, "");
}

class SampleFiles : public ::testing::TestWithParam<int> {};

TEST_P(SampleFiles, GrowWithTheirSamples) {
  const Scratch folder;
  const std::filesystem::path path = folder.path() / "a.hdf5";
  ImportPlan plan{.importer = "a test", .things = "samples"};
  {
    SampleFile file(path, schema(), GetParam());
    for (std::int64_t number = 0; number < 5; ++number)
      file.add(sample(number).view(), "somewhere");
    EXPECT_FALSE(std::filesystem::exists(path));
    file.publish(plan, "0123456789abcdef", {.samples = 5, .skipped = {"a", "bc"}});
  }
  expect_samples(folder, 5);
  EXPECT_EQ(read_attribute(path, "made_from"), "0123456789abcdef");
  EXPECT_EQ(read_attribute(path, "samples"), "5");
  EXPECT_EQ(read_attribute(path, "skipped_samples"), "2");
}
INSTANTIATE_TEST_SUITE_P(Gzip, SampleFiles, ::testing::Values(0, 4));

TEST(SampleFile, HasNoMoreSamplesThanItsReaderFindsQuickly) {
  if constexpr (most_chunks > 8192) GTEST_SKIP() << "this HDF5 finds places in larger files, too";
  const Scratch folder;
  const std::filesystem::path path = folder.path() / "a.hdf5";
  SampleFile file(path, schema(), 0);
  for (std::int64_t number = 0; number < most_chunks; ++number)
    file.add(sample(number).view(), "somewhere");
  expect_data_error([&] { file.add(sample(0).view(), "somewhere"); },
                    {"would have more than 8192 samples", "--files-per-file"});
  file.publish({.importer = "a test", .things = "samples"}, "0123456789abcdef",
               {.samples = most_chunks, .skipped = {}});
  expect_samples(folder, most_chunks);
}

}  // namespace
}  // namespace trainmark
