// TFRecords: checksums against published ones, framing at its edges, and messages that a careless reader would follow
// out of its bounds. Whole sets as others write them: tests/e2e/cli/test_cosmoflow_data.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <numeric>

#include "load/crc32c.hpp"
#include "load/example.hpp"
#include "load/inflate.hpp"
#include "load/record_file.hpp"
#include "unit/load/make_hdf5.hpp"
#include "unit/load/make_records.hpp"

namespace trainmark {
namespace {

using testing::bytes_feature;
using testing::example;
using testing::field;
using testing::float_feature;
using testing::framed;
using testing::gzipped;
using testing::little_endian;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Crc32c, IsThePublishedOne) {
  // RFC 3720, B.4, and the check value of the polynomial's catalogues.
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283U);
  EXPECT_EQ(crc32c({}), 0U);
  std::string bytes(32, '\0');
  EXPECT_EQ(crc32c(bytes_of(bytes)), 0x8A9136AAU);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\xFF'))), 0x62A8AB43U);
  std::iota(bytes.begin(), bytes.end(), '\0');
  EXPECT_EQ(crc32c(bytes_of(bytes)), 0x46DD794EU);
  std::reverse(bytes.begin(), bytes.end());
  EXPECT_EQ(crc32c(bytes_of(bytes)), 0x113FDB5CU);
}

TEST(Crc32c, IsMaskedAsTensorFlowDoes) {
  EXPECT_EQ(masked_crc32c(bytes_of(std::string(32, '\0'))), ((0x8A9136AAU >> 15 | 0x8A9136AAU << 17) + 0xA282EAD8U));
}

TEST(LooksLikeRecords, ByName) {
  for (const char* name : {"a.tfrecord", "a.TFRecord", "a.tfrecords", "a.tfrecord.gz", "a.tfrecord-00001-of-00008"})
    EXPECT_TRUE(looks_like_records(name)) << name;
  for (const char* name : {"a.tfrecord.idx", "a.hdf5", "tfrecord", "README"})
    EXPECT_FALSE(looks_like_records(name)) << name;
}

class Records : public ::testing::Test {
 protected:
  /// What each record of such a file says: its data, or its fault with where it is.
  std::vector<std::string> read(std::string_view bytes) {
    const std::filesystem::path path = scratch_.path() / "file.tfrecord";
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    std::vector<std::string> found;
    RecordFile file(path);
    while (const auto record = file.next()) {
      EXPECT_EQ(record->number, record->where.empty() ? 0 : std::ssize(found));
      const std::string data(reinterpret_cast<const char*>(record->data.data()), record->data.size());
      found.push_back(record->fault.empty() ? data : record->where + "|" + record->fault);
    }
    return found;
  }

  testing::Scratch scratch_;
};

TEST_F(Records, OfAnyLengthComeOneBehindAnother) {
  const std::vector<std::string> data = {"", "a", std::string(100000, 'b'), ""};
  std::string bytes;
  for (const std::string& each : data)
    bytes += framed(each);
  EXPECT_EQ(read(bytes), data);
  EXPECT_EQ(read(gzipped(bytes)), data);
  EXPECT_EQ(read(gzipped(bytes.substr(0, 9)) + gzipped("") + gzipped(bytes.substr(9))), data);
}

TEST_F(Records, WhoseLengthLooksLikeGzipArePlain) {
  const std::vector<std::string> data = {std::string(0x088B1F, 'c')};
  EXPECT_EQ(read(framed(data.front())), data);
}

TEST_F(Records, OfALengthThatTheFileHasNotAreCutShort) {
  // A length of 2^64 - 1 with the right CRC: sums with it must not wrap around.
  std::string head(8, '\xFF');
  head += little_endian(masked_crc32c(bytes_of(head)), 4) + "0123456789";
  EXPECT_EQ(read(head), std::vector<std::string>{"record 0 at byte 0|is cut short: it has 18446744073709551615 bytes "
                                                 "and a CRC, but 10 bytes are left"});
  const std::string whole = framed("abc");
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const auto found = read(whole + whole.substr(0, size));
    ASSERT_EQ(found.size(), 2U) << size;
    EXPECT_EQ(found[0], "abc");
    EXPECT_TRUE(found[1].starts_with("record 1 at byte 19|is cut short: ")) << found[1];
  }
}

TEST_F(Records, BehindDamagedDataGoOnButNotBehindADamagedLength) {
  std::string bytes = framed("abc") + framed("def") + framed("ghi");
  bytes[19 + 13] ^= 1;
  auto found = read(bytes);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_TRUE(found[1].starts_with("record 1 at byte 19|is damaged: the CRC of its data is ")) << found[1];
  EXPECT_EQ(found[2], "ghi");
  bytes[19] ^= 1;
  found = read(bytes);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_TRUE(found[1].starts_with("record 1 at byte 19|is damaged: the CRC of its length is ")) << found[1];
}

TEST_F(Records, ThatAreAnotherKindOfFileAreToldAsThat) {
  EXPECT_EQ(read("version https://git-lfs.github.com/spec/v1\n"),
            std::vector<std::string>{"|is a pointer of Git LFS, and holds no records"});
  const auto text = read("some other text of more than twelve bytes");
  ASSERT_EQ(text.size(), 1U);
  EXPECT_TRUE(text[0].ends_with("(or the file holds no records at all)")) << text[0];
}

TEST(Inflate, TakesNoMoreThanItIsAllowed) {
  std::vector<std::byte> plain;
  const std::string zeros = gzipped(std::string(3 << 20, '\0'));  // a thousandth of it: the first attempt has no room
  EXPECT_EQ(inflate_gzip(bytes_of(zeros), 4 << 20, plain), "");
  EXPECT_EQ(plain.size(), 3U << 20);
  EXPECT_EQ(inflate_gzip(bytes_of(zeros), 2 << 20, plain), "inflates to more than 2 MiB");
}

// --- messages --------------------------------------------------------------------------------------------------------

const DataSchema& schema() {
  static const DataSchema small{.fields = {{.name = "x", .shape = {1, 1, 1, 4}, .dtype = DType::i16},
                                           {.name = "y", .shape = {2}, .dtype = DType::f32}}};
  return small;
}

/// The bytes of both fields, or what is wrong.
std::string sample_of(std::string_view message) {
  std::string sample(16, '\0');
  const std::span<std::byte> all = std::as_writable_bytes(std::span(sample));
  try {
    read_example(bytes_of(message), schema(), {all.first(8), all.subspan(8)});
    return sample;
  } catch (const ExampleError& error) {
    return error.what();
  }
}

const std::string x = "ABCDEFGH", y = little_endian(0x3F8000003F000000, 8);  // y: 0.5 and 1

TEST(Example, IsReadInAllEncodings) {
  const std::string bytes = bytes_feature(x), packed = float_feature({0.5F, 1.0F});
  EXPECT_EQ(sample_of(example({{"x", bytes}, {"y", packed}})), x + y);
  EXPECT_EQ(sample_of(example({{"y", float_feature({0.5F, 1.0F}, false)}, {"x", bytes}})), x + y);
  EXPECT_EQ(sample_of(example({{"y", bytes_feature(y)}, {"x", bytes}})), x + y);
  // Unknown features, and fields of every wire type where nobody asked for them.
  const std::string unknown = "\x28\x96\x01" + std::string("\x31") + "12345678" + "\x3D" + "1234" + field(9, "more");
  EXPECT_EQ(sample_of(unknown + example({{"z", ""}, {"x", bytes + unknown}, {"y", packed}}) + unknown), x + y);
  // The map in two pieces, which protocol buffers join.
  EXPECT_EQ(sample_of(example({{"x", bytes}}) + example({{"y", packed}})), x + y);
}

TEST(Example, ThatPromisesMoreThanThereIsIsRefused) {
  const std::string whole = example({{"x", bytes_feature(x)}, {"y", float_feature({0.5F, 1.0F})}});
  for (std::size_t size = 1; size < whole.size(); ++size)
    EXPECT_NE(sample_of(whole.substr(0, size)).find("is no tf.train.Example: a field of "), std::string::npos) << size;
  EXPECT_EQ(sample_of("\x0A" + std::string(9, '\xFF') + "\x01"),
            "is no tf.train.Example: a field of 18446744073709551615 bytes where 0 are left");
  EXPECT_EQ(sample_of("\x0A" + std::string(9, '\xFF') + "\x02"),
            "is no tf.train.Example: a number has more than 64 bits");
  EXPECT_EQ(sample_of(std::string(12, '\xFF')), "is no tf.train.Example: a number has more than 64 bits");
  EXPECT_EQ(sample_of("\x0B"), "is no tf.train.Example: a field is of wire type 3");
  EXPECT_EQ(sample_of(std::string(2, '\0')), "is no tf.train.Example: a field has the number 0");
}

TEST(Example, WithoutOrWithTooMuchOfAFieldIsRefused) {
  const std::string bytes = bytes_feature(x), floats = float_feature({0.5F, 1.0F});
  EXPECT_EQ(sample_of(""), "has no feature 'x'");
  EXPECT_EQ(sample_of(example({{"x", bytes}, {"a\n", ""}, {"b", ""}})), "has no feature 'y', but 'a?', 'b'");
  EXPECT_EQ(sample_of(example({{"x", bytes}, {"x", bytes}})), "has two features 'x'");
  EXPECT_EQ(sample_of(example({{"x", bytes + floats}, {"y", floats}})), "has two lists in its feature 'x'");
  EXPECT_EQ(sample_of(example({{"x", bytes_feature(x + x.substr(0, 1))}, {"y", floats}})),
            "has 9 bytes in 'x', not the 8 of 1x1x1x4 i16");
  EXPECT_EQ(sample_of(example({{"x", bytes}, {"y", float_feature({1, 2, 3})}})),
            "has 12 bytes in 'y', not the 8 of 2 f32");
  EXPECT_EQ(sample_of(example({{"x", bytes}, {"y", field(2, field(1, "12") + field(1, "123456"))}})),
            "has half a float in 'y'");
}

}  // namespace
}  // namespace trainmark
