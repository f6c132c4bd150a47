// The text of a log file, or what the file is instead. A log that was packed, or saved in another encoding, has no
// record that can be seen: that must not pass for a log without records.
#include <fmt/core.h>

#include "core/reading.hpp"
#include "trainmark/mllog.hpp"

namespace trainmark {
namespace {

using namespace std::string_view_literals;

/// Raises where the bytes are no text that could be a log.
void require_text(const std::filesystem::path& path, std::string_view bytes, std::string_view reader) {
  const auto say = [&path, reader](std::string_view name, std::string_view command, std::string_view remedy = {}) {
    const std::string other(remedy.empty() ? "name a log file" : remedy);
    return Error(
        ExitCode::usage,
        Complaint{path.string(),
                  fmt::format("is {}, not a log", name),
                  {},
                  command.empty() ? other
                                  : fmt::format("pass on what {0} makes of it: {0} FILE | trainmark {1} /dev/stdin",
                                                command, reader)});
  };
  const bool has_records = bytes.find(":::MLLOG") != std::string_view::npos;
  const FileKind* kind = kind_of(bytes.substr(0, kind_head_bytes));
  // Whatever a program prints before its records, it is a log with them.
  if (kind != nullptr && !(kind->text && has_records)) throw say(kind->name, kind->command, kind->remedy);
  if (has_records || bytes.find('\0') == std::string_view::npos) return;
  const std::size_t wide = bytes.find(":\0:\0:\0M\0L\0L\0"sv);  // in either order of bytes: the place tells which
  if (wide != std::string_view::npos)
    throw say("UTF-16 text", wide % 2 == 0 ? "iconv -f UTF-16LE -t UTF-8" : "iconv -f UTF-16BE -t UTF-8");
  throw say("a binary file", "");
}

}  // namespace

std::string read_log_file(const std::filesystem::path& path, std::string_view command) {
  std::string text = read_whole(path, {.wanted = "log", .streams = true});
  require_text(path, text, command);
  return text;
}

}  // namespace trainmark
