// Defaults are taken literally: no nesting, no commands, nothing else of a shell.
#include "config/expand.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace trainmark::config {
namespace {

bool is_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return !name.empty() && letter(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || digit(c); });
}

}  // namespace

Expansion expand(std::string_view text, const Lookup& lookup) {
  Expansion result;
  while (!text.empty()) {
    const std::size_t begin = text.find("${");
    result.text += text.substr(0, begin);
    if (begin == std::string_view::npos) break;
    const std::size_t end = text.find('}', begin);
    if (end == std::string_view::npos) {
      result.complaint =
          fmt::format("\"{}\" has no closing brace; write ${{NAME}} or ${{NAME:-default}}", text.substr(begin));
      break;
    }
    const std::string_view inside = text.substr(begin + 2, end - begin - 2);
    const std::size_t colon = inside.find(":-");
    const std::string_view name = inside.substr(0, colon);
    if (!is_name(name)) {
      result.complaint =
          fmt::format("\"${{{}}}\" does not name a variable; write ${{NAME}} or ${{NAME:-default}}", inside);
      break;
    }
    if (const auto value = lookup(name); value && !value->empty()) {
      result.text += *value;
    } else if (colon != std::string_view::npos) {
      result.text += inside.substr(colon + 2);
    } else {
      result.complaint = fmt::format(
          "the environment variable {0} is not set and ${{{0}}} has no default; export {0}, or write ${{{0}:-default}}",
          name);
      break;
    }
    text.remove_prefix(end + 1);
  }
  // Written out in full, the path must still mean what it means here.
  if (result.complaint.empty() && result.text.find("${") != std::string::npos)
    result.complaint =
        fmt::format("\"{}\" holds a ${{ after it was expanded; write a default without ${{", result.text);
  return result;
}

}  // namespace trainmark::config
