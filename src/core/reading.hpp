// Reading files that other people and programs made, as wholes: within a limit, and without waiting for a pipe that
// nobody writes to. A file that is no file, or of another kind than was looked for, is told as what it is.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "trainmark/core.hpp"

namespace trainmark {

/// A kind of file that shows in its first bytes.
struct FileKind {
  std::size_t at;             ///< where the mark stands
  std::string_view mark;      ///< in small letters where `text`: capitals count as these
  std::string_view name;      ///< "compressed by gzip"
  std::string_view command;   ///< what writes the content, as UTF-8 if it is text, to standard output; empty: nothing
  std::string_view remedy{};  ///< how to come by what was looked for, where that is no such command
  bool text = false;          ///< the mark is text, behind blanks, which may begin other files, too
};
/// So many bytes of a file tell its kind.
inline constexpr std::size_t kind_head_bytes = 512;
/// Null where the beginning is of no kind that is known here.
[[nodiscard]] const FileKind* kind_of(std::string_view head) noexcept;
/// What to do about a file of that kind where another is looked for; `otherwise` where nothing can be said.
[[nodiscard]] std::string remedy_for(const FileKind& kind, std::string_view otherwise);

/// "is a folder", "is a named pipe", "is a socket", "is a device": of a mode that is no regular file's.
[[nodiscard]] std::string_view what_is(unsigned mode) noexcept;

struct Reading {
  ExitCode code = ExitCode::usage;   ///< of all errors
  std::string_view wanted = "file";  ///< for messages: "log", "config"
  bool streams = false;              ///< a pipe is read to its end, once somebody writes to it
  std::size_t most = std::numeric_limits<std::size_t>::max();  ///< bytes; more are an error
  std::string_view why{}, remedy{};                            ///< of messages, where there is more to say
};
/// The whole file. Raises Error{reading.code}: not there, no regular file, a pipe to which nobody writes for two
/// seconds, not readable, too long.
[[nodiscard]] std::string read_whole(const std::filesystem::path& path, const Reading& reading = {});
/// The same; nothing where there is no such name. A link that leads nowhere is an error.
[[nodiscard]] std::optional<std::string> read_if_there(const std::filesystem::path& path, const Reading& reading = {});
/// Nothing where anything is wrong with it: for files without which it goes on.
[[nodiscard]] std::optional<std::string> read_if_possible(const std::filesystem::path& path,
                                                          const Reading& reading = {});

}  // namespace trainmark
