// TFRecords and the messages in them, for tests: every piece by itself, so that any of them can be wrong.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trainmark::testing {

[[nodiscard]] std::string little_endian(std::uint64_t value, std::size_t bytes);
/// A record: length, CRC, data, CRC.
[[nodiscard]] std::string framed(std::string_view data);
[[nodiscard]] std::string gzipped(std::string_view data);

/// A field of a protocol buffer's message whose payload has a length.
[[nodiscard]] std::string field(int number, std::string_view payload);
[[nodiscard]] std::string bytes_feature(std::string_view value);
[[nodiscard]] std::string float_feature(const std::vector<float>& values, bool packed = true);
[[nodiscard]] std::string example(std::initializer_list<std::pair<std::string_view, std::string>> features);

}  // namespace trainmark::testing
