#include "config/encoding.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "mllog/utf8.hpp"

namespace trainmark::config {
namespace {

using namespace std::string_view_literals;

struct Format {
  std::string_view beginning;
  std::string_view name;
};
constexpr std::array formats = {Format{"\x1f\x8b"sv, "gzip data; unpack it (gunzip)"},
                                Format{"\x28\xb5\x2f\xfd"sv, "zstd data; unpack it (unzstd)"},
                                Format{"PK\x03\x04"sv, "a zip archive; unpack it"},
                                Format{"\x89HDF"sv, "an HDF5 file; name the run's JSON document"}};

/// UTF-16 and UTF-32 by their mark, or by where the NUL bytes stand around the first, which is ASCII (RFC 4627, 3).
std::string_view wide_encoding(std::string_view text) {
  constexpr std::array marks = {Format{"\xff\xfe\0\0"sv, "UTF-32"}, Format{"\0\0\xfe\xff"sv, "UTF-32"},
                                Format{"\xff\xfe"sv, "UTF-16"}, Format{"\xfe\xff"sv, "UTF-16"}};
  for (const Format& mark : marks)
    if (text.starts_with(mark.beginning)) return mark.name;
  constexpr std::array patterns = {Format{"x000"sv, "UTF-32LE"}, Format{"000x"sv, "UTF-32BE"},
                                   Format{"x0x0"sv, "UTF-16LE"}, Format{"0x0x"sv, "UTF-16BE"}};
  for (const Format& pattern : patterns) {
    const bool fits = text.size() >= pattern.beginning.size() &&
                      std::equal(pattern.beginning.begin(), pattern.beginning.end(), text.begin(),
                                 [](char wanted, char byte) { return (wanted == '0') == (byte == '\0'); });
    if (fits) return pattern.name;
  }
  return {};
}

int line_of(std::string_view text, std::size_t at) {
  return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

}  // namespace

std::optional<Oddity> not_plain_text(std::string_view text) {
  for (const Format& format : formats)
    if (text.starts_with(format.beginning)) return Oddity{1, fmt::format("this is {}", format.name)};
  if (const std::string_view wide = wide_encoding(text); !wide.empty()) {
    return Oddity{1, fmt::format("this is {} text and JSON is UTF-8; convert it (iconv -f {} -t UTF-8)", wide, wide)};
  }
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return Oddity{line_of(text, nul), "a NUL byte (the file is no text, or was damaged in a crash); write it anew"};
  }
  if (const std::size_t good = utf8_prefix(text); good < text.size()) {
    return Oddity{line_of(text, good), fmt::format("the byte 0x{:02x} is no UTF-8 (another encoding, e.g. Latin-1?); "
                                                   "convert the file to UTF-8",
                                                   static_cast<unsigned char>(text[good]))};
  }
  return std::nullopt;
}

}  // namespace trainmark::config
