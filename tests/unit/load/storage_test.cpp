// Where a dataset's bytes are and who reads them: offsets only where they belong to the file, the library for all that
// this project does not know, and an error for what HDF5 would silently read as fill values.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "load/layout.hpp"
#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

using testing::counting;
using testing::expect_data_error;
using testing::File;
using testing::read_sample;
using testing::Scratch;

const DataSchema small = testing::schema({4, 2, 6, 4});
const std::vector<hsize_t> dims = {3, 4, 2, 6, 4}, one = {1, 4, 2, 6, 4};
constexpr std::int64_t sample_elements = 4 * 2 * 6 * 4;
const std::vector<std::int16_t> x = counting(3 * sample_elements, 100);
const std::vector<float> y = {0.1F, 0.2F, 0.3F, 0.4F, -0.1F, -0.2F, -0.3F, -0.4F, 0.5F, 0.6F, 0.7F, 0.8F};

Stored input_of(const std::filesystem::path& path) { return resolve_layout(path, {}, small).fields.front(); }

void expect_samples(const std::filesystem::path& folder) {
  const auto source = open_hdf5(folder, scan_dataset(folder, {}, small), {}, small);
  ASSERT_EQ(source->size(), 3);
  for (std::int64_t i = 0; i < 3; ++i) {
    const testing::Sample sample = read_sample(*source, small, i);
    EXPECT_TRUE(std::equal(sample.x.begin(), sample.x.end(), x.begin() + i * sample_elements)) << "sample " << i;
    EXPECT_TRUE(std::equal(sample.y.begin(), sample.y.end(), y.begin() + i * 4)) << "sample " << i;
  }
}

/// A dataset x with creation properties that `prepare` sets, and plain targets beside it.
template <class Prepare>
void put_prepared(const std::filesystem::path& path, Prepare&& prepare, hid_t type = H5T_STD_I16LE) {
  File file(path);
  file.put("y", {3, 4}, y);
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  prepare(creation);
  const hid_t space = H5Screate_simple(5, dims.data(), nullptr);
  const hid_t dataset = H5Dcreate2(file.id(), "x", type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  EXPECT_GE(dataset, 0);
  EXPECT_GE(H5Dwrite(dataset, H5T_NATIVE_INT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, x.data()), 0);
  H5Dclose(dataset);
  H5Sclose(space);
  H5Pclose(creation);
}

TEST(Storage, UsesNoOffsetOfAFileThatALinkLeadsTo) {
  const Scratch folder;
  {
    File store(folder.path() / "store.h5x");
    store.put("inputs", dims, x);
    store.put("targets", {3, 4}, y);
    File file(folder.path() / "a.hdf5");
    H5Lcreate_external("store.h5x", "/inputs", file.id(), "x", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("store.h5x", "/targets", file.id(), "elsewhere", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/elsewhere", file.id(), "y", H5P_DEFAULT, H5P_DEFAULT);
  }
  const FileLayout layout = resolve_layout(folder.path() / "a.hdf5", {}, small);
  for (const Stored& stored : layout.fields) {
    EXPECT_EQ(stored.storage, Storage::library);
    EXPECT_TRUE(stored.why_library.starts_with("a link leads to another file")) << stored.why_library;
    ASSERT_EQ(stored.companions.size(), 1U);
    EXPECT_EQ(stored.companions[0].filename(), "store.h5x");
  }
  EXPECT_TRUE(layout.companion().ends_with("store.h5x")) << layout.companion();
  expect_samples(folder.path());
  EXPECT_TRUE(scan_dataset(folder.path(), {}, small).entries[0].companion.ends_with("store.h5x"));
}

TEST(Storage, ReadsALinkToTheFileItselfByOffset) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    file.put("inputs", dims, x);
    file.put("y", {3, 4}, y);
    H5Lcreate_external("a.hdf5", "/inputs", file.id(), "x", H5P_DEFAULT, H5P_DEFAULT);
  }
  const Stored stored = input_of(folder.path() / "a.hdf5");
  EXPECT_EQ(stored.storage, Storage::contiguous) << stored.why_library;
  EXPECT_TRUE(stored.companions.empty());
  expect_samples(folder.path());
}

void put_virtual(const std::filesystem::path& path, const std::vector<std::string>& sources) {
  put_prepared(path, [&](hid_t creation) {
    const hid_t whole = H5Screate_simple(5, dims.data(), nullptr), part = H5Screate_simple(5, one.data(), nullptr);
    hsize_t begin[5] = {};
    for (const std::string& source : sources) {
      H5Sselect_hyperslab(whole, H5S_SELECT_SET, begin, nullptr, one.data(), nullptr);
      H5Pset_virtual(creation, whole, source.c_str(), "x", part);
      ++begin[0];
    }
    H5Sclose(whole);
    H5Sclose(part);
  });
}

void put_sources(const std::filesystem::path& folder) {
  for (std::int64_t i = 0; i < 3; ++i) {
    File source(folder / ("s" + std::to_string(i) + ".h5x"));
    source.put("x", one, std::vector<std::int16_t>(sample_elements));
  }
}

TEST(Storage, NamesEverySourceOfAVirtualDatasetAndTheOneThatIsMissing) {
  const Scratch folder;
  put_sources(folder.path());
  put_virtual(folder.path() / "a.hdf5", {"s0.h5x", "s1.h5x", "s2.h5x"});
  const Stored stored = input_of(folder.path() / "a.hdf5");
  EXPECT_EQ(stored.storage, Storage::library);
  EXPECT_EQ(stored.why_library, "it is a virtual dataset");
  ASSERT_EQ(stored.companions.size(), 3U);
  EXPECT_EQ(stored.companions[2].filename(), "s2.h5x");
  expect_samples(folder.path());
  std::filesystem::remove(folder.path() / "s1.h5x");
  expect_data_error([&] { (void)input_of(folder.path() / "a.hdf5"); },
                    {"a.hdf5", "dataset 'x' needs the file 's1.h5x', which is not there"});
}

TEST(Storage, RefusesASourceThatIsSmallerThanWhatIsTakenOfIt) {
  const Scratch folder;
  put_sources(folder.path());
  put_virtual(folder.path() / "a.hdf5", {"s0.h5x", "s1.h5x", "s2.h5x"});
  {
    File source(folder.path() / "s2.h5x");
    source.put("x", {1, 4, 2, 5, 4}, std::vector<std::int16_t>(160));
  }
  expect_data_error([&] { (void)input_of(folder.path() / "a.hdf5"); }, {"s2.h5x", "is smaller than a virtual dataset"});
}

TEST(Storage, RefusesRawFilesThatAreMissingOrTooShort) {
  const Scratch folder;
  const std::filesystem::path raw = folder.path() / "x.raw";
  const auto half = static_cast<hsize_t>(3 * sample_elements);
  put_prepared(folder.path() / "a.hdf5", [&](hid_t creation) {
    H5Pset_external(creation, raw.c_str(), 64, half);
    H5Pset_external(creation, raw.c_str(), static_cast<off_t>(64 + half), H5F_UNLIMITED);
  });
  const Stored stored = input_of(folder.path() / "a.hdf5");
  EXPECT_EQ(stored.why_library, "its bytes are in raw files of their own");
  EXPECT_EQ(stored.companions, std::vector<std::filesystem::path>{raw});
  expect_samples(folder.path());
  std::filesystem::resize_file(raw, 64 + 2 * half - 1);
  expect_data_error([&] { (void)input_of(folder.path() / "a.hdf5"); },
                    {"a.hdf5", "needs 1216 bytes of the raw file", "x.raw', which has 1215"});
  std::filesystem::remove(raw);
  expect_data_error([&] { (void)input_of(folder.path() / "a.hdf5"); }, {"needs the raw file", "which is not there"});
}

TEST(Storage, LeavesWhatItDoesNotKnowToTheLibraryAndSaysWhy) {
  const auto chunked = [](hid_t creation) {
    const hsize_t chunk[5] = {2, 3, 2, 4, 4};
    H5Pset_chunk(creation, 5, chunk);
  };
  const auto partial = [&](hid_t creation) {
    chunked(creation);
    H5Pset_shuffle(creation);
    H5Pset_chunk_opts(creation, H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS);
  };
  const auto of_four = [&](hid_t creation) {
    chunked(creation);
    const unsigned element = 4;
    H5Pset_filter(creation, H5Z_FILTER_SHUFFLE, 0, 1, &element);
  };
  const auto twice = [&](hid_t creation) {
    chunked(creation);
    H5Pset_deflate(creation, 1);
    H5Pset_deflate(creation, 1);
  };
  const auto fill = [&](hid_t creation) {
    chunked(creation);
    const std::int16_t seven = 7;
    H5Pset_fill_value(creation, H5T_NATIVE_INT16, &seven);
  };
  const hid_t narrow = H5Tcopy(H5T_STD_I16LE);
  H5Tset_precision(narrow, 12);
  const std::vector<std::tuple<std::function<void(hid_t)>, hid_t, std::string>> forms = {
      {partial, H5T_STD_I16LE, "partial chunks may be stored without filters"},
      {twice, H5T_STD_I16LE, "a filter is applied twice"},
      {fill, H5T_STD_I16LE, "its fill value is not zero"},
      {chunked, narrow, "its type is int16 of 12 significant bits"},
      {of_four, H5T_STD_I16LE, ""}};
  for (const auto& [prepare, type, reason] : forms) {
    const Scratch folder;
    put_prepared(folder.path() / "a.hdf5", prepare, type);
    const Stored stored = input_of(folder.path() / "a.hdf5");
    EXPECT_EQ(stored.storage == Storage::library, !reason.empty()) << reason;
    EXPECT_EQ(stored.why_library, reason);
    expect_samples(folder.path());
  }
  H5Tclose(narrow);
}

TEST(Storage, RefusesPartsThatWereNeverWrittenAndHaveNoFillValue) {
  for (const bool all : {false, true}) {
    const Scratch folder;
    {
      File file(folder.path() / "a.hdf5");
      file.put("y", {3, 4}, y);
      const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
      H5Pset_chunk(creation, 5, one.data());
      H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
      const hid_t space = H5Screate_simple(5, dims.data(), nullptr);
      const hid_t dataset = H5Dcreate2(file.id(), "x", H5T_STD_I16LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
      for (hsize_t i = 0; i < (all ? 3U : 2U); ++i) {
        const hsize_t begin[5] = {i, 0, 0, 0, 0};
        H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, begin, sample_elements * 2, x.data() + i * sample_elements);
      }
      H5Dclose(dataset);
      H5Sclose(space);
      H5Pclose(creation);
    }
    if (all) {
      EXPECT_EQ(input_of(folder.path() / "a.hdf5").storage, Storage::chunked);
      expect_samples(folder.path());
    } else {
      expect_data_error([&] { (void)input_of(folder.path() / "a.hdf5"); }, {"a.hdf5", "'x'", "never written"});
    }
  }
}

TEST(Storage, NamesAChunkThatInflatesToLessThanItHolds) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    file.put("y", {3, 4}, y);
    file.put("x", dims, x, {.chunk = one, .gzip = 4});
    // A sound stream of half as many bytes, as the library made it for a smaller chunk.
    file.put("half", {1, 2, 2, 6, 4}, counting(sample_elements / 2), {.chunk = {1, 2, 2, 6, 4}, .gzip = 4});
    const hid_t half = H5Dopen2(file.id(), "half", H5P_DEFAULT), dataset = H5Dopen2(file.id(), "x", H5P_DEFAULT);
    const hsize_t begin[5] = {0, 0, 0, 0, 0}, second[5] = {1, 0, 0, 0, 0};
    hsize_t bytes = 0;
    std::uint32_t mask = 0;
    H5Dget_chunk_storage_size(half, begin, &bytes);
    std::vector<std::byte> stream(bytes);
    H5Dread_chunk(half, H5P_DEFAULT, begin, &mask, stream.data());
    EXPECT_GE(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, second, bytes, stream.data()), 0);
    H5Dclose(half);
    H5Dclose(dataset);
  }
  const auto source = open_hdf5(folder.path(), scan_dataset(folder.path(), {}, small), {}, small);
  (void)read_sample(*source, small, 0);
  expect_data_error([&] { (void)read_sample(*source, small, 1); },
                    {"a.hdf5", "'x' is damaged", "does not inflate to 384 bytes"});
  (void)read_sample(*source, small, 2);
}

TEST(Storage, NamesALinkThatLeadsNowhereWithoutCallingItMissing) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    file.put("x", dims, x);
    H5Lcreate_external("labels.h5x", "/train/7", file.id(), "y", H5P_DEFAULT, H5P_DEFAULT);
  }
  expect_data_error(
      [&] { (void)input_of(folder.path() / "a.hdf5"); },
      {"a.hdf5", "dataset 'y' cannot be opened", "external link to '/train/7' in 'labels.h5x'", "is not there"});
  { File labels(folder.path() / "labels.h5x"); }
  expect_data_error([&] { (void)input_of(folder.path() / "a.hdf5"); }, {"which has nothing of that name"});
  std::ofstream(folder.path() / "labels.h5x") << "text";
  expect_data_error([&] { (void)input_of(folder.path() / "a.hdf5"); }, {"labels.h5x: is not an HDF5 file (4 bytes)"});
}

TEST(Storage, FollowsALinkToAFileOnlyAndNeverWaitsForAPipe) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    file.put("x", dims, x);
    H5Lcreate_external("pipe.h5x", "/train/7", file.id(), "y", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("/dev/zero", "/train/7", file.id(), "z", H5P_DEFAULT, H5P_DEFAULT);
  }
  ASSERT_EQ(mkfifo((folder.path() / "pipe.h5x").c_str(), 0600), 0);
  expect_data_error([&] { (void)input_of(folder.path() / "a.hdf5"); },
                    {"a.hdf5", "external link to '/train/7' in 'pipe.h5x'", "is not a regular file"});
  std::filesystem::rename(folder.path() / "pipe.h5x", folder.path() / "another.h5x");
  std::filesystem::create_symlink("/dev/zero", folder.path() / "pipe.h5x");
  expect_data_error([&] { (void)input_of(folder.path() / "a.hdf5"); }, {"in 'pipe.h5x'", "is not a regular file"});
}

/// Sets a variable for a scope, and the working folder. The library, which looks at some of its variables only when it
/// starts, starts anew.
class Surroundings {
 public:
  Surroundings(const char* name, const std::string& value, const std::filesystem::path& folder)
      : name_(name), before_(std::filesystem::current_path()) {
    setenv(name, value.c_str(), 1);
    H5close();
    std::filesystem::current_path(folder);
  }
  ~Surroundings() {
    unsetenv(name_);
    H5close();
    std::filesystem::current_path(before_);
  }
  Surroundings(const Surroundings&) = delete;
  Surroundings& operator=(const Surroundings&) = delete;

 private:
  const char* name_;
  std::filesystem::path before_;
};

/// `set` holds a.hdf5, whose x is all of the virtual source s.h5x; sources of that name lie in several folders, each
/// with its own value in all places.
class Prefixes : public ::testing::Test {
 protected:
  Prefixes() {
    std::filesystem::create_directory(root() / "set");
    put_source("set", 1);
    put_source("work", 2);
    put_source("first", 3);
    put_source("work/first", 4);
    put_source("set/first", 5);
    File file(root() / "set" / "a.hdf5");
    file.put("y", {3, 4}, y);
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(5, dims.data(), nullptr);
    H5Pset_virtual(creation, space, "s.h5x", "x", space);
    H5Dclose(H5Dcreate2(file.id(), "x", H5T_STD_I16LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Sclose(space);
    H5Pclose(creation);
    H5Lcreate_external("s.h5x", "/x", file.id(), "linked", H5P_DEFAULT, H5P_DEFAULT);
  }

  [[nodiscard]] const std::filesystem::path& root() const { return folder_.path(); }

  void put_source(const std::string& folder, std::int16_t value) const {
    std::filesystem::create_directories(root() / folder);
    File source(root() / folder / "s.h5x");
    source.put("x", dims, std::vector<std::int16_t>(3 * sample_elements, value));
  }

  /// The companion that is named must be the file that the values come from.
  void expect_source(const std::string& variable, const std::string& value, const std::string& folder,
                     std::int16_t expected) const {
    SCOPED_TRACE(::testing::Message() << variable << "=" << value);
    const Surroundings surroundings(variable.c_str(), value, root() / "work");
    FormatOptions format;
    if (variable == "HDF5_EXT_PREFIX") format.input = "linked";
    if (variable == "HDF5_VDS_PREFIX") format.input = "x";
    const Manifest manifest = scan_dataset(root() / "set", format, small);
    EXPECT_EQ(std::filesystem::weakly_canonical(manifest.entries.at(0).companion), root() / folder / "s.h5x");
    const auto source = open_hdf5(root() / "set", manifest, format, small);
    EXPECT_EQ(read_sample(*source, small, 0).x, std::vector<std::int16_t>(sample_elements, expected));
  }

 private:
  Scratch folder_;
};

TEST_F(Prefixes, OfTheEnvironmentDecideWhichSourceIsExaminedAsTheyDecideWhichIsRead) {
  for (const std::string variable : {"HDF5_VDS_PREFIX", "HDF5_EXT_PREFIX"}) {
    expect_source(variable, "", "set", 1);
    expect_source(variable, "/no/such:::", "set", 1);  // an empty part of the list is no place
    expect_source(variable, ".", "work", 2);
    expect_source(variable, root() / "first", "first", 3);
    expect_source(variable, "first", "work/first", 4);
    expect_source(variable, "/no/such:" + (root() / "first").string() + ":first", "first", 3);
  }
  expect_source("HDF5_VDS_PREFIX", "${ORIGIN}/first", "set/first", 5);
  expect_source("HDF5_VDS_PREFIX", "${ORIGIN}/first:/no/such", "set", 1);  // only alone it stands for the file's folder
}

/// The library opens sources with locks unless the environment says otherwise, this module files without.
TEST(Storage, RefusesASourceThatTheLibraryWouldNotOpenWhereItReads) {
  const Scratch folder;
  {
    File file(folder.path() / "a.hdf5");
    file.put("y", {3, 4}, y);
    file.put("parts", dims, x);
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(5, dims.data(), nullptr);
    H5Pset_virtual(creation, space, "a.hdf5", "parts", space);
    H5Dclose(H5Dcreate2(file.id(), "x", H5T_STD_I16LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Sclose(space);
    H5Pclose(creation);
  }
  {
    const Surroundings surroundings("HDF5_USE_FILE_LOCKING", "FALSE", folder.path());
    expect_samples(folder.path());
  }
  expect_data_error([&] { (void)input_of(folder.path() / "a.hdf5"); },
                    {"a.hdf5", "cannot be opened as the source of a virtual dataset"});
}

TEST_F(Prefixes, LeadToNoPipe) {
  std::filesystem::create_directory(root() / "pipes");
  ASSERT_EQ(mkfifo((root() / "pipes" / "s.h5x").c_str(), 0600), 0);
  for (const char* variable : {"HDF5_VDS_PREFIX", "HDF5_EXT_PREFIX"}) {
    const Surroundings surroundings(variable, root() / "pipes", root());
    const FormatOptions format{.input = std::string_view(variable) == "HDF5_EXT_PREFIX" ? "linked" : "x"};
    expect_data_error([&] { (void)resolve_layout(root() / "set" / "a.hdf5", format, small); },
                      {"pipes/s.h5x", "is not a regular file"});
  }
}

TEST_F(Prefixes, OfRawFilesAreTheLibrarysAndAMissingSourceIsToldWithAllPlaces) {
  put_prepared(root() / "set" / "raw.hdf5", [&](hid_t creation) {
    H5Pset_external(creation, (root() / "first" / "x.raw").c_str(), 0, H5F_UNLIMITED);
  });
  {
    // The name alone, as of a file that is moved together with the other.
    File file(root() / "set" / "b.hdf5");
    file.put("y", {3, 4}, y);
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(5, dims.data(), nullptr);
    H5Pset_external(creation, "x.raw", 0, H5F_UNLIMITED);
    H5Dclose(H5Dcreate2(file.id(), "x", H5T_STD_I16LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Sclose(space);
    H5Pclose(creation);
  }
  const auto stored_at = [&](const std::string& prefix) {
    const Surroundings surroundings("HDF5_EXTFILE_PREFIX", prefix, root());
    return input_of(root() / "set" / "b.hdf5").companions.at(0);
  };
  std::filesystem::copy(root() / "first" / "x.raw", root() / "set" / "x.raw");
  EXPECT_EQ(stored_at(root() / "first"), root() / "first" / "x.raw");
  EXPECT_EQ(stored_at("${ORIGIN}"), root() / "set" / "x.raw");
  expect_data_error([&] { (void)stored_at("."); }, {"needs the raw file 'x.raw'", "which is not there"});

  std::filesystem::remove(root() / "set" / "s.h5x");
  const Surroundings surroundings("HDF5_VDS_PREFIX", "/no/such", root());
  const FormatOptions format{.input = "x"};
  expect_data_error([&] { (void)resolve_layout(root() / "set" / "a.hdf5", format, small); },
                    {"needs the file 's.h5x', which is not there", "looked for at /no/such/s.h5x, ",
                     (root() / "set" / "s.h5x").string()});
}

TEST(Storage, ReadsMoreFilesThanTheProcessMayOpen) {
  const Scratch folder;
  constexpr std::int64_t files = 60;
  for (std::int64_t i = 0; i < files; ++i) {
    File file(folder.path() / ("f" + std::to_string(100 + i) + ".hdf5"));
    file.put("x", {4, 2, 6, 4}, counting(sample_elements, 10 * i));
    file.put("y", {4}, std::vector<float>(4));
  }
  const Manifest manifest = scan_dataset(folder.path(), {}, small);
  const auto source = open_hdf5(folder.path(), manifest, {}, small);  // made while the limit allows many
  for (std::int64_t i = 0; i < files; ++i)
    (void)read_sample(*source, small, i);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{20, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  std::int64_t right = 0;
  std::string said;
  try {
    for (std::int64_t i = 0; i < files; ++i)
      right += read_sample(*source, small, i).x == counting(sample_elements, 10 * i) ? 1 : 0;
  } catch (const Error& error) {
    said = error.what();
  }
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(right, files) << said;
}

TEST(Storage, SaysHowManyFilesAProcessMayOpenWhereItMayOpenNoMore) {
  const Scratch folder;
  { File file(folder.path() / "a.hdf5"); }
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{3, before.rlim_max};  // the standard streams have them
  setrlimit(RLIMIT_NOFILE, &none);
  std::string said;
  try {
    (void)input_of(folder.path() / "a.hdf5");
  } catch (const Error& error) {
    said = error.what();
  }
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_NE(said.find("a.hdf5: cannot be opened: Too many open files (this process may have 3 files open"),
            std::string::npos)
      << said;
}

}  // namespace
}  // namespace trainmark
