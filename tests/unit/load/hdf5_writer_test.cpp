// Files that depend on nothing but their content, and that other readers take as they were meant.
#include "load/hdf5_writer.hpp"

#include <gtest/gtest.h>

#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

using testing::Scratch;

class Writer : public ::testing::Test {
 protected:
  /// A file of numbers in two forms and of names.
  Writer() {
    Hdf5Writer file(path_, "a file");
    file.dataset("packed", Number::i16, {2, 3}, {.chunk = {1, 3}, .gzip = 4, .big_endian = true});
    file.write("packed", 0, 1, Number::i16, bytes_of<std::int16_t>({1, 2, 3}));
    file.write("packed", 1, 1, Number::i16, bytes_of<std::int16_t>({4, 5, 6}));
    file.dataset("grows", Number::f32, {0, 2}, {.chunk = {1, 2}, .grows = true});
    for (hsize_t row = 0; row < 3; ++row)
      file.write("grows", row, 1, Number::f32, bytes_of<float>({1.0F * static_cast<float>(row), 0.5F}));
    file.values("plain", Number::f64, {2}, bytes_of<double>({0.25, -0.25}));
    file.strings("names", {"abcd", "ef", ""});
    file.attribute("seed", std::uint64_t{18446744073709551615U});
    file.attribute("made_by", std::string("a test"));
    file.unit("plain", "m/s");
    file.close();
  }
  template <class T>
  static std::span<const std::byte> bytes_of(const std::vector<T>& values) {
    static std::vector<T> kept;
    kept = values;
    return std::as_bytes(std::span(kept));
  }
  template <class T>
  [[nodiscard]] std::vector<T> read(const char* name, hid_t type) const {
    const DatasetHandle dataset(H5Dopen2(file_.get(), name, H5P_DEFAULT));
    const SpaceHandle space(H5Dget_space(dataset.get()));
    std::vector<T> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.get())));
    EXPECT_GE(H5Dread(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
    return values;
  }
  void SetUp() override { file_ = open_file(path_); }

  const Scratch folder_;
  std::filesystem::path path_ = folder_.path() / "a.hdf5";
  const Hdf5Lock lock_;
  FileHandle file_;
};

TEST_F(Writer, HoldsWhatWasWritten) {
  EXPECT_EQ(read<int>("packed", H5T_NATIVE_INT), (std::vector<int>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(read<float>("grows", H5T_NATIVE_FLOAT), (std::vector<float>{0.0F, 0.5F, 1.0F, 0.5F, 2.0F, 0.5F}));
  EXPECT_EQ(read<double>("plain", H5T_NATIVE_DOUBLE), (std::vector<double>{0.25, -0.25}));
  EXPECT_EQ(read_attribute(path_, "made_by"), "a test");
  EXPECT_EQ(read_attribute(path_, "seed"), "") << "no text";
  EXPECT_EQ(read_attribute(path_, "nothing"), "");
  EXPECT_EQ(read_attribute(folder_.path() / "none.hdf5", "made_by"), "");
}

TEST_F(Writer, KeepsNamesOfFullLengthWhole) {
  const DatasetHandle dataset(H5Dopen2(file_.get(), "names", H5P_DEFAULT));
  const TypeHandle type(H5Dget_type(dataset.get()));
  EXPECT_EQ(H5Tget_size(type.get()), 4U);
  EXPECT_EQ(H5Tget_strpad(type.get()), H5T_STR_NULLPAD) << "a reader of another padding takes off the last letter";
  std::string all(12, '?');
  EXPECT_GE(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()), 0);
  EXPECT_EQ(all, std::string("abcdef\0\0\0\0\0\0", 12));
}

TEST_F(Writer, KeepsNoTimes) {
  for (const char* name : {"packed", "grows", "plain", "names"}) {
    const DatasetHandle dataset(H5Dopen2(file_.get(), name, H5P_DEFAULT));
#if H5_VERSION_GE(1, 12, 0)
    H5O_info2_t info{};
    ASSERT_GE(H5Oget_info3(dataset.get(), &info, H5O_INFO_TIME), 0);
#else
    H5O_info_t info{};
    ASSERT_GE(H5Oget_info2(dataset.get(), &info, H5O_INFO_TIME), 0);
#endif
    EXPECT_EQ(info.mtime, 0) << name << ": equal content is to have equal bytes";
  }
}

TEST_F(Writer, StoresAsItWasAskedTo) {
  const auto filters = [&](const char* name) {
    const DatasetHandle dataset(H5Dopen2(file_.get(), name, H5P_DEFAULT));
    const PropertyHandle made(H5Dget_create_plist(dataset.get()));
    return H5Pget_nfilters(made.get());
  };
  EXPECT_EQ(filters("packed"), 2) << "shuffle and deflate";
  EXPECT_EQ(filters("grows"), 0);
  const DatasetHandle dataset(H5Dopen2(file_.get(), "packed", H5P_DEFAULT));
  const TypeHandle type(H5Dget_type(dataset.get()));
  EXPECT_EQ(H5Tget_order(type.get()), H5T_ORDER_BE);
  EXPECT_EQ(H5Tget_size(type.get()), 2U);
}

}  // namespace
}  // namespace trainmark
