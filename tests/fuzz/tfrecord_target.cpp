// TFRecords: bytes that may be a file of records, plain or gzip, and the messages in them. Records must come in order,
// within the file and with the CRCs that were checked; each message must become a sample or raise ExampleError. Since a
// CRC stops most of what was changed, the input is also read as a message by itself.
#include <fmt/core.h>

#include <bit>

#include "fuzz/fuzz.hpp"
#include "load/crc32c.hpp"
#include "load/example.hpp"
#include "load/record_file.hpp"
#include "unit/load/make_records.hpp"

namespace trainmark::fuzz {
namespace {

const DataSchema& schema() {
  static const DataSchema small{.fields = {{.name = "x", .shape = {2, 2, 2, 4}, .dtype = DType::i16},
                                           {.name = "y", .shape = {4}, .dtype = DType::f32}}};
  return small;
}

std::vector<Seed> seeds() {
  using namespace trainmark::testing;
  const std::string x(64, '\1'), y(16, '\2');
  std::vector<std::string> messages = {
      example({{"x", bytes_feature(x)}, {"y", float_feature({0.5F, -0.5F, 1.0F, 0.0F})}}),
      example({{"y", float_feature({0.5F, -0.5F, 1.0F, 0.0F}, false)},
               {"z", field(3, "\x08\x01")},
               {"x", bytes_feature(x)}}),
      example({{"x", bytes_feature(x)}, {"y", bytes_feature(y)}})};
  std::vector<Seed> all;
  std::string together;
  for (const std::string& message : messages) {
    all.push_back({message});
    all.push_back({framed(message)});
    together += framed(message);
  }
  all.push_back({together});
  all.push_back({gzipped(together)});
  all.push_back({gzipped(together.substr(0, 100)) + gzipped(together.substr(100))});
  return all;
}

void read_message(std::span<const std::byte> message) {
  std::vector<std::byte> x(64), y(16);
  try {
    read_example(message, schema(), {x, y});
  } catch (const ExampleError& error) {
    require(error.what()[0] != '\0', "a message that cannot be used is told why", "");
  }
}

/// Returns how many records came.
std::int64_t read_records(const std::filesystem::path& path) {
  RecordFile file(path);
  std::int64_t number = 0;
  std::uint64_t offset = 0;
  while (const auto record = file.next()) {
    if (!record->where.empty()) {
      require(record->number == number, "records are counted", fmt::format("{} {}", record->number, number));
      require(record->offset == offset, "a record begins where the last one ended", record->where);
    }
    require(record->fault.empty() || record->data.empty(), "a record with a fault has no data", record->where);
    if (record->fault.empty()) read_message(record->data);
    offset = record->fault.empty() ? record->offset + 16 + record->data.size() : offset;
    if (!record->fault.empty()) break;
    ++number;
  }
  return number;
}

}  // namespace

const Target& target() {
  static const Target target{"tfrecord", false, seeds};
  return target;
}

}  // namespace trainmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainmark;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::filesystem::path path = fuzz::scratch() / "a.tfrecord";
  fuzz::write_file(path, input);
  (void)fuzz::read_records(path);
  fuzz::read_message(std::as_bytes(std::span(input)));
  fuzz::write_file(path, testing::framed(input) + testing::framed(input));
  fuzz::require(fuzz::read_records(path) == 2, "whatever is framed comes out again", "");
  return 0;
}
