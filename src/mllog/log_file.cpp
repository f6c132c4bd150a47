// The text of a log file, or what the file is instead. A log that was packed, or saved in another encoding, has no
// record that can be seen: that must not pass for a log without records.
#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "trainmark/mllog.hpp"

namespace trainmark {
namespace {

using namespace std::string_view_literals;

constexpr int writer_wait_ms = 2000;  // for who opens the other end of a named pipe a moment later

Error refused(const std::filesystem::path& path, std::string what, std::string remedy) {
  return {ExitCode::usage, Complaint{path.string(), std::move(what), {}, std::move(remedy)}};
}

/// How other kinds of files begin, and what turns them into a log.
struct Kind {
  std::size_t at;
  std::string_view magic, name, command;
};
constexpr Kind kinds[] = {{0, "\x1f\x8b"sv, "compressed by gzip", "zcat"},
                          {0, "\x1f\x9d"sv, "compressed by compress", "zcat"},
                          {0, "BZh"sv, "compressed by bzip2", "bzcat"},
                          {0,
                           "\xfd"
                           "7zXZ"sv,
                           "compressed by xz", "xzcat"},
                          {0, "\x28\xb5\x2f\xfd"sv, "compressed by zstd", "zstdcat"},
                          {0, "\x04\x22\x4d\x18"sv, "compressed by lz4", "lz4cat"},
                          {0, "PK\x03\x04"sv, "a zip archive", "unzip -p"},
                          {0, "PK\x05\x06"sv, "a zip archive, and an empty one", ""},
                          {0, "7z\xbc\xaf\x27\x1c"sv, "a 7z archive", "7z x -so"},
                          {257, "ustar"sv, "a tar archive", "tar -xOf"},
                          {0, "\xff\xfe\0\0"sv, "UTF-32 text", "iconv -f UTF-32 -t UTF-8"},
                          {0, "\0\0\xfe\xff"sv, "UTF-32 text", "iconv -f UTF-32 -t UTF-8"},
                          {0, "\xff\xfe"sv, "UTF-16 text", "iconv -f UTF-16 -t UTF-8"},
                          {0, "\xfe\xff"sv, "UTF-16 text", "iconv -f UTF-16 -t UTF-8"},
                          {0, "\x89HDF\r\n"sv, "an HDF5 file", ""},
                          {0,
                           "\x7f"
                           "ELF"sv,
                           "a program", ""}};

/// Raises where the bytes are no text that could be a log.
void require_text(const std::filesystem::path& path, std::string_view bytes, std::string_view reader) {
  const auto say = [&path, reader](std::string_view name, std::string_view command) {
    return refused(path, fmt::format("is {}, not a log", name),
                   command.empty() ? std::string("name a log file")
                                   : fmt::format("pass on what {0} makes of it: {0} FILE | trainmark {1} /dev/stdin",
                                                 command, reader));
  };
  for (const Kind& kind : kinds)
    if (bytes.size() > kind.at && bytes.substr(kind.at).starts_with(kind.magic)) throw say(kind.name, kind.command);
  if (bytes.find(":::MLLOG") != std::string_view::npos || bytes.find('\0') == std::string_view::npos) return;
  const std::size_t wide = bytes.find(":\0:\0:\0M\0L\0L\0"sv);  // in either order of bytes: the place tells which
  if (wide != std::string_view::npos)
    throw say("UTF-16 text", wide % 2 == 0 ? "iconv -f UTF-16LE -t UTF-8" : "iconv -f UTF-16BE -t UTF-8");
  throw say("a binary file", "");
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int number() const noexcept { return number_; }

 private:
  int number_;
};

Error cannot_read(const std::filesystem::path& path, int error) {
  return refused(path, fmt::format("cannot be read: {}", std::strerror(error)), "check the name and the permissions");
}

}  // namespace

std::string read_log_file(const std::filesystem::path& path, std::string_view command) {
  // Without waiting: opening a named pipe that nobody writes to would never end.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat about {};
  if (file.number() < 0 || ::fstat(file.number(), &about) != 0) throw cannot_read(path, errno);
  if (S_ISDIR(about.st_mode)) throw refused(path, "is a folder", "name the log in it");
  if (S_ISCHR(about.st_mode) || S_ISBLK(about.st_mode))
    throw refused(path, "is a device, not a file", "name a log file");
  pollfd ready{file.number(), POLLIN, 0};
  if (S_ISFIFO(about.st_mode) && ::poll(&ready, 1, writer_wait_ms) == 0)
    throw refused(path, "is a pipe that nobody writes to", "start what writes to it first, or name a log file");
  std::string text;
  std::array<char, 65536> block{};
  while (true) {
    const ssize_t count = ::read(file.number(), block.data(), block.size());
    if (count == 0) break;
    if (count > 0) {
      text.append(block.data(), static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      throw cannot_read(path, errno);
    }
  }
  require_text(path, text, command);
  return text;
}

}  // namespace trainmark
