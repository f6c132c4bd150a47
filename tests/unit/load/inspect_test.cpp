// What `data inspect` and `data verify` find out.
#include <gtest/gtest.h>

#include <cmath>

#include "load/field_statistics.hpp"
#include "load/scan.hpp"
#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

using testing::contents_of;
using testing::counting;
using testing::expect_data_error;
using testing::File;
using testing::Scratch;
using testing::write_file;

const DataSchema small = testing::schema({2, 2, 2, 4});

void put_packed(const std::filesystem::path& path, std::int16_t value, float target) {
  File file(path);
  std::vector<std::int16_t> x(64, value);
  x[0] = 0;
  file.put("x", {2, 2, 2, 2, 4}, x);
  file.put("y", {2, 4}, std::vector<float>(8, target));
  file.attribute("units", "counts");
}

TEST(Inspect, TellsShapesTypesAndValues) {
  const Scratch folder;
  put_packed(folder.path() / "a.hdf5", 5, 0.25F);
  put_packed(folder.path() / "b.hdf5", 8, -0.5F);
  const Inspection found = inspect_dataset(folder.path(), {}, testing::as_found(), 100);
  EXPECT_EQ(found.layout, DatasetLayout::packed);
  EXPECT_EQ(found.schema.fields[0].shape, (Shape{2, 2, 2, 4}));
  ASSERT_EQ(found.fields.size(), 2U);
  EXPECT_EQ(found.fields[0].name, "x");
  EXPECT_EQ(found.fields[0].type, "int16");
  EXPECT_EQ(found.fields[0].shape, (std::vector<std::int64_t>{2, 2, 2, 2, 4}));
  EXPECT_TRUE(found.fields[0].chunk.empty());
  EXPECT_EQ(found.samples_read, 4);
  EXPECT_EQ(found.manifest.samples(), 4);
  ASSERT_EQ(found.values.size(), 2U);
  const FieldValues &x = found.values[0], &y = found.values[1];
  EXPECT_EQ(x.minimum, 0.0);
  EXPECT_EQ(x.maximum, 8.0);
  EXPECT_DOUBLE_EQ(x.mean, 63.0 * 13.0 / 128.0);
  EXPECT_NEAR(x.deviation, std::sqrt(63.0 * (5 * 5 + 8 * 8) / 128.0 - x.mean * x.mean), 1e-12);
  EXPECT_DOUBLE_EQ(x.zero_fraction, 2.0 / 128.0);
  EXPECT_EQ(x.histogram, (std::vector<std::int64_t>{2, 0, 0, 63, 63}));
  EXPECT_EQ(x.channel_minimum, (std::vector<double>{0, 5, 5, 5}));
  EXPECT_EQ(x.channel_maximum, (std::vector<double>(4, 8.0)));
  EXPECT_EQ(y.channel_minimum, std::vector<double>(4, -0.5));
  EXPECT_EQ(y.channel_maximum, std::vector<double>(4, 0.25));
  EXPECT_TRUE(x.class_share.empty() && y.class_share.empty());
  EXPECT_EQ(found.attributes, (std::vector<std::string>{"units = counts"}));
  EXPECT_DOUBLE_EQ(found.compression, 1.0);
  EXPECT_DOUBLE_EQ(found.read_amplification, 1.0);
}

TEST(Inspect, CountsWhatIsNotLegalAndNamesTheFirstPlaces) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    std::vector<std::int16_t> x(64, 1);
    x[5] = -1;
    x[6] = -2;
    file.put("x", {2, 2, 2, 2, 4}, x);
    file.put("y", {2, 4}, std::vector<float>(8, 7.0F));
  }
  put_packed(folder.path() / "b.hdf5", 5, 0.25F);
  {
    File file(folder.path() / "c.hdf5");
    std::vector<std::int16_t> x(64, 1);
    x[40] = -9;
    file.put("x", {2, 2, 2, 2, 4}, x);
    file.put("y", {2, 4}, std::vector<float>(8, 0.25F));
  }
  const Inspection found = inspect_dataset(folder.path(), {}, small, 100);
  EXPECT_EQ(found.samples_read, 6);
  EXPECT_EQ(found.illegal, 2 + 8 + 1);
  EXPECT_EQ(found.illegal_first,
            (std::vector<std::string>{"a.hdf5: sample 0: x[0, 0, 1, 1] is -1, legal are 0 to 32767",
                                      "a.hdf5: sample 0: y[0] is 7, legal are -1.2 to 1.2",
                                      "a.hdf5: sample 1: y[0] is 7, legal are -1.2 to 1.2"}))
      << "the first three";
  EXPECT_EQ(inspect_dataset(folder.path() / "c.hdf5", {}, small, 100).illegal_first,
            std::vector<std::string>{"c.hdf5: sample 1: x[0, 1, 0, 0] is -9, legal are 0 to 32767"});
}

TEST(Inspect, ReadsSamplesSpreadOverAllAndCountsThoseOfZeroes) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    std::vector<std::int16_t> x(std::size_t{6} * 32, 0);
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<std::int16_t>(i / 32 % 3 == 1 ? 0 : i / 32);  // samples 1 and 4, and the first, are zero
    file.put("x", {6, 2, 2, 2, 4}, x);
    file.put("y", {6, 4}, std::vector<float>(24, 0.25F));
  }
  const Inspection all = inspect_dataset(folder.path(), {}, small, 100);
  EXPECT_EQ(all.all_zero, 3);
  EXPECT_EQ(all.values.at(0).maximum, 5.0);
  const Inspection some = inspect_dataset(folder.path(), {}, small, 3);
  EXPECT_EQ(some.samples_read, 3);
  EXPECT_EQ(some.all_zero, 2) << "samples 0, 2 and 4";
  EXPECT_EQ(some.values.at(0).maximum, 2.0);
  const Inspection none = inspect_dataset(folder.path(), {}, small, 0);
  EXPECT_EQ(none.samples_read, 0);
  EXPECT_TRUE(none.values.empty());
}

TEST(Inspect, ShowsAttributesOfEveryKind) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    file.put("x", {2, 2, 2, 4}, counting(32));
    file.put("y", {4}, std::vector<float>(4));
    const auto numbers = [&](hid_t object, const char* name, hsize_t count) {
      const std::vector<double> values(count, 1.5);
      const hid_t space = H5Screate_simple(1, &count, nullptr);
      const hid_t attribute = H5Acreate2(object, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT);
      H5Awrite(attribute, H5T_NATIVE_DOUBLE, values.data());
      H5Aclose(attribute);
      H5Sclose(space);
    };
    numbers(file.id(), "few", 3);
    numbers(file.id(), "full", 64);
    numbers(file.id(), "many", 65);
    const hid_t null = H5Screate(H5S_NULL), scalar = H5Screate(H5S_SCALAR), text = H5Tcopy(H5T_C_S1);
    H5Aclose(H5Acreate2(file.id(), "nothing", H5T_IEEE_F32LE, null, H5P_DEFAULT, H5P_DEFAULT));
    H5Tset_size(text, H5T_VARIABLE);
    const hid_t words = H5Acreate2(file.id(), "words", text, scalar, H5P_DEFAULT, H5P_DEFAULT);
    const char* said = "of any length";
    H5Awrite(words, text, &said);
    H5Aclose(words);
    const hid_t dataset = H5Dopen2(file.id(), "y", H5P_DEFAULT);
    numbers(dataset, "scale", 2);
    H5Dclose(dataset);
    H5Tclose(text);
    H5Sclose(scalar);
    H5Sclose(null);
  }
  const std::vector<std::string> found = inspect_dataset(folder.path(), {}, small, 1).attributes;
  ASSERT_EQ(found.size(), 6U);
  EXPECT_EQ(found[0], "few = 1.5, 1.5, 1.5");
  EXPECT_TRUE(found[1].starts_with("full = 1.5, 1.5")) << found[1];
  EXPECT_EQ(found[2], "many = (65 values)");
  EXPECT_EQ(found[3], "nothing = (empty)");
  EXPECT_EQ(found[4], "words = of any length");
  EXPECT_EQ(found[5], "y.scale = 1.5, 1.5");
}

TEST(Inspect, CountsMagnitudesByPowersOfTwo) {
  FieldStatistics statistics(Field{"x", {6}, DType::f32, {}, {}});
  const std::vector<float> values = {0.0F, 0.5F, 1.0F, -1.5F, 2.0F, 4.0F};
  statistics.add(std::as_bytes(std::span(values)));
  EXPECT_EQ(statistics.result().histogram, (std::vector<std::int64_t>{2, 2, 1, 1}));
}

TEST(Inspect, TellsTheShareOfEachClassFromTheLeastOn) {
  FieldStatistics statistics(Field{"label", {4}, DType::u8, {.least = 1.0, .most = 3.0, .why = "classes"}, {}});
  const std::vector<std::uint8_t> labels = {1, 3, 3, 9};
  statistics.add(std::as_bytes(std::span(labels)));
  EXPECT_EQ(statistics.result().class_share, (std::vector<double>{0.25, 0.0, 0.5})) << "9 is none";
  EXPECT_TRUE(statistics.result().channel_minimum.empty());
  const Field sixteen{"label", {1}, DType::u8, {.least = 0.0, .most = 15.0, .why = "classes"}, {}};
  const Field seventeen{"label", {1}, DType::u8, {.least = 0.0, .most = 16.0, .why = "classes"}, {}};
  for (const auto& [field, shares] : {std::pair(sixteen, 16U), std::pair(seventeen, 0U)}) {
    FieldStatistics found(field);
    found.add(std::as_bytes(std::span(labels).first(1)));
    EXPECT_EQ(found.result().class_share.size(), shares) << "more are no classes";
  }
}

TEST(Inspect, TellsWhatChunkingCosts) {
  const Scratch folder;
  {
    File packed(folder.path() / "packed.hdf5");
    packed.put("x", {4, 2, 2, 2, 4}, std::vector<std::int16_t>(128, 1),
               {.chunk = {4, 2, 2, 2, 4}, .shuffle = true, .gzip = 4});
    packed.put("y", {4, 4}, std::vector<float>(16));
    // Blocks of 2 touch chunks of 3 once or twice along each axis.
    File universe(folder.path() / "universe.hdf5");
    universe.put("full", {6, 6, 6, 4}, counting(864), {.chunk = {3, 3, 3, 4}});
    universe.put("unitPar", {4}, std::vector<float>(4));
  }
  const Inspection packed = inspect_dataset(folder.path() / "packed.hdf5", {}, small, 1);
  EXPECT_DOUBLE_EQ(packed.read_amplification, 4.0);
  EXPECT_EQ(packed.fields[0].filters, "shuffle, deflate 4");
  EXPECT_EQ(packed.fields[0].chunk, (std::vector<std::int64_t>{4, 2, 2, 2, 4}));
  EXPECT_GT(packed.compression, 3.0);
  EXPECT_EQ(packed.samples_read, 1);
  const Inspection universe = inspect_dataset(folder.path() / "universe.hdf5", {}, small, 100);
  EXPECT_EQ(universe.layout, DatasetLayout::universe);
  EXPECT_EQ(universe.manifest.samples(), 27);
  const double along_an_axis = (1.0 + 2.0 + 1.0) / 3.0 * 3.0 / 2.0;
  EXPECT_NEAR(universe.read_amplification, along_an_axis * along_an_axis * along_an_axis, 1e-9);
}

TEST(Inspect, RefusesADatasetThatItsFileCannotHold) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    file.put("y", {4}, std::vector<float>(4, 0.25F));
    const std::vector<hsize_t> dims = {1 << 20, 1 << 20, 1 << 20, 4}, chunk = {16, 16, 16, 4};
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(creation, 4, chunk.data());
    const hid_t space = H5Screate_simple(4, dims.data(), nullptr);
    H5Dclose(H5Dcreate2(file.id(), "x", H5T_STD_I16LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Sclose(space);
    H5Pclose(creation);
  }
  expect_data_error([&] { static_cast<void>(inspect_dataset(folder.path(), {}, testing::as_found(), 1)); },
                    {"a.hdf5", "'x'", "bytes", "damaged"});
}

TEST(Verification, FindsNothingWrongWithADatasetThatIsAsItsManifestSays) {
  const Scratch folder;
  put_packed(folder.path() / "a.hdf5", 5, 0.25F);
  put_packed(folder.path() / "sub" / "b.hdf5", 8, -0.5F);
  const Verification written = verify_dataset(folder.path(), {}, small, true);
  EXPECT_TRUE(written.manifest_written);
  EXPECT_TRUE(written.differences.empty());
  const Verification found = verify_dataset(folder.path(), {}, testing::as_found(), false);
  EXPECT_TRUE(found.manifest_found);
  EXPECT_TRUE(found.differences.empty());
  EXPECT_EQ(found.files, 2);
  EXPECT_EQ(found.samples, 4);
}

TEST(Verification, NamesEveryFileThatDiffers) {
  const Scratch folder;
  for (const char* name : {"a.hdf5", "b.hdf5", "c.hdf5"})
    put_packed(folder.path() / name, 5, 0.25F);
  (void)verify_dataset(folder.path(), {}, small, true);
  put_packed(folder.path() / "a.hdf5", 6, 0.25F);
  std::filesystem::remove(folder.path() / "b.hdf5");
  put_packed(folder.path() / "d.hdf5", 5, 0.25F);
  const Verification found = verify_dataset(folder.path(), {}, small, false);
  ASSERT_EQ(found.differences.size(), 3U);
  EXPECT_TRUE(found.differences[0].starts_with("a.hdf5: XXH3")) << found.differences[0];
  EXPECT_EQ(found.differences[1], "b.hdf5: is missing, the manifest lists it");
  EXPECT_EQ(found.differences[2], "d.hdf5: is not in the manifest");
}

TEST(Verification, WritesNoManifestOfADatasetThatCannotBeRead) {
  const Scratch folder;
  put_packed(folder.path() / "a.hdf5", 5, 0.25F);
  put_packed(folder.path() / "b.hdf5", 5, 7.0F);
  write_file(folder.path() / "c.hdf5", "nothing");
  const Verification found = verify_dataset(folder.path(), {}, small, true);
  EXPECT_FALSE(found.manifest_written);
  ASSERT_EQ(found.differences.size(), 2U);
  EXPECT_NE(found.differences[0].find("b.hdf5: sample 0"), std::string::npos);
  EXPECT_NE(found.differences[1].find("c.hdf5: is not an HDF5 file"), std::string::npos);
}

TEST(Scan, BelievesAManifestOfFilesThatDidNotChange) {
  const Scratch folder;
  for (const char* name : {"a.hdf5", "b.hdf5", "c.hdf5"})
    put_packed(folder.path() / name, 5, 0.25F);
  (void)verify_dataset(folder.path(), {}, small, true);
  // What cannot be read any more, with size and time as they were: only the header of the first file is looked at.
  const auto time = std::filesystem::last_write_time(folder.path() / "b.hdf5");
  const auto size = std::filesystem::file_size(folder.path() / "b.hdf5");
  write_file(folder.path() / "b.hdf5", std::string(size, 'x'));
  std::filesystem::last_write_time(folder.path() / "b.hdf5", time);
  const Manifest manifest = scan_dataset(folder.path(), {}, small);
  EXPECT_EQ(manifest.samples(), 6);
  EXPECT_EQ(manifest.entries[2].xxh3, hash_file(folder.path() / "c.hdf5"));
}

TEST(Scan, OpensFilesOfAManifestThatIsTooOldToVouchForTheirCounts) {
  const Scratch folder;
  for (const char* name : {"a.hdf5", "b.hdf5"})
    put_packed(folder.path() / name, 5, 0.25F);
  Manifest manifest = scan_dataset(folder.path(), {}, small);
  ASSERT_EQ(manifest.samples(), 4);
  std::string text = "trainmark manifest 1\n";
  for (const ManifestEntry& entry : manifest.entries) {
    const std::string hash = hash_file(folder.path() / entry.name);
    text += hash + "\t" + std::to_string(entry.bytes) + "\t" + (entry.name == "b.hdf5" ? "9" : "2") + "\t" +
            std::to_string(entry.modified_ns) + "\t" + entry.name + "\n";
  }
  write_file(folder.path() / manifest_name, text + "end 2\n");
  manifest = scan_dataset(folder.path(), {}, small);
  EXPECT_EQ(manifest.entries[1].samples, 2);
  EXPECT_EQ(manifest.entries[1].xxh3, hash_file(folder.path() / "b.hdf5")) << "hashes are of the content all the same";
}

TEST(Scan, RefusesADatasetThatIsNotWhatItsManifestLists) {
  const Scratch folder;
  const auto list = [&] {
    for (const char* name : {"a.hdf5", "b.hdf5", "c.hdf5"})
      put_packed(folder.path() / name, 5, 0.25F);
    ASSERT_TRUE(verify_dataset(folder.path(), {}, small, true).manifest_written);
  };
  const auto expect_refusal = [&](const std::vector<std::string>& parts) {
    expect_data_error([&] { (void)scan_dataset(folder.path(), {}, small); }, parts);
  };
  const std::string remedy = "`trainmark data verify " + folder.path().string() + " --write`";
  list();
  std::filesystem::remove(folder.path() / "b.hdf5");
  expect_refusal({"trainmark.manifest", "1 of the files", "b.hdf5 is missing", remedy});
  list();
  put_packed(folder.path() / "bb.hdf5", 5, 0.25F);
  expect_refusal({"1 of the files", "bb.hdf5 is not listed", remedy});
  list();
  std::filesystem::last_write_time(
      folder.path() / "a.hdf5", std::filesystem::last_write_time(folder.path() / "a.hdf5") + std::chrono::seconds(1));
  put_packed(folder.path() / "c.hdf5", 6, 0.25F);
  std::filesystem::resize_file(folder.path() / "c.hdf5", 100);
  expect_refusal({"2 of the files", "a.hdf5 was written at another time", "c.hdf5 has 100 bytes instead of ", remedy});
  list();
  EXPECT_EQ(scan_dataset(folder.path(), {}, small).entries.size(), 4U) << "what the remedy writes is accepted";
}

TEST(Scan, ComparesContentsWhereTimesAloneAreOthersThanListed) {
  const Scratch folder;
  for (const char* name : {"a.hdf5", "b.hdf5"})
    put_packed(folder.path() / name, 5, 0.25F);
  ASSERT_TRUE(verify_dataset(folder.path(), {}, small, true).manifest_written);
  const auto an_hour_later = [&](const char* name) {
    const std::filesystem::path path = folder.path() / name;
    std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) + std::chrono::hours(1));
  };
  std::string said;
  int heard = 0;
  const ManifestUse use = {.say = [&](const std::string& line) { said += line + "\n"; }};
  const auto scan = [&](const ManifestUse& how) {
    return scan_dataset(
        folder.path(), {}, small, [&] { ++heard; }, how);
  };
  EXPECT_EQ(scan(use).samples(), 4);
  EXPECT_EQ(said, "");
  const int before = std::exchange(heard, 0);

  an_hour_later("b.hdf5");
  const Manifest found = scan(use);
  EXPECT_EQ(found.samples(), 4);
  EXPECT_EQ(found.entries[1].xxh3, hash_file(folder.path() / "b.hdf5"));
  EXPECT_EQ(found.entries[1].modified_ns, stat_entry(folder.path(), "b.hdf5").modified_ns) << "readers compare it";
  EXPECT_GT(heard, before) << "reading a file is progress";
  EXPECT_NE(said.find("1 of the files below " + folder.path().string() + " were written at other times"),
            std::string::npos)
      << said;
  EXPECT_NE(said.find("compared with its hashes now; `trainmark data verify " + folder.path().string() + " --write`"),
            std::string::npos)
      << said;
  EXPECT_NE(said.find("their contents are as listed ("), std::string::npos) << said;

  std::string bytes = contents_of(folder.path() / "b.hdf5");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(folder.path() / "b.hdf5", bytes);
  an_hour_later("b.hdf5");
  expect_data_error([&] { (void)scan(use); }, {"b.hdf5: was written at another time than trainmark.manifest lists",
                                               "its content has XXH3 " + hash_file(folder.path() / "b.hdf5")});
  EXPECT_EQ(scan({.hashes_compared = false}).entries[1].xxh3, found.entries[1].xxh3) << "staging will compare it";
  EXPECT_EQ(scan({.ignored = true}).entries[1].xxh3, "");

  Manifest without = *read_manifest(folder.path());
  for (ManifestEntry& entry : without.entries)
    entry.xxh3.clear();
  write_manifest(folder.path(), without);
  expect_data_error([&] { (void)scan(use); },
                    {"1 of the files", "b.hdf5 was written at another time", "/data/manifest \"ignore\""});
  EXPECT_EQ(scan({.ignored = true}).samples(), 4);
}

TEST(Scan, DoesNotBelieveAManifestMadeForAnotherExtent) {
  const Scratch folder;
  for (const char* name : {"a.hdf5", "b.hdf5"}) {
    File universe(folder.path() / name);
    universe.put("full", {4, 4, 4, 4}, counting(256));
    universe.put("unitPar", {4}, std::vector<float>(4));
  }
  (void)verify_dataset(folder.path(), {}, small, true);
  EXPECT_EQ(scan_dataset(folder.path(), {}, small).samples(), 16);
  EXPECT_EQ(scan_dataset(folder.path(), {}, testing::schema({4, 4, 4, 4})).samples(), 2);
}

}  // namespace
}  // namespace trainmark
