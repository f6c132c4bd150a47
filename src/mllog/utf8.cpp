// UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF.
#include "mllog/utf8.hpp"

namespace trainmark {
namespace {

/// Bytes of the character that `text` begins with; 0 where it begins with none.
std::size_t character_at(std::string_view text) {
  const auto byte = [&text](std::size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : std::size_t{0};
  };
  const auto in = [&byte](std::size_t at, unsigned least, unsigned most) {
    return byte(at) >= least && byte(at) <= most;
  };
  const auto follows = [&in](std::size_t at) { return in(at, 0x80, 0xBF); };
  const std::size_t first = byte(0);
  if (text.empty()) return 0;
  if (first < 0x80) return 1;
  if (in(0, 0xC2, 0xDF)) return follows(1) ? 2 : 0;
  if (in(0, 0xE0, 0xEF)) {
    const bool second = in(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF);
    return second && follows(2) ? 3 : 0;
  }
  if (in(0, 0xF0, 0xF4)) {
    const bool second = in(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::size_t utf8_prefix(std::string_view text) noexcept {
  std::size_t length = 0;
  while (const std::size_t next = character_at(text.substr(length)))
    length += next;
  return length;
}

std::string to_utf8(std::string_view text) {
  std::string result;
  while (true) {
    const std::size_t good = utf8_prefix(text);
    result += text.substr(0, good);
    if (good == text.size()) return result;
    result += "\uFFFD";
    text.remove_prefix(good + 1);
  }
}

}  // namespace trainmark
