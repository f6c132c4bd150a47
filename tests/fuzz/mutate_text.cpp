// Mutations of text. Tokens: words, numbers and strings put in each other's place, or one that readers stumble over.
// Lines: records that are moved, glued together, cut, repeated, or written into by another process.
#include <algorithm>
#include <array>
#include <cctype>

#include "fuzz/mutate.hpp"

namespace trainmark::fuzz {
namespace {

constexpr auto awkward = std::to_array<std::string_view>({"0",
                                                          "-0",
                                                          "1",
                                                          "-1",
                                                          "1e400",
                                                          "-1e400",
                                                          "1e308",
                                                          "1e-320",
                                                          "NaN",
                                                          "Infinity",
                                                          "-Infinity",
                                                          "2147483647",
                                                          "2147483648",
                                                          "-2147483649",
                                                          "4294967296",
                                                          "9007199254740993",
                                                          "9223372036854775807",
                                                          "-9223372036854775808",
                                                          "18446744073709551615",
                                                          "18446744073709551616",
                                                          "0.1",
                                                          "1e17",
                                                          "1e3",
                                                          "null",
                                                          "true",
                                                          "false",
                                                          "[]",
                                                          "{}",
                                                          "\"\"",
                                                          "[1]",
                                                          "[[[[[[[[",
                                                          "{\"a\":",
                                                          "\"\\ud800\"",
                                                          "\"\\u0000\"",
                                                          "\"\xff\"",
                                                          "\"\xe2\x82\"",
                                                          "\"${HOME}\"",
                                                          "\"${X:-y}\"",
                                                          "\"${",
                                                          "}",
                                                          ":::MLLOG ",
                                                          "/*",
                                                          "//",
                                                          "\xef\xbb\xbf",
                                                          "\r\n",
                                                          "\t",
                                                          "-",
                                                          "..",
                                                          "/",
                                                          "INTERVAL_START",
                                                          "INTERVAL_END",
                                                          "run_start",
                                                          "run_stop",
                                                          "\n"});

struct Span {
  std::size_t begin = 0, size = 0;
  [[nodiscard]] std::string of(const std::string& text) const { return text.substr(begin, size); }
};

bool in_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view("_.-+").find(c) != std::string_view::npos;
}

/// A random word, number or single character, with its quotes now and then.
Span token_in(const std::string& text, Chance& chance) {
  if (text.empty()) return {};
  std::size_t begin = chance.below(text.size()), end = begin + 1;
  if (!in_word(text[begin])) return {begin, 1};
  while (begin > 0 && in_word(text[begin - 1]))
    --begin;
  while (end < text.size() && in_word(text[end]))
    ++end;
  const bool quoted = begin > 0 && end < text.size() && text[begin - 1] == '"' && text[end] == '"';
  return quoted && chance.below(2) == 0 ? Span{begin - 1, end + 1 - begin + 1} : Span{begin, end - begin};
}

/// A random line with its newline.
Span line_in(const std::string& text, Chance& chance) {
  if (text.empty()) return {};
  const std::size_t at = chance.below(text.size());
  const std::size_t before = at == 0 ? std::string::npos : text.rfind('\n', at - 1);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  return {begin, std::min(text.find('\n', at), text.size() - 1) + 1 - begin};
}

}  // namespace

void change_token(std::string& text, const std::string& other, Chance& chance) {
  const Span token = token_in(text, chance);
  const auto put = [&](std::string_view by) { text.replace(token.begin, token.size, by); };
  switch (chance.below(5)) {
    case 0:
    case 1:
      return put(awkward[chance.below(awkward.size())]);
    case 2: {
      const std::string& from = chance.below(2) == 0 ? text : other;
      return put(token_in(from, chance).of(from));
    }
    case 3: {  // a digit more, an exponent
      constexpr auto endings = std::to_array<std::string_view>({"0", "e9", "e300", ".5", "000000000000", "_", "-"});
      text.insert(token.begin + token.size, endings[chance.below(endings.size())]);
      return;
    }
    default: {
      const std::size_t times = chance.below(20) == 0 ? 20000 / std::max<std::size_t>(token.size, 1) : chance.below(4);
      std::string repeated;
      for (std::size_t i = 0; i < times; ++i)
        repeated += token.of(text);
      put(repeated);
    }
  }
}

void change_line(std::string& text, const std::string& other, Chance& chance) {
  const Span span = line_in(text, chance);
  const std::string line = span.of(text);
  const auto put = [&](const std::string& by) { text.replace(span.begin, span.size, by); };
  switch (chance.below(8)) {
    case 0:
      return put("");
    case 1:
      return put(line + line);
    case 2:  // moved
      put("");
      text.insert(line_in(text, chance).begin, line);
      return;
    case 3:
      text.insert(span.begin, line_in(other, chance).of(other));
      return;
    case 4:  // glued to the next
      return put(line.substr(0, line.size() - (line.ends_with('\n') ? 1 : 0)));
    case 5: {  // another process writes in the middle
      const Span across = line_in(text, chance);
      text.insert(across.begin + chance.below(across.size), line);
      return;
    }
    case 6:  // cut
      return put(line.substr(0, chance.below(line.size() + 1)) + "\n");
    default:  // what was logged before or after is gone
      chance.below(2) == 0 ? text.erase(0, span.begin) : text.erase(span.begin);
  }
}

}  // namespace trainmark::fuzz
