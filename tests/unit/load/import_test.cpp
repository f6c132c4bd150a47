// What imports make of the public forms: counts, contents and labels, what they keep, and what they leave out or
// refuse. The forms in all their encodings, and several ranks: tests/e2e/cli/test_cosmoflow_data.py and test_images.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "load/hdf5_writer.hpp"
#include "load/import_files.hpp"
#include "unit/load/make_hdf5.hpp"
#include "unit/load/make_jpeg.hpp"
#include "unit/load/make_records.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using testing::counting;
using testing::expect_data_error;
using testing::expect_error;
using testing::File;
using testing::Scratch;
using testing::write_file;

const DataSchema small = testing::schema({2, 2, 2, 4});

class Import : public ::testing::Test {
 protected:
  [[nodiscard]] fs::path source() const { return folder_.path() / "source"; }
  [[nodiscard]] fs::path target() const { return folder_.path() / "target"; }
  [[nodiscard]] CosmoflowImport options() const {
    return {.source = source(), .target = target(), .schema = small, .files_per_file = 2};
  }
  [[nodiscard]] std::int64_t bytes_in_target() const {
    std::int64_t bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(target()))
      bytes += entry.is_regular_file() ? static_cast<std::int64_t>(entry.file_size()) : 0;
    return bytes;
  }
  /// The first value of x, and a hundred times that of y, of each sample of a split, in the order of its files.
  [[nodiscard]] std::vector<std::pair<int, int>> samples_of(const std::string& split) const {
    const Manifest manifest = scan_dataset(target() / split, {}, small);
    const auto found = open_hdf5(target() / split, manifest, {}, small);
    std::vector<std::pair<int, int>> samples;
    for (std::int64_t i = 0; i < manifest.samples(); ++i) {
      const testing::Sample sample = testing::read_sample(*found, small, i);
      EXPECT_EQ(sample.x, counting(32, sample.x.front())) << "in their order";
      samples.emplace_back(sample.x.front(), std::lround(100.0F * sample.y.front()));
    }
    return samples;
  }
  std::function<void(double)> hear() {
    heard_.clear();
    return [this](double done) { heard_.push_back(done); };
  }

  const Scratch folder_;
  const World world_ = pretended_world(1);
  std::vector<double> heard_;
};

/// A record whose x counts from `number` on and whose y begins with a hundredth of it.
std::string record(int number) {
  const std::vector<std::int16_t> counts = counting(32, number);
  const std::string_view bytes(reinterpret_cast<const char*>(counts.data()), counts.size() * sizeof(counts[0]));
  return testing::framed(
      testing::example({{"x", testing::bytes_feature(bytes)},
                        {"y", testing::float_feature({0.01F * static_cast<float>(number), 0.0F, 0.5F, -0.5F})}}));
}

class ImportRecords : public Import {
 protected:
  /// Three files of training, of which one has two records, and one of validation.
  ImportRecords() {
    write_file(source() / "train" / "a.tfrecord", record(10));
    write_file(source() / "train" / "b.tfrecord", record(20) + record(21));
    write_file(source() / "train" / "deep" / "c.tfrecord", record(30));
    write_file(source() / "val" / "d.tfrecord", record(40));
    write_file(source() / "val" / "notes.txt", "no records");
  }
};

TEST_F(ImportRecords, CountsWhatItWritesAndKeepsItTheNextTime) {
  const ImportReport made = import_records(world_, options(), hear());
  EXPECT_EQ(made.train_samples, 4);
  EXPECT_EQ(made.validation_samples, 1);
  EXPECT_EQ(made.files_written, 3) << "three files of training, two in each, and one of validation";
  EXPECT_EQ(made.files_kept, 0);
  EXPECT_EQ(made.skipped_before, 0);
  EXPECT_EQ(made.bytes, bytes_in_target());
  EXPECT_TRUE(made.skipped.empty());
  EXPECT_GT(made.seconds, 0.0);
  EXPECT_EQ(heard_, (std::vector<double>{1.0 / 3.0, 2.0 / 3.0, 1.0}));
  auto train = samples_of("train");
  std::ranges::sort(train);
  EXPECT_EQ(train, (std::vector<std::pair<int, int>>{{10, 10}, {20, 20}, {21, 21}, {30, 30}}));
  EXPECT_EQ(samples_of("validation"), (std::vector<std::pair<int, int>>{{40, 40}}));
  const fs::path first = target() / "validation" / "samples_000000.hdf5";
  EXPECT_EQ(read_attribute(first, "importer"), "trainmark data import cosmoflow-tfrecord");
  EXPECT_EQ(read_attribute(first, "samples"), "1");
  EXPECT_EQ(read_attribute(first, "skipped_records"), "0");

  const auto written = fs::last_write_time(first);
  const ImportReport again = import_records(world_, options(), hear());
  EXPECT_EQ(again.files_written, 0);
  EXPECT_EQ(again.files_kept, 3);
  EXPECT_EQ(again.train_samples, 4);
  EXPECT_EQ(again.validation_samples, 1);
  EXPECT_EQ(again.bytes, made.bytes);
  EXPECT_EQ(fs::last_write_time(first), written);
  EXPECT_EQ(heard_.back(), 1.0);
}

TEST_F(ImportRecords, ReplacesNothingThatWasMadeOfOtherFilesOrOtherwise) {
  (void)import_records(world_, options());
  const std::int64_t before = bytes_in_target();
  const auto expect_refusal = [&](const CosmoflowImport& other) {
    expect_data_error([&] { (void)import_records(world_, other); },
                      {"hdf5: is in the way: damaged, or packed from other files, or with other options"});
    EXPECT_EQ(bytes_in_target(), before);
  };
  CosmoflowImport other = options();
  other.gzip = 3;
  expect_refusal(other);
  fs::last_write_time(source() / "val" / "d.tfrecord",
                      fs::last_write_time(source() / "val" / "d.tfrecord") + std::chrono::seconds(1));
  expect_refusal(options());
  write_file(target() / "train" / "stranger.hdf5", "somebody else's");
  expect_data_error([&] { (void)import_records(world_, options()); }, {"stranger.hdf5: does not belong"});
}

TEST_F(ImportRecords, LeavesOutWhatIsBrokenOnlyIfAskedToAndRemembersIt) {
  std::string broken = record(50);
  broken[broken.size() - 6] = static_cast<char>(broken[broken.size() - 6] ^ 1);
  write_file(source() / "train" / "b.tfrecord", record(20) + broken + record(22));
  const std::string where = "train/b.tfrecord";
  expect_data_error(
      [&] { (void)import_records(world_, options()); },
      {where, "record 1 at byte " + std::to_string(record(20).size()), "the CRC of its data", "--skip-corrupt"});
  CosmoflowImport leaves_out = options();
  leaves_out.skip_corrupt = true;
  const ImportReport made = import_records(world_, leaves_out);
  EXPECT_EQ(made.train_samples, 4) << "10, 20, 22, 30";
  ASSERT_EQ(made.skipped.size(), 1U);
  EXPECT_NE(made.skipped[0].find(where + " record 1 at byte"), std::string::npos) << made.skipped[0];
  EXPECT_EQ(made.skipped_before, 0);
  const ImportReport again = import_records(world_, leaves_out);
  EXPECT_EQ(again.files_kept, 3);
  EXPECT_EQ(again.skipped_before, 1);
  EXPECT_EQ(again.train_samples, 4);
  expect_data_error([&] { (void)import_records(world_, options()); },
                    {"was packed without 1 corrupt records", "give --skip-corrupt, or remove the file and repair"});
}

TEST_F(ImportRecords, NamesValuesThatAreNotLegal) {
  const std::vector<std::int16_t> counts(32, -1);
  const std::string_view bytes(reinterpret_cast<const char*>(counts.data()), 64);
  write_file(source() / "val" / "d.tfrecord",
             testing::framed(testing::example(
                 {{"x", testing::bytes_feature(bytes)}, {"y", testing::float_feature({0.0F, 0.0F, 0.0F, 0.0F})}})));
  expect_data_error([&] { (void)import_records(world_, options()); },
                    {"val/d.tfrecord", "record 0 at byte 0 holds an illegal value: x[0, 0, 0, 0] is -1"});
  CosmoflowImport leaves_out = options();
  leaves_out.skip_corrupt = true;
  expect_data_error([&] { (void)import_records(world_, leaves_out); },
                    {"source/val: no sample of its 1 files can be used", "is -1"});
  EXPECT_FALSE(fs::exists(target() / "validation" / "samples_000000.hdf5")) << "a file of no samples is none";
}

TEST_F(ImportRecords, WantsBothSplitsWithFilesInThem) {
  fs::remove(source() / "val" / "d.tfrecord");
  expect_data_error([&] { (void)import_records(world_, options()); }, {"source/val: has no files of records"});
  fs::remove_all(source() / "val");
  expect_data_error([&] { (void)import_records(world_, options()); }, {"source: has no folder validation"});
  fs::create_directories(source() / "validation");
  fs::remove_all(source() / "train");
  expect_data_error([&] { (void)import_records(world_, options()); }, {"source: has no folder train"});
}

class ImportUniverses : public Import {
 protected:
  ImportUniverses() {
    put("train/a.hdf5", 0.25F, 4);
    put("train/b.hdf5", 0.5F, 2);
    put("validation/c.hdf5", -0.5F, 4);
  }
  /// A cube in which each value is its place, counted along x first, then y, then z.
  void put(const std::string& name, float parameter, hsize_t extent) const {
    fs::create_directories((source() / name).parent_path());
    File file(source() / name);
    file.put("full", {extent, extent, extent, 4}, counting(static_cast<std::int64_t>(extent * extent * extent * 4)));
    file.put("unitPar", {4}, std::vector<float>{parameter, 0.0F, 0.0F, 0.0F});
  }
};

TEST_F(ImportUniverses, CutsEachIntoItsBlocksInNestedOrder) {
  const ImportReport made = import_universes(world_, options(), hear());
  EXPECT_EQ(made.train_samples, 8 + 1);
  EXPECT_EQ(made.validation_samples, 8);
  EXPECT_EQ(made.files_written, 3) << "a file each";
  EXPECT_EQ(heard_.size(), 3U);
  const Manifest manifest = scan_dataset(target() / "train", {}, small);
  ASSERT_EQ(manifest.entries.at(0).samples, 8);
  const auto found = open_hdf5(target() / "train", manifest, {}, small);
  for (std::int64_t block = 0; block < 8; ++block) {
    const testing::Sample sample = testing::read_sample(*found, small, block);
    std::vector<std::int16_t> wanted;
    for (std::int64_t at = 0; at < 8; ++at) {
      const std::int64_t x = block / 4 * 2 + at / 4, y = block / 2 % 2 * 2 + at / 2 % 2, z = block % 2 * 2 + at % 2;
      for (std::int64_t channel = 0; channel < 4; ++channel)
        wanted.push_back(static_cast<std::int16_t>(((x * 4 + y) * 4 + z) * 4 + channel));
    }
    EXPECT_EQ(sample.x, wanted) << block;
    EXPECT_EQ(sample.y.front(), 0.25F);
  }
  EXPECT_EQ(testing::read_sample(*found, small, 8).y.front(), 0.5F);
  EXPECT_EQ(read_attribute(target() / "train" / "universe_000000.hdf5", "samples"), "8");
  EXPECT_EQ(import_universes(world_, options()).files_kept, 3);
}

TEST_F(ImportUniverses, NamesWhatIsNoneAndLeavesItOutAsAWhole) {
  CosmoflowImport leaves_out = options();
  leaves_out.skip_corrupt = true;
  const auto expect_refusal = [&](const std::vector<std::string>& parts) {
    expect_data_error([&] { (void)import_universes(world_, options()); }, parts);
    fs::remove_all(target());
    const ImportReport made = import_universes(world_, leaves_out);
    EXPECT_EQ(made.train_samples, 8) << "of the other one";
    ASSERT_EQ(made.skipped.size(), 1U);
    for (const std::string& part : parts)
      EXPECT_NE(made.skipped[0].find(part), std::string::npos) << made.skipped[0];
    fs::remove_all(target());
  };
  const auto write = [&](const auto& content) {
    fs::remove(source() / "train" / "b.hdf5");
    File file(source() / "train" / "b.hdf5");
    content(file);
  };
  const auto targets = [](File& file) { file.put("unitPar", {4}, std::vector<float>(4)); };
  put("train/b.hdf5", 0.5F, 3);
  expect_refusal({"b.hdf5", "'full' has shape 3x3x3x4, which cannot be cut into samples of 2x2x2x4"});
  write([&](File& file) {
    file.put("full", {4, 4, 4}, counting(64));
    targets(file);
  });
  expect_refusal({"'full' has shape 4x4x4, expected UxUxUx4"});
  write([&](File& file) {
    file.put("full", {2, 2, 2, 4}, counting(32));
    file.put("unitPar", {3}, std::vector<float>(3));
  });
  expect_refusal({"'unitPar' has shape 3, expected 4"});
  write([&](File& file) { targets(file); });
  expect_refusal({"has no dataset 'full'; it has 'unitPar'"});
  write([](File&) {});
  expect_refusal({"has no dataset 'full': it has no datasets"});
  write([&](File& file) {
    file.put_as("full", {2, 2, 2, 4}, H5T_IEEE_F32LE);
    targets(file);
  });
  expect_refusal({"dataset 'full' is float32, expected integers"});
  write([&](File& file) {
    std::vector<std::int16_t> counts = counting(256);
    counts[200] = -7;  // at (3, 0, 2), in the block that begins at (2, 0, 2)
    file.put("full", {4, 4, 4, 4}, counts);
    targets(file);
  });
  expect_refusal({"block 5 holds an illegal value: x[1, 0, 0, 0] is -7"});
}

class ImportImages : public Import {
 protected:
  ImportImages() {
    for (const char* split : {"train", "val"}) {
      put(split, "cat/1.JPEG", 10);
      put(split, "dog/2.jpg", 20);
    }
    put("train", "dog/3.JPG", 30);
  }
  void put(const std::string& split, const std::string& name, int width) const {
    const ImageExtent extent{width, 16};
    const std::vector<std::byte> coded = testing::jpeg_of(testing::picture(extent), extent);
    write_file(source() / split / name, {reinterpret_cast<const char*>(coded.data()), coded.size()});
  }
  [[nodiscard]] ImageImport options() const { return {.tree = source(), .target = target(), .images_per_file = 2}; }
};

TEST_F(ImportImages, PacksTheirBytesWithThePlacesOfTheirFoldersAsLabels) {
  const ImportReport made = import_images(world_, options(), hear());
  EXPECT_EQ(made.classes, 2);
  EXPECT_EQ(made.train_samples, 3);
  EXPECT_EQ(made.validation_samples, 2);
  EXPECT_EQ(made.files_written, 3) << "two of training and one of validation";
  EXPECT_EQ(made.bytes, bytes_in_target());
  EXPECT_EQ(heard_.size(), 3U);
  std::int64_t images = 0;
  for (const char* name : {"images_000000.hdf5", "images_000001.hdf5"}) {
    images += std::stoll(read_attribute(target() / "train" / name, "samples"));
    EXPECT_EQ(read_attribute(target() / "train" / name, "images_with_stray_bytes"), "0");
  }
  EXPECT_EQ(images, 3);
  EXPECT_EQ(import_images(world_, options()).files_kept, 3);
  put("train", "dog/3.JPG", 31);  // another size in bytes
  expect_data_error([&] { (void)import_images(world_, options()); },
                    {"is in the way: damaged, or packed from other images"});
}

TEST_F(ImportImages, NamesOrLeavesOutWhatNoPictureCanBeMadeOf) {
  write_file(source() / "train" / "cat" / "1.JPEG", "no picture");
  expect_data_error([&] { (void)import_images(world_, options()); },
                    {"train/cat/1.JPEG: is not a JPEG", "--skip-corrupt"});
  ImageImport leaves_out = options();
  leaves_out.skip_corrupt = true;
  leaves_out.images_per_file = 3;
  const ImportReport made = import_images(world_, leaves_out);
  EXPECT_EQ(made.train_samples, 3) << "in the tree, the left out among them";
  ASSERT_EQ(made.skipped.size(), 1U);
  EXPECT_NE(made.skipped[0].find("train/cat/1.JPEG is not a JPEG"), std::string::npos);
  EXPECT_EQ(read_attribute(target() / "train" / "images_000000.hdf5", "samples"), "2");
  EXPECT_EQ(read_attribute(target() / "train" / "images_000000.hdf5", "skipped_images"), "1");
  leaves_out.images_per_file = 1;
  fs::remove_all(target());
  expect_data_error([&] { (void)import_images(world_, leaves_out); }, {"none of its 1 images can be decoded"});
  leaves_out.images_per_file = 0;
  expect_error(ExitCode::usage, [&] { (void)import_images(world_, leaves_out); }, {"give at least 1 image a file"});
}

TEST_F(ImportImages, RefusesTreesWhoseFoldersDoNotFit) {
  const auto expect_refusal = [&](const fs::path& wrong, const std::vector<std::string>& parts) {
    expect_data_error([&] { (void)import_images(world_, options()); }, parts);
    fs::remove_all(wrong);
  };
  put("train", "emu/4.jpg", 10);
  expect_refusal(source() / "train" / "emu",
                 {"source/val: has no class folder 'emu', which", "source/train has (1 missing)"});
  put("val", "emu/4.jpg", 10);
  expect_refusal(source() / "val" / "emu", {"source/train: has no class folder 'emu'"});
  write_file(source() / "val" / "stray.jpg", "");
  expect_refusal(source() / "val" / "stray.jpg", {"source/val: holds 'stray.jpg' beside its class folders"});
  write_file(source() / "val" / "cat" / "list.txt", "");
  expect_refusal(source() / "val" / "cat" / "list.txt", {"list.txt: is no .jpg or .jpeg by its name"});
  fs::create_directories(source() / "train" / "fox");
  fs::create_directories(source() / "val" / "fox");
  expect_refusal(source() / "val" / "fox", {"train/fox: has no images"});
  fs::remove_all(source() / "train" / "fox");
  write_file(source() / "train" / ".hidden", "");
  EXPECT_EQ(import_images(world_, options()).classes, 2) << "what begins with a dot is nobody's";
  fs::rename(source() / "val", source() / "validation");
  EXPECT_EQ(import_images(world_, options()).files_kept, 3) << "the other name of the same split";
  fs::remove_all(source() / "validation");
  expect_data_error([&] { (void)import_images(world_, options()); }, {"has no folder val (or validation)"});
}

TEST(MixedOrder, IsOfEachOnceAndTheSameEachTime) {
  const std::vector<std::size_t> order = mixed_order(100, 0);
  EXPECT_EQ(order, mixed_order(100, 0)) << "a file is known again by what is in it";
  EXPECT_NE(order, mixed_order(100, 1));
  std::vector<std::size_t> sorted = order;
  std::ranges::sort(sorted);
  EXPECT_NE(order, sorted);
  for (std::size_t at = 0; at < sorted.size(); ++at)
    EXPECT_EQ(sorted[at], at);
  EXPECT_EQ(mixed_order(5, 0), (std::vector<std::size_t>{4, 0, 1, 2, 3}))
      << "or imports of earlier releases are refused";
}

}  // namespace
}  // namespace trainmark
