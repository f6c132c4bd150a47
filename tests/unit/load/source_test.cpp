// Samples come out the same however they are stored.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <thread>

#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

using testing::counting;
using testing::expect_data_error;
using testing::File;
using testing::read_sample;
using testing::Sample;
using testing::Scratch;
using testing::Storing;

const DataSchema small = testing::schema({4, 2, 6, 4});
constexpr std::int64_t sample_elements = 4 * 2 * 6 * 4;

std::vector<float> targets_of(std::int64_t samples) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < samples * 4; ++i)
    values.push_back(static_cast<float>(i) / 64.0F - 0.5F);
  return values;
}

/// Reads every sample of a packed file stored in a certain way and compares with what was written.
void expect_packed_round_trip(const Storing& input, const Storing& target, hsize_t user_block = 0) {
  const Scratch folder;
  const std::vector<std::int16_t> x = counting(5 * sample_elements, 300);
  const std::vector<float> y = targets_of(5);
  {
    File file(folder.path() / "a.hdf5", user_block);
    file.put("x", {5, 4, 2, 6, 4}, x, input);
    file.put("y", {5, 4}, y, target);
  }
  const Manifest manifest = scan_dataset(folder.path(), {}, small);
  const auto source = open_hdf5(folder.path(), manifest, {}, small);
  ASSERT_EQ(source->size(), 5);
  for (const std::int64_t i : {3, 0, 4, 1, 2}) {
    const Sample sample = read_sample(*source, small, i);
    EXPECT_TRUE(std::equal(sample.x.begin(), sample.x.end(), x.begin() + i * sample_elements)) << "sample " << i;
    EXPECT_TRUE(std::equal(sample.y.begin(), sample.y.end(), y.begin() + i * 4)) << "sample " << i;
  }
}

TEST(Source, ReadsContiguousSamples) { expect_packed_round_trip({}, {}); }
TEST(Source, SwapsBigEndianSamples) { expect_packed_round_trip({.big_endian = true}, {.big_endian = true}); }
TEST(Source, ReadsChunksOfOneSample) { expect_packed_round_trip({.chunk = {1, 4, 2, 6, 4}}, {.chunk = {1, 4}}); }
TEST(Source, InflatesChunks) { expect_packed_round_trip({.chunk = {1, 4, 2, 6, 4}, .gzip = 6}, {}); }
TEST(Source, UnshufflesChunks) { expect_packed_round_trip({.chunk = {1, 4, 2, 6, 4}, .shuffle = true}, {}); }
TEST(Source, InflatesAndUnshufflesChunksThatFitNothing) {
  // Chunks that hold parts of two samples, with partial ones at every edge.
  expect_packed_round_trip({.chunk = {2, 3, 2, 4, 3}, .shuffle = true, .gzip = 4},
                           {.chunk = {3, 3}, .shuffle = true, .gzip = 1});
}
TEST(Source, SwapsWhatItInflated) {
  expect_packed_round_trip({.chunk = {1, 2, 2, 6, 4}, .shuffle = true, .gzip = 4, .big_endian = true},
                           {.chunk = {5, 4}, .gzip = 4, .big_endian = true});
}
TEST(Source, LeavesFiltersItDoesNotKnowToTheLibrary) {
  expect_packed_round_trip({.chunk = {2, 4, 2, 6, 4}, .gzip = 4, .checksum = true},
                           {.chunk = {5, 4}, .checksum = true});
}
TEST(Source, LeavesFiltersInAnUnusualOrderToTheLibrary) {
  expect_packed_round_trip({.chunk = {2, 4, 2, 6, 4}, .shuffle = true, .deflate_first = true}, {});
}
TEST(Source, LeavesCompactStorageToTheLibrary) { expect_packed_round_trip({.compact = true}, {.compact = true}); }
TEST(Source, ReadsFilesWithAUserBlock) {
  expect_packed_round_trip({}, {}, 512);
  expect_packed_round_trip({.chunk = {1, 4, 2, 6, 4}, .gzip = 4}, {}, 512);
}

TEST(Source, ReadsChunksThatWereNotFiltered) {
  // A writer may leave filters out of single chunks and say so in the chunk's mask: bit 0 shuffle, bit 1 deflate.
  const Scratch folder;
  const std::vector<std::int16_t> x = counting(3 * sample_elements);
  {
    File file(folder.path() / "a.hdf5");
    file.put("x", {3, 4, 2, 6, 4}, x, {.chunk = {1, 4, 2, 6, 4}, .shuffle = true, .gzip = 4});
    file.put("y", {3, 4}, targets_of(3));
    const hid_t dataset = H5Dopen2(file.id(), "x", H5P_DEFAULT);
    const hsize_t begin[5] = {1, 0, 0, 0, 0};
    EXPECT_GE(H5Dwrite_chunk(dataset, H5P_DEFAULT, 3, begin, sample_elements * 2, x.data() + sample_elements), 0);
    H5Dclose(dataset);
  }
  const Manifest manifest = scan_dataset(folder.path(), {}, small);
  const auto source = open_hdf5(folder.path(), manifest, {}, small);
  for (std::int64_t i = 0; i < 3; ++i) {
    const Sample sample = read_sample(*source, small, i);
    EXPECT_TRUE(std::equal(sample.x.begin(), sample.x.end(), x.begin() + i * sample_elements)) << "sample " << i;
  }
}

/// A packed file of two samples whose chunks were never written.
void put_unwritten(const std::filesystem::path& path, std::int16_t fill) {
  File file(path);
  file.put("y", {2, 4}, targets_of(2));
  const std::vector<hsize_t> dims = {2, 4, 2, 6, 4}, chunk = {1, 4, 2, 6, 4};
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(creation, 5, chunk.data());
  H5Pset_fill_value(creation, H5T_NATIVE_INT16, &fill);
  const hid_t space = H5Screate_simple(5, dims.data(), nullptr);
  H5Dclose(H5Dcreate2(file.id(), "x", H5T_STD_I16LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
  H5Sclose(space);
  H5Pclose(creation);
}

TEST(Source, GivesTheFillValueWhereAChunkWasNeverWritten) {
  for (const std::int16_t fill : {0, 7}) {
    const Scratch folder;
    put_unwritten(folder.path() / "a.hdf5", fill);
    const Manifest manifest = scan_dataset(folder.path(), {}, small);
    const Sample sample = read_sample(*open_hdf5(folder.path(), manifest, {}, small), small, 1);
    EXPECT_EQ(sample.x, std::vector<std::int16_t>(sample_elements, fill));
  }
}

TEST(Source, NarrowsDoublePrecisionTargets) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    file.put("x", {4, 2, 6, 4}, counting(sample_elements));
    file.put_f64("y", {4}, {0.1, -0.25, 1.0, -1.0}, {.big_endian = true});
  }
  const Manifest manifest = scan_dataset(folder.path(), {}, small);
  const Sample sample = read_sample(*open_hdf5(folder.path(), manifest, {}, small), small, 0);
  EXPECT_EQ(sample.y, (std::vector<float>{0.1F, -0.25F, 1.0F, -1.0F}));
}

/// The value at a voxel of a universe of extent E names the voxel.
std::vector<std::int16_t> universe_of(std::int64_t extent) { return counting(extent * extent * extent * 4); }

void expect_nested_block_order(const Storing& storing) {
  constexpr std::int64_t extent = 8, block = 2, blocks = extent / block;
  const Scratch folder;
  const std::vector<std::int16_t> full = universe_of(extent);
  {
    File file(folder.path() / "u.hdf5");
    file.put("full", {8, 8, 8, 4}, full, storing);
    file.put("unitPar", {4}, std::vector<float>{0.5F, -0.5F, 0.25F, 1.0F});
  }
  const DataSchema of_block = testing::schema({block, block, block, 4});
  const Manifest manifest = scan_dataset(folder.path(), {}, of_block);
  const auto source = open_hdf5(folder.path(), manifest, {}, of_block);
  ASSERT_EQ(source->size(), blocks * blocks * blocks);
  for (std::int64_t ix = 0; ix < blocks; ++ix) {
    for (std::int64_t iy = 0; iy < blocks; ++iy) {
      for (std::int64_t iz = 0; iz < blocks; ++iz) {
        const Sample sample = read_sample(*source, of_block, 16 * ix + 4 * iy + iz);
        EXPECT_EQ(sample.y[0], 0.5F);
        std::size_t at = 0;
        for (std::int64_t x = ix * block; x < (ix + 1) * block; ++x) {
          for (std::int64_t y = iy * block; y < (iy + 1) * block; ++y) {
            for (std::int64_t z = iz * block; z < (iz + 1) * block; ++z) {
              for (std::int64_t c = 0; c < 4; ++c, ++at) {
                const auto wanted = full[static_cast<std::size_t>(((x * extent + y) * extent + z) * 4 + c)];
                ASSERT_EQ(sample.x[at], wanted) << "block " << ix << iy << iz << " element " << at;
              }
            }
          }
        }
      }
    }
  }
}

TEST(Source, CutsUniversesInNestedOrder) { expect_nested_block_order({}); }
TEST(Source, CutsChunkedUniversesInNestedOrder) {
  expect_nested_block_order({.chunk = {3, 4, 5, 4}, .shuffle = true, .gzip = 5});
  expect_nested_block_order({.chunk = {2, 2, 2, 4}, .shuffle = true, .gzip = 5, .big_endian = true});
}

TEST(Source, ReadsADatasetOfVeryManyChunks) {
  const Scratch folder;
  const std::vector<std::int16_t> x = counting(9000 * 4);
  {
    File file(folder.path() / "a.hdf5");
    file.put("x", {9000, 4}, x, {.chunk = {1, 4}});
    file.put("y", {9000, 4}, std::vector<float>(36000));
  }
  const DataSchema tiny = testing::schema({4});
  const Manifest manifest = scan_dataset(folder.path(), {}, tiny);
  const auto source = open_hdf5(folder.path(), manifest, {}, tiny);
  EXPECT_EQ(read_sample(*source, tiny, 17).x, std::vector<std::int16_t>(x.begin() + 68, x.begin() + 72));
}

TEST(Source, ReadsAUniverseWhoseRowsAreFarApart) {
  // Gaps of more than what one gathered read drops, and more rows than one system call takes.
  constexpr std::int64_t wide = 4096;
  const Scratch folder;
  const std::vector<std::int16_t> full = counting(40 * 40 * wide);
  {
    File file(folder.path() / "u.hdf5");
    file.put("full", {40, 40, wide, 1}, full);
    file.put("unitPar", {4}, std::vector<float>(4));
  }
  for (const std::int64_t depth : {8, 2048}) {
    const DataSchema of_block = testing::schema({40, 40, depth, 1});
    const Manifest manifest = scan_dataset(folder.path(), {}, of_block);
    const Sample sample = read_sample(*open_hdf5(folder.path(), manifest, {}, of_block), of_block, 1);
    for (std::int64_t row = 0; row < 1600; ++row) {
      const auto from = full.begin() + row * wide + depth;
      ASSERT_TRUE(std::equal(from, from + depth, sample.x.begin() + row * depth)) << "row " << row;
    }
  }
}

TEST(Source, NumbersSamplesThroughTheFilesInOrder) {
  const Scratch folder;
  for (int i = 0; i < 3; ++i) {
    File file(folder.path() / ("f" + std::to_string(i) + ".hdf5"));
    const auto samples = static_cast<hsize_t>(i + 1);
    file.put("x", {samples, 4, 2, 6, 4}, counting((i + 1) * sample_elements, 1000 * i));
    file.put("y", {samples, 4}, targets_of(i + 1));
  }
  const Manifest manifest = scan_dataset(folder.path(), {}, small);
  const auto source = open_hdf5(folder.path(), manifest, {}, small);
  ASSERT_EQ(source->size(), 6);
  EXPECT_EQ(read_sample(*source, small, 0).x[0], 0);
  EXPECT_EQ(read_sample(*source, small, 1).x[0], 1000);
  EXPECT_EQ(read_sample(*source, small, 2).x[0], 1000 + sample_elements);
  EXPECT_EQ(read_sample(*source, small, 5).x[0], 2000 + 2 * sample_elements);
}

TEST(Source, NamesAFileThatWasCutShortAfterTheScan) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    file.put("y", {2, 4}, targets_of(2));
    file.put("x", {2, 4, 2, 6, 4}, counting(2 * sample_elements));
  }
  const Manifest manifest = scan_dataset(folder.path(), {}, small);
  const auto source = open_hdf5(folder.path(), manifest, {}, small);
  (void)read_sample(*source, small, 0);
  std::filesystem::resize_file(folder.path() / "a.hdf5", std::filesystem::file_size(folder.path() / "a.hdf5") - 100);
  expect_data_error([&] { (void)read_sample(*source, small, 1); }, {"a.hdf5", "is cut short"});
}

TEST(Source, NamesAFileThatWentAwayOrHoldsAnotherCountAfterTheScan) {
  const Scratch folder;
  for (const char* name : {"a.hdf5", "b.hdf5"}) {
    File file(folder.path() / name);
    file.put("x", {2, 4, 2, 6, 4}, counting(2 * sample_elements));
    file.put("y", {2, 4}, targets_of(2));
  }
  Manifest manifest = scan_dataset(folder.path(), {}, small);
  std::filesystem::remove(folder.path() / "a.hdf5");
  manifest.entries[1].samples = 3;
  const auto source = open_hdf5(folder.path(), manifest, {}, small);
  for (int attempt = 0; attempt < 2; ++attempt) {
    expect_data_error([&] { (void)read_sample(*source, small, 1); }, {"a.hdf5", "cannot be opened: No such file"});
    expect_data_error([&] { (void)read_sample(*source, small, 2); }, {"b.hdf5", "holds 2 samples, not 3"});
  }
}

TEST(Source, NamesAChunkThatDoesNotInflate) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    file.put("y", {1, 4}, targets_of(1));
    file.put("x", {1, 4, 2, 6, 4}, counting(sample_elements), {.chunk = {1, 4, 2, 6, 4}, .gzip = 6});
  }
  std::fstream file(folder.path() / "a.hdf5", std::ios::in | std::ios::out | std::ios::binary);
  std::string content((std::istreambuf_iterator<char>(file)), {});
  const std::size_t stream = content.find("\x78\x9c");  // how zlib streams of this level begin
  ASSERT_NE(stream, std::string::npos);
  file.seekp(static_cast<std::streamoff>(stream));
  file << "\x11\x11\x11\x11";
  file.close();
  const Manifest manifest = scan_dataset(folder.path(), {}, small);
  const auto source = open_hdf5(folder.path(), manifest, {}, small);
  expect_data_error([&] { (void)read_sample(*source, small, 0); }, {"a.hdf5", "dataset 'x' is damaged"});
}

TEST(Source, ReadsMoreFilesThanItKeepsOpenFromSeveralThreads) {
  const Scratch folder;
  constexpr std::int64_t files = 90;
  for (std::int64_t i = 0; i < files; ++i) {
    File file(folder.path() / ("f" + std::to_string(1000 + i) + ".hdf5"));
    file.put("x", {4, 2, 6, 4}, counting(sample_elements, 100 * i),
             i % 2 == 0 ? Storing{} : Storing{.chunk = {2, 2, 6, 4}, .shuffle = true, .gzip = 3});
    file.put("y", {4}, targets_of(1));
  }
  const Manifest manifest = scan_dataset(folder.path(), {}, small);
  const auto source = open_hdf5(folder.path(), manifest, {}, small);
  std::vector<std::thread> readers;
  std::atomic<int> wrong{0};
  for (int reader = 0; reader < 4; ++reader) {
    readers.emplace_back([&, reader] {
      for (std::int64_t i = 0; i < 3 * files; ++i) {
        const std::int64_t index = (i * 7 + reader * 11) % files;
        if (read_sample(*source, small, index).x != counting(sample_elements, 100 * index)) ++wrong;
      }
    });
  }
  for (std::thread& reader : readers)
    reader.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Source, RefusesAFileThatIsNotTheOneThatWasScanned) {
  const Scratch folder;
  const auto put = [&](std::int64_t number, std::int64_t files_of) {
    File file(folder.path() / ("f" + std::to_string(1000 + number) + ".hdf5"));
    file.put("x", {4, 2, 6, 4}, counting(sample_elements, files_of));
    file.put("y", {4}, targets_of(1));
  };
  constexpr std::int64_t files = 70;  // more than are kept open
  for (std::int64_t i = 0; i < files; ++i)
    put(i, i);
  const Manifest manifest = scan_dataset(folder.path(), {}, small);
  const auto source = open_hdf5(folder.path(), manifest, {}, small);
  const auto path_of = [&](std::size_t number) { return folder.path() / manifest.entries[number].name; };
  put(69, 100);  // the same size at a later time, before it is read at all
  std::filesystem::last_write_time(path_of(69), std::filesystem::last_write_time(path_of(0)) + std::chrono::seconds(3));
  expect_data_error([&] { (void)read_sample(*source, small, 69); }, {"f1069.hdf5", "was written again since"});
  std::filesystem::resize_file(path_of(68), std::filesystem::file_size(path_of(68)) + 1);
  expect_data_error([&] { (void)read_sample(*source, small, 68); }, {"f1068.hdf5", "bytes now, not"});
  for (std::int64_t i = 0; i < 68; ++i)
    (void)read_sample(*source, small, i);
  // The first is not open any more. Another file of its size and time takes its place.
  const auto time = std::filesystem::last_write_time(path_of(0));
  std::filesystem::rename(path_of(0), folder.path() / "kept");
  put(0, 100);
  std::filesystem::last_write_time(path_of(0), time);
  expect_data_error([&] { (void)read_sample(*source, small, 0); }, {"f1000.hdf5", "is another file now"});
}

TEST(Source, MakesSyntheticSamplesThatStayTheSame) {
  const auto source = synthetic_source(small, 10, 7);
  const Sample first = read_sample(*source, small, 3);
  EXPECT_EQ(read_sample(*source, small, 3).x, first.x);
  EXPECT_NE(read_sample(*source, small, 4).x, first.x);
  EXPECT_NE(read_sample(*synthetic_source(small, 10, 8), small, 3).x, first.x);
  for (const float value : first.y)
    EXPECT_LE(std::abs(value), 1.0F);
}

}  // namespace
}  // namespace trainmark
