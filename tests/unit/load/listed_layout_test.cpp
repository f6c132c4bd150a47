// Layouts that a manifest lists: the same samples as by headers, which nobody opens then, and never other ones.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "load/listed_layout.hpp"
#include "load/scan.hpp"
#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;
using testing::contents_of;
using testing::counting;
using testing::expect_data_error;
using testing::File;
using testing::read_sample;
using testing::Scratch;
using testing::Storing;
using testing::write_file;
using Json = nlohmann::json;

const DataSchema small = testing::schema({4, 2, 6, 4});
constexpr std::int64_t sample_elements = 4 * 2 * 6 * 4;

/// Two files of two samples each.
class ListedLayouts : public ::testing::Test {
 protected:
  void put(const Storing& storing, std::int64_t samples = 2) {
    for (int i = 0; i < 2; ++i) {
      fs::remove(path(i));
      File file(path(i));
      file.put("x", {static_cast<hsize_t>(samples), 4, 2, 6, 4}, counting(samples * sample_elements, 1000 * i),
               storing);
      file.put("y", {static_cast<hsize_t>(samples), 4},
               std::vector<float>(static_cast<std::size_t>(samples * 4), 0.25F * static_cast<float>(i)));
    }
  }
  [[nodiscard]] fs::path path(int i) const { return folder_.path() / ("f" + std::to_string(i) + ".hdf5"); }
  [[nodiscard]] Manifest scan() const { return scan_dataset(folder_.path(), {}, small); }

  /// What follows the signature is no header any more; size and time are as they were.
  void break_header(int i) const {
    const auto time = fs::last_write_time(path(i));
    std::string content = contents_of(path(i));
    content.replace(8, 88, 88, '\xff');
    write_file(path(i), content);
    fs::last_write_time(path(i), time);
  }
  void expect_samples(const Manifest& manifest) const {
    const auto source = open_hdf5(folder_.path(), manifest, {}, small);
    for (std::int64_t sample = 0; sample < source->size(); ++sample) {
      const auto read = read_sample(*source, small, sample);
      const std::vector<std::int16_t> x = counting(2 * sample_elements, 1000 * (sample / 2));
      EXPECT_TRUE(std::equal(read.x.begin(), read.x.end(), x.begin() + sample % 2 * sample_elements)) << sample;
      EXPECT_EQ(read.y, std::vector<float>(4, 0.25F * static_cast<float>(sample / 2))) << sample;
    }
  }
  Scratch folder_;
};

TEST_F(ListedLayouts, GiveTheSamplesWithoutAHeader) {
  for (const Storing& storing : {Storing{}, Storing{.chunk = {1, 4, 2, 6, 4}, .shuffle = true, .gzip = 4},
                                 Storing{.chunk = {2, 3, 2, 5, 4}}, Storing{.chunk = {2, 4, 2, 6, 4}, .shuffle = true},
                                 Storing{.chunk = {1, 4, 2, 6, 4}, .gzip = 1}, Storing{.big_endian = true}}) {
    put(storing);
    Manifest manifest = scan();
    ASSERT_TRUE(manifest.entries.at(0).layout.form && manifest.entries.at(1).layout.form);
    EXPECT_EQ(manifest.entries[0].layout.form, manifest.entries[1].layout.form) << "files of a set share it";
    expect_samples(manifest);
    expect_samples(parse_manifest(to_text(manifest), "m"));
    break_header(0);
    break_header(1);
    expect_samples(manifest);
    for (ManifestEntry& entry : manifest.entries)
      entry.layout = {};
    expect_data_error([&] { expect_samples(manifest); }, {"f0.hdf5"});
  }
}

TEST_F(ListedLayouts, AreTakenFromTheManifestOfADatasetThatDidNotChange) {
  put({.chunk = {1, 4, 2, 6, 4}, .gzip = 4});
  ASSERT_TRUE(verify_dataset(folder_.path(), {}, small, true).manifest_written);
  Manifest listed = read_manifest(folder_.path()).value();
  break_header(1);  // of the first file it is compared
  for (ManifestEntry& entry : listed.entries)
    entry.stamp = stat_entry(folder_.path(), entry.name).stamp;  // as if nobody had written there
  write_manifest(folder_.path(), listed);
  const Manifest manifest = scan();
  for (std::size_t i = 0; i < 2; ++i)
    EXPECT_EQ(manifest.entries[i].layout, listed.entries[i].layout) << i;
  expect_samples(manifest);
  const DataSchema larger = testing::schema({8, 2, 6, 4});
  expect_data_error([&] { (void)scan_dataset(folder_.path(), {}, larger); }, {"f0.hdf5", "expected N samples"});
}

TEST_F(ListedLayouts, AreThoseOfTheVeryFileAndNotOfOneOfItsSizeAndTime) {
  const Storing storing{.chunk = {1, 4, 2, 6, 4}};
  constexpr std::uintmax_t size = 9000;  // more than either order takes
  put(storing);
  for (int i = 0; i < 2; ++i)
    fs::resize_file(path(i), size);
  ASSERT_TRUE(verify_dataset(folder_.path(), {}, small, true).manifest_written);
  const auto time = fs::last_write_time(path(1));
  fs::remove(path(1));
  {
    File file(path(1));  // the same values, in another order in the file
    file.put("y", {2, 4}, std::vector<float>(8, 0.25F));
    file.put("x", {2, 4, 2, 6, 4}, counting(2 * sample_elements, 1000), storing);
  }
  ASSERT_LE(fs::file_size(path(1)), size);
  fs::resize_file(path(1), size);
  fs::last_write_time(path(1), time);
  const Manifest found = scan();
  EXPECT_TRUE(found.entries[0].layout.form);
  EXPECT_FALSE(found.entries[1].layout.form) << "its header has to tell";
  EXPECT_EQ(found.entries[1].samples, 2);
  expect_samples(found);
}

TEST_F(ListedLayouts, AreNotBelievedWhereTheFirstFilesHeaderSaysOtherwise) {
  put({});
  Manifest manifest = scan();
  const std::string places = manifest.entries[0].layout.places;
  for (ManifestEntry& entry : manifest.entries) {
    entry.layout.places = entry.layout.places.substr(0, places.find(' ')) + " 2056";
    entry.xxh3 = hash_file(folder_.path() / entry.name);
    ASSERT_NE(entry.stamp, 0U);
  }
  write_manifest(folder_.path(), manifest);
  const Manifest found = scan();
  for (const ManifestEntry& entry : found.entries)
    EXPECT_EQ(entry.layout.places, places);
  expect_samples(found);
}

TEST_F(ListedLayouts, AreAskedForByTheNamesOfDatasets) {
  put({});
  const Manifest manifest = scan();
  const ManifestEntry& entry = manifest.entries.front();
  EXPECT_TRUE(from_listed(entry.layout, path(0), entry.bytes, {}, small));
  EXPECT_FALSE(from_listed(entry.layout, path(0), entry.bytes, {.input = "z"}, small));
  EXPECT_FALSE(from_listed(entry.layout, path(0), entry.bytes, {.target = "z"}, small));
  EXPECT_FALSE(from_listed({}, path(0), entry.bytes, {}, small));
  const auto source = open_hdf5(folder_.path(), manifest, {.input = "z"}, small);
  expect_data_error([&] { (void)read_sample(*source, small, 0); }, {"f0.hdf5", "has no dataset 'z'"});
}

TEST_F(ListedLayouts, AreNotListedOfWhatTheHeaderMustTell) {
  const auto form_of_first = [&] { return scan().entries.at(0).layout.form != nullptr; };
  put({.compact = true});
  EXPECT_FALSE(form_of_first()) << "the library reads it";
  put({.chunk = {2, 4, 2, 6, 4}, .checksum = true});
  EXPECT_FALSE(form_of_first()) << "the library reads it";
  put({.chunk = {1, 1, 2, 6, 4}}, 4);
  EXPECT_TRUE(form_of_first()) << "16 chunks";
  put({.chunk = {1, 1, 2, 6, 4}}, 5);
  EXPECT_TRUE(form_of_first()) << "20 chunks: a form";
  const ManifestEntry many = scan().entries.at(0);
  EXPECT_EQ(many.layout.places, "") << "and no places";
  EXPECT_FALSE(from_listed(many.layout, path(0), many.bytes, {}, small));
  for (int i = 0; i < 2; ++i) {
    fs::remove(path(i));
    File file(path(i), 512);
    file.put("x", {2, 4, 2, 6, 4}, counting(2 * sample_elements));
    file.put("y", {2, 4}, std::vector<float>(8));
  }
  EXPECT_FALSE(form_of_first()) << "a user block";
  for (int i = 0; i < 2; ++i) {
    fs::remove(path(i));
    File file(path(i));
    file.put("\xe4", {2, 4, 2, 6, 4}, counting(2 * sample_elements));
    file.put("y", {2, 4}, std::vector<float>(8));
  }
  EXPECT_FALSE(scan_dataset(folder_.path(), {.input = "\xe4"}, small).entries.at(0).layout.form) << "no UTF-8";
}

TEST_F(ListedLayouts, AreLeftToTheHeaderWhereTheyAreNotUnderstood) {
  for (const Storing& storing : {Storing{}, Storing{.chunk = {1, 4, 2, 6, 4}, .shuffle = true, .gzip = 4}}) {
    put(storing);
    Manifest manifest = scan();
    const ManifestEntry whole = manifest.entries.front();
    const auto expect_left_to_header = [&](const std::string& form, const std::string& places) {
      const ListedLayout listed{std::make_shared<const std::string>(form), places};
      EXPECT_FALSE(from_listed(listed, path(0), whole.bytes, {}, small)) << form << " at " << places;
      manifest.entries.front().layout = listed;
      expect_samples(manifest);
    };
    const Json form = Json::parse(*whole.layout.form);
    const auto with = [&](const std::string& key, const Json& value) {
      Json changed = form;
      changed[0][key] = value;
      expect_left_to_header(changed.dump(), whole.layout.places);
      changed[0].erase(key);
      expect_left_to_header(changed.dump(), whole.layout.places);
    };
    for (const char* text : {"", "{}", "[]", "[1,2]", "null", "[{},{}]", "[[],[]]"})
      expect_left_to_header(text, whole.layout.places);
    for (const Json& number : {Json(2), Json("i24"), Json(""), Json(true)})
      with("number", number);
    with("big_endian", 1);
    with("dataset", "z");
    with("asked", Json::array({"z"}));
    with("asked", "x");
    with("type", 3);
    for (const Json& dims :
         {Json::array({0, 4, 2, 6, 4}), Json::array({-2, 4, 2, 6, 4}), Json::array({std::int64_t{1} << 62, 4, 2, 6, 4}),
          Json::array({2.5, 4, 2, 6, 4}), Json::array({2, "4", 2, 6, 4}), Json(7)})
      with("dims", dims);
    if (storing.gzip > 0) {
      for (const Json& chunk :
           {Json::array({0, 4, 2, 6, 4}), Json::array({1, 4, 2, 6}), Json("x"), Json::array({1, 1, 1, 1, 1})}) {
        Json changed = form;
        changed[0]["chunk"] = chunk;
        expect_left_to_header(changed.dump(), whole.layout.places);
      }
      with("shuffle", 2);
      with("shuffle", 4294967296);
      with("shuffle", 0.5);
      with("shuffle", 1);  // behind the deflate
      with("deflate", -2);
    }
    for (const std::string& places :
         {std::string(), std::string("1"), whole.layout.places + " 1", whole.layout.places + " ",
          " " + whole.layout.places, "-" + whole.layout.places, "99999999999999999999 " + whole.layout.places,
          std::to_string(whole.bytes - 8) + " 8 0", "x" + whole.layout.places,
          std::to_string(whole.bytes) + whole.layout.places.substr(whole.layout.places.find(' '))})
      expect_left_to_header(form.dump(), places);
  }
}

TEST_F(ListedLayouts, AreNotReadByWhereTheFileIsNone) {
  put({});
  const Manifest manifest = scan();
  const auto time = fs::last_write_time(path(0));
  std::string content = contents_of(path(0));
  content.replace(0, 8, "no HDF5 ");
  write_file(path(0), content);
  fs::last_write_time(path(0), time);
  expect_data_error([&] { expect_samples(manifest); }, {"f0.hdf5", "is not an HDF5 file"});
}

TEST_F(ListedLayouts, AreVerifiedWithTheRest) {
  put({});
  ASSERT_TRUE(verify_dataset(folder_.path(), {}, small, true).manifest_written);
  EXPECT_TRUE(verify_dataset(folder_.path(), {}, small, false).differences.empty());
  EXPECT_TRUE(verify_dataset(folder_.path(), {.input = "x"}, small, false).differences.empty())
      << "names asked for are no difference";
  const Manifest manifest = read_manifest(folder_.path()).value();
  const auto expect_difference = [&](const ListedLayout& layout) {
    Manifest changed = manifest;
    changed.entries[1].layout = layout;
    write_manifest(folder_.path(), changed);
    const Verification found = verify_dataset(folder_.path(), {}, small, false);
    ASSERT_EQ(found.differences.size(), 1U);
    EXPECT_NE(found.differences[0].find("f1.hdf5: layout "), std::string::npos) << found.differences[0];
  };
  const ListedLayout right = manifest.entries[1].layout;
  expect_difference({right.form, "2056 9000"});
  Json form = Json::parse(*right.form);
  form[1]["big_endian"] = true;
  expect_difference({std::make_shared<const std::string>(form.dump()), right.places});
}

TEST_F(ListedLayouts, LeaveADamagedChunkIndexToWhoReadsTheFile) {
  put({.chunk = {1, 4, 2, 6, 4}, .gzip = 4});
  const auto time = fs::last_write_time(path(1));
  std::string content = contents_of(path(1));
  for (std::size_t at = content.find("TREE"); at != std::string::npos; at = content.find("TREE", at + 1))
    if (content[at + 4] == 1) content[at] = 'x';  // nodes of chunks, not of groups
  write_file(path(1), content);
  fs::last_write_time(path(1), time);
  const Manifest manifest = scan();
  EXPECT_EQ(manifest.samples(), 4);
  EXPECT_FALSE(manifest.entries[1].layout.form);
  const auto source = open_hdf5(folder_.path(), manifest, {}, small);
  (void)read_sample(*source, small, 1);
  expect_data_error([&] { (void)read_sample(*source, small, 2); }, {"f1.hdf5", "chunk index"});
}

}  // namespace
}  // namespace trainmark
