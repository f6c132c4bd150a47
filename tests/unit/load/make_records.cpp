#include "unit/load/make_records.hpp"

#include <libdeflate.h>

#include <bit>
#include <cstdint>
#include <memory>
#include <span>

#include "load/crc32c.hpp"

namespace trainmark::testing {
namespace {

std::string crc_of(std::string_view bytes) { return little_endian(masked_crc32c(std::as_bytes(std::span(bytes))), 4); }

std::string varint(std::uint64_t value) {
  std::string text;
  for (; value > 0x7F; value >>= 7)
    text += static_cast<char>((value & 0x7F) | 0x80);
  return text + static_cast<char>(value);
}

}  // namespace

std::string little_endian(std::uint64_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i)
    text += static_cast<char>(value >> (8 * i) & 0xFF);
  return text;
}

std::string framed(std::string_view data) {
  const std::string length = little_endian(data.size(), 8);
  return length + crc_of(length) + std::string(data) + crc_of(data);
}

std::string gzipped(std::string_view data) {
  const std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> own(libdeflate_alloc_compressor(6),
                                                                                     libdeflate_free_compressor);
  std::string coded(libdeflate_gzip_compress_bound(own.get(), data.size()), '\0');
  coded.resize(libdeflate_gzip_compress(own.get(), data.data(), data.size(), coded.data(), coded.size()));
  return coded;
}

std::string field(int number, std::string_view payload) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 2) + varint(payload.size()) + std::string(payload);
}

std::string bytes_feature(std::string_view value) { return field(1, field(1, value)); }

std::string float_feature(const std::vector<float>& values, bool packed) {
  std::string list;
  for (const float value : values)
    list += (packed ? "" : "\x0D") + little_endian(std::bit_cast<std::uint32_t>(value), 4);
  return field(2, packed ? field(1, list) : list);
}

std::string example(std::initializer_list<std::pair<std::string_view, std::string>> features) {
  std::string entries;
  for (const auto& [name, feature] : features)
    entries += field(1, field(1, name) + field(2, feature));
  return field(1, entries);
}

}  // namespace trainmark::testing
