#include "cli/command.hpp"

#include <fmt/core.h>

#include "core/reading.hpp"

namespace trainmark::cli {
namespace {

bool is_plain(std::string_view text) {
  constexpr std::string_view special = " \t\n\"'\\$&|;<>()*?[]{}#~`!";
  return !text.empty() && text.find_first_of(special) == std::string_view::npos;
}

}  // namespace

std::string shell_quoted(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string result = "'";
  for (const char c : text)
    result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::string Process::command_line() const {
  std::string line;
  for (int i = 0; i < argc; ++i)
    line += (i == 0 ? "" : " ") + shell_quoted(argv[i]);
  return line;
}

std::string read_file(const std::string& path, std::string_view wanted) {
  std::string text = read_whole(path, {.wanted = wanted, .streams = true, .most = 1 << 20});
  const FileKind* kind = kind_of(std::string_view(text).substr(0, kind_head_bytes));
  if (kind == nullptr) return text;
  throw Error(ExitCode::usage,
              Complaint{path, fmt::format("is {}, not a {}", kind->name, wanted), "it is read as JSON in UTF-8",
                        remedy_for(*kind, fmt::format("name a {}", wanted))});
}

}  // namespace trainmark::cli
