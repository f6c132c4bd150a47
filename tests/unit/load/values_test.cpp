// Values that a schema does not allow are named where they are read, whatever the form in which they are stored.
#include "load/values.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>

#include "load/region_reader.hpp"
#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

using testing::counting;
using testing::expect_data_error;
using testing::File;
using testing::read_sample;
using testing::Scratch;
using testing::Storing;

const DataSchema small = testing::schema({2, 3, 2, 4});
constexpr std::size_t elements = 2 * 3 * 2 * 4;
const std::vector<float> no_targets(12, 0.0F);

std::unique_ptr<SampleSource> open(const Scratch& folder, const DataSchema& schema, Values values = Values::legal) {
  return open_hdf5(folder.path(), scan_dataset(folder.path(), {}, schema), {}, schema, values);
}

/// Three samples in which element `at` of the inputs, or of the targets, is another value.
void put_packed(const std::filesystem::path& path, std::size_t at, std::int16_t value, const Storing& storing = {}) {
  std::vector<std::int16_t> x = counting(3 * elements, 1);
  x[at] = value;
  File file(path);
  file.put("x", {3, 2, 3, 2, 4}, x, storing);
  file.put("y", {3, 4}, no_targets);
}
void put_target(const std::filesystem::path& path, std::size_t at, double value, const Storing& storing = {}) {
  std::vector<double> y(12, 0.5);
  y[at] = value;
  File file(path);
  file.put("x", {3, 2, 3, 2, 4}, counting(3 * elements, 1));
  file.put_f64("y", {3, 4}, y, storing);
}

TEST(Values, OfAFileAreRefusedBelowTheirLimitHoweverTheyAreStored) {
  const std::vector<Storing> ways = {{},
                                     {.big_endian = true},
                                     {.chunk = {2, 2, 3, 2, 4}, .shuffle = true, .gzip = 3},
                                     {.chunk = {2, 2, 3, 2, 4}, .checksum = true},
                                     {.compact = true}};
  for (std::size_t way = 0; way < ways.size(); ++way) {
    SCOPED_TRACE(way);
    for (const std::int16_t value : {std::int16_t{-1}, std::int16_t{-4}, std::int16_t{-32768}}) {
      const Scratch folder;
      put_packed(folder.path() / "a.hdf5", 2 * elements + 17, value, ways[way]);
      const auto source = open(folder, small);
      (void)read_sample(*source, small, 1);
      expect_data_error([&] { (void)read_sample(*source, small, 2); },
                        {"a.hdf5: sample 2: x[0, 2, 0, 1] is " + std::to_string(value) + ", legal are 0 to 32767",
                         "dataset 'x'", "(counts)"});
    }
  }
}

TEST(Values, AreLookedAtFromTheFirstToTheLastElement) {
  for (std::size_t at = 0; at < elements; ++at) {
    std::vector<std::int16_t> x(elements, 0);
    x[at] = -1;
    EXPECT_TRUE(fault_of(small.fields[0], std::as_bytes(std::span(x)))) << at;
    EXPECT_EQ(count_illegal(small.fields[0], std::as_bytes(std::span(x))), 1) << at;
    x[at] = 32767;
    EXPECT_FALSE(fault_of(small.fields[0], std::as_bytes(std::span(x)))) << at;
    EXPECT_EQ(count_illegal(small.fields[0], std::as_bytes(std::span(x))), 0) << at;
  }
}

TEST(Values, AboveTheirLimitAreRefusedToo) {
  const Field field{"x", {3}, DType::i16, {.least = -2, .most = 9, .why = ""}};
  const std::vector<std::int16_t> most = {-2, 9, 0}, beyond = {9, 10, -3};
  EXPECT_FALSE(fault_of(field, std::as_bytes(std::span(most))));
  EXPECT_EQ(fault_of(field, std::as_bytes(std::span(beyond))), "x[1] is 10, legal are -2 to 9");
  EXPECT_EQ(count_illegal(field, std::as_bytes(std::span(beyond))), 2);
}

TEST(Values, OfABlockAreNamedByTheBlocksNumberInItsUniverse) {
  const Scratch folder;
  {
    std::vector<std::int16_t> full = counting(256, 1);
    full[((2 * 4 + 1) * 4 + 3) * 4 + 1] = -7;  // voxel (2, 1, 3): block (1, 0, 1), in it (0, 1, 1)
    File file(folder.path() / "u.hdf5");
    file.put("full", {4, 4, 4, 4}, full);
    file.put("unitPar", {4}, std::vector<float>(4));
  }
  const DataSchema of_block = testing::schema({2, 2, 2, 4});
  const auto source = open(folder, of_block);
  for (std::int64_t block = 0; block < 8; ++block) {
    if (block != 5) (void)read_sample(*source, of_block, block);
  }
  expect_data_error([&] { (void)read_sample(*source, of_block, 5); },
                    {"u.hdf5: sample 5: x[0, 1, 1, 1] is -7", "dataset 'full'"});
}

TEST(Values, OfTargetsAreFiniteAndWithinTheirLimits) {
  const auto fault = [](float value) {
    const std::vector<float> y = {0.0F, 0.0F, value, 0.0F};
    return fault_of(small.fields[1], std::as_bytes(std::span(y))).value_or("none");
  };
  EXPECT_EQ(fault(std::nanf("")), "y[2] is nan, legal are -1.2 to 1.2");
  EXPECT_EQ(fault(INFINITY), "y[2] is inf, legal are -1.2 to 1.2");
  EXPECT_EQ(fault(-INFINITY), "y[2] is -inf, legal are -1.2 to 1.2");
  EXPECT_EQ(fault(67.5F), "y[2] is 67.5, legal are -1.2 to 1.2");
  EXPECT_EQ(fault(std::nextafter(-1.2F, -2.0F)), "y[2] is -1.2000002, legal are -1.2 to 1.2");
  for (const float legal : {1.2F, -1.2F, -0.0F, 1e-45F, -1e-40F})
    EXPECT_EQ(fault(legal), "none") << legal;
}

TEST(Values, OfAFieldWithoutLimitsAreFinite) {
  const Field field{"x", {2}, DType::f32};
  const std::vector<float> largest = {std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest()};
  EXPECT_FALSE(fault_of(field, std::as_bytes(std::span(largest))));
  for (const float value : {std::nanf(""), INFINITY, -INFINITY}) {
    const std::vector<float> values = {0.0F, value};
    EXPECT_TRUE(fault_of(field, std::as_bytes(std::span(values)))) << value;
    EXPECT_EQ(count_illegal(field, std::as_bytes(std::span(values))), 1) << value;
  }
}

TEST(Values, OfInputsInFloatingPointAreLookedAtToo) {
  const Scratch folder;
  {
    std::vector<float> x(2 * elements, 1.0F);
    x[elements + 5] = std::nanf("");
    File file(folder.path() / "a.hdf5");
    file.put("x", {2, 2, 3, 2, 4}, x);
    file.put("y", {2, 4}, std::vector<float>(8));
  }
  DataSchema schema = small;
  schema.fields[0].dtype = DType::f32;
  const auto source = open(folder, schema);
  std::vector<float> x(elements), y(4);
  const SampleView view = {std::as_writable_bytes(std::span(x)), std::as_writable_bytes(std::span(y))};
  source->read({.sample = 0}, view);
  expect_data_error([&] { source->read({.sample = 1}, view); }, {"a.hdf5: sample 1: x[0, 0, 1, 1] is nan"});
}

TEST(Values, ThatAreDividedByTheirMeanAreNotAllZero) {
  DataSchema divided = small;
  divided.fields[0].legal.positive_mean = true;
  const Scratch folder;
  {
    std::vector<std::int16_t> x(2 * elements, 0);
    x[elements - 1] = 1;
    File file(folder.path() / "a.hdf5");
    file.put("x", {2, 2, 3, 2, 4}, x);
    file.put("y", {2, 4}, std::vector<float>(8));
  }
  const auto source = open(folder, divided);
  (void)read_sample(*source, divided, 0);
  expect_data_error([&] { (void)read_sample(*source, divided, 1); },
                    {"a.hdf5: sample 1: x has the mean 0, legal is one above 0"});
  (void)read_sample(*open(folder, small), small, 1);  // of which the logarithm is taken: nothing wrong
  // A mean below zero, and one of zero out of values that are not.
  const Field field{"x", {2}, DType::i16, {.positive_mean = true, .why = ""}};
  const std::vector<std::int16_t> below = {-3, 1}, opposite = {-3, 3}, above = {-3, 4};
  EXPECT_EQ(fault_of(field, std::as_bytes(std::span(below))), "x has the mean -1, legal is one above 0");
  EXPECT_TRUE(fault_of(field, std::as_bytes(std::span(opposite))));
  EXPECT_FALSE(fault_of(field, std::as_bytes(std::span(above))));
}

TEST(Values, ThatFloat32HasNoRoomForAreNamedAsTheyAreStored) {
  for (const Storing& storing :
       {Storing{}, Storing{.chunk = {2, 4}, .gzip = 2}, Storing{.compact = true}, Storing{.big_endian = true}}) {
    for (const double value : {1e39, -1e300}) {
      const Scratch folder;
      put_target(folder.path() / "a.hdf5", 6, value, storing);
      const auto source = open(folder, small);
      (void)read_sample(*source, small, 0);
      expect_data_error([&] { (void)read_sample(*source, small, 1); },
                        {"a.hdf5: sample 1: y[2] is " + fmt::format("{}", value), "dataset 'y'"});
    }
    const Scratch folder;
    put_target(folder.path() / "a.hdf5", 6, 1e-300, storing);  // rounds to zero, as a conversion may
    EXPECT_EQ(read_sample(*open(folder, small), small, 1).y[2], 0.0F);
    put_target(folder.path() / "a.hdf5", 6, -INFINITY, storing);
    expect_data_error([&] { (void)read_sample(*open(folder, small), small, 1); }, {"sample 1: y[2] is -inf"});
    put_target(folder.path() / "a.hdf5", 6, std::nan(""), storing);
    expect_data_error([&] { (void)read_sample(*open(folder, small), small, 1); }, {"sample 1: y[2] is nan"});
  }
}

TEST(Values, AreNarrowedUpToTheLargestFloat) {
  constexpr double largest = std::numeric_limits<float>::max();
  const std::vector<double> fitting = {largest, -largest, 0.1, 1e-60, INFINITY}, beyond = {0.5, -2 * largest, 1e300};
  std::vector<float> values(5);
  const auto narrow = [&](const std::vector<double>& wide) {
    return convert(Number::f64, std::as_bytes(std::span(wide)), DType::f32, std::as_writable_bytes(std::span(values)));
  };
  EXPECT_FALSE(narrow(fitting));
  EXPECT_EQ(values, (std::vector<float>{std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(), 0.1F,
                                        0.0F, INFINITY}));
  EXPECT_EQ(narrow(beyond), 1U);
}

TEST(Values, OfAWiderTypeAreNeverClippedByTheLibrary) {
  const Scratch folder;
  const std::filesystem::path path = folder.path() / "a.hdf5";
  const auto read_as_i16 = [&](std::int32_t value) {
    {
      File file(path);
      const hsize_t two = 2;
      const hid_t space = H5Screate_simple(1, &two, nullptr);
      const hid_t dataset = H5Dcreate2(file.id(), "x", H5T_STD_I32BE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
      const std::vector<std::int32_t> written = {1, value};
      EXPECT_GE(H5Dwrite(dataset, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, written.data()), 0);
      H5Dclose(dataset);
      H5Sclose(space);
    }
    Stored stored;
    stored.name = "x";
    stored.rank = 1;
    stored.dims[0] = 2;
    stored.number = Number::i16;
    std::vector<std::int16_t> values(2);
    read_box({path}, stored, {1, {}, stored.dims}, {"x", {2}, DType::i16, {}, {}},
             std::as_writable_bytes(std::span(values)));
    return values[1];
  };
  EXPECT_EQ(read_as_i16(32767), 32767);
  EXPECT_EQ(read_as_i16(-32768), -32768);
  for (const std::int32_t value : {32768, -32769, 70000})
    expect_data_error([&] { (void)read_as_i16(value); }, {"a.hdf5", "dataset 'x' cannot be read"});
}

TEST(BytesTouched, CountGapsThatAreReadAndNotThoseThatAreSkipped) {
  const auto touched = [](std::int64_t row) {  // of 10 elements in each of two rows
    Stored stored;
    stored.rank = 2;
    stored.dims[0] = 2;
    stored.dims[1] = row;
    stored.number = Number::i16;
    return bytes_touched(stored, {2, {}, {2, 10}});
  };
  EXPECT_EQ(touched(10), 40);
  EXPECT_EQ(touched(8 * 1024), 2 * (10 + 8 * 1024)) << "the gap is 16 KiB less 20 bytes";
  EXPECT_EQ(touched(8 * 1024 + 11), 40);
}

TEST(Values, MayBeReadAsTheyAre) {
  const Scratch folder;
  put_packed(folder.path() / "a.hdf5", 3, -4);
  EXPECT_EQ(read_sample(*open(folder, small, Values::any), small, 0).x[3], -4);
}

TEST(Values, KeepAManifestFromBeingWrittenAndNameTheirFiles) {
  const Scratch folder;
  put_packed(folder.path() / "a.hdf5", 5, 1);
  put_packed(folder.path() / "b.hdf5", elements, -4);
  put_target(folder.path() / "c.hdf5", 11, 1.5);
  const Verification found = verify_dataset(folder.path(), {}, small, true);
  EXPECT_FALSE(found.manifest_written);
  ASSERT_EQ(found.differences.size(), 2U);
  EXPECT_NE(found.differences[0].find("b.hdf5: sample 1: x[0, 0, 0, 0] is -4"), std::string::npos);
  EXPECT_NE(found.differences[1].find("c.hdf5: sample 2: y[3] is 1.5"), std::string::npos);
}

TEST(Values, HaveTheirLimitsWhereExtentsAreThoseOfTheFiles) {
  const Scratch folder;
  put_packed(folder.path() / "a.hdf5", 0, -4);
  DataSchema schema = small;
  schema.fields[0].shape = {0, 0, 0, 0};
  schema.fields[1].shape = {0};
  EXPECT_EQ(verify_dataset(folder.path(), {}, schema, false).differences.size(), 1U);
  put_packed(folder.path() / "a.hdf5", 0, 4);
  EXPECT_EQ(verify_dataset(folder.path(), {}, schema, false).differences.size(), 0U);
}

TEST(Inspect, SaysWhichValuesNoRunWouldTake) {
  const Scratch folder;
  put_packed(folder.path() / "a.hdf5", 2 * elements + 3, -4);
  put_target(folder.path() / "b.hdf5", 4, std::nan(""));
  {
    File zero(folder.path() / "c.hdf5");
    zero.put("x", {3, 2, 3, 2, 4}, std::vector<std::int16_t>(3 * elements, 0));
    zero.put("y", {3, 4}, no_targets);
  }
  DataSchema schema = small;
  schema.fields[0].shape = {0, 0, 0, 0};
  schema.fields[1].shape = {0};
  const Inspection found = inspect_dataset(folder.path(), {}, schema, 100);
  EXPECT_EQ(found.illegal, 2);
  EXPECT_EQ(found.illegal_first,
            (std::vector<std::string>{"a.hdf5: sample 2: x[0, 0, 0, 3] is -4, legal are 0 to 32767",
                                      "b.hdf5: sample 1: y[0] is nan, legal are -1.2 to 1.2"}));
  EXPECT_EQ(found.all_zero, 3);
  EXPECT_EQ(found.values.at(0).minimum, -4.0);
  EXPECT_EQ(found.schema.fields[0].shape, small.fields[0].shape);
}

TEST(Inspect, TellsOfInputsThatAreNoNumbersInsteadOfMixingThemIn) {
  const Scratch folder;
  {
    std::vector<float> x(elements, 3.0F);
    x[0] = std::nanf("");
    x[1] = INFINITY;
    File file(folder.path() / "a.hdf5");
    file.put("x", {2, 3, 2, 4}, x);
    file.put("y", {4}, std::vector<float>(4));
  }
  const Inspection found = inspect_dataset(folder.path(), {}, testing::as_found(), 100);
  EXPECT_EQ(found.illegal, 2);
  EXPECT_EQ(found.values.at(0).maximum, 3.0);
  EXPECT_EQ(found.values.at(0).mean, 3.0);
  EXPECT_EQ(found.values.at(0).histogram, (std::vector<std::int64_t>{0, 0, static_cast<std::int64_t>(elements) - 2}));
}

}  // namespace
}  // namespace trainmark
