#include "cli/command.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

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

std::string read_file(const std::string& path, std::size_t most) {
  const auto fail = [&path](int error) -> Error {
    return {
        ExitCode::usage,
        Complaint{
            path, fmt::format("cannot be read: {}", std::strerror(error)), {}, "check the name and the permissions"}};
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw fail(errno);
  std::string text;
  std::array<char, 65536> block{};
  while (const std::size_t count = std::fread(block.data(), 1, block.size(), file.get())) {
    text.append(block.data(), count);
    if (text.size() > most) {
      throw Error(ExitCode::usage,
                  Complaint{path, fmt::format("has more than {} bytes", most), {}, "name another file"});
    }
  }
  if (std::ferror(file.get()) != 0) throw fail(errno);
  return text;
}

}  // namespace trainmark::cli
