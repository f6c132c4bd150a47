#include "core/reading.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace trainmark {
namespace {

constexpr int writer_wait_ms = 2000;  // for who opens the other end of a named pipe a moment later

struct DescriptorTraits {
  using type = int;
  static type null() noexcept { return -1; }
  static void release(type raw) noexcept { ::close(raw); }
};
using Opened = Handle<DescriptorTraits>;

class Reader {
 public:
  Reader(const std::filesystem::path& path, const Reading& reading) : path_(path), reading_(reading) {}

  /// Without waiting: opening a named pipe that nobody writes to would never end.
  [[nodiscard]] Opened open() const { return Opened(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)); }

  [[nodiscard]] Error cannot(const char* what, int error) const {
    const Complaint said = system_complaint(path_.string(), what, error, "check the name and the permissions");
    return {reading_.code, said};
  }

  [[nodiscard]] std::string read(const Opened& file) const {
    struct stat about {};
    if (::fstat(file.get(), &about) != 0) throw cannot("cannot be examined", errno);
    const bool pipe = S_ISFIFO(about.st_mode);
    if (!S_ISREG(about.st_mode) && !(pipe && reading_.streams)) {
      throw no_file(std::string(what_is(about.st_mode)),
                    S_ISDIR(about.st_mode) ? fmt::format("name the {} in it", reading_.wanted)
                                           : fmt::format("name a {} that is a file", reading_.wanted));
    }
    std::string text;
    if (S_ISREG(about.st_mode))
      text.reserve(std::min(reading_.most, static_cast<std::size_t>(std::max<off_t>(about.st_size, 0))));
    std::array<char, 65536> block{};
    int unmet_ms = pipe ? writer_wait_ms : 0;  // to wait until a writer is there
    while (true) {
      const ssize_t count = ::read(file.get(), block.data(), block.size());
      const bool met = count > 0 || (count < 0 && errno == EAGAIN);
      if (count > 0) {
        text.append(block.data(), static_cast<std::size_t>(count));
        if (text.size() > reading_.most)
          throw no_file(fmt::format("has more than {} bytes", reading_.most), "name another file");
      } else if (count < 0 && errno == EAGAIN) {  // a writer has all the time in the world
        pollfd ready{file.get(), POLLIN, 0};
        ::poll(&ready, 1, -1);
      } else if (count < 0 && errno != EINTR) {
        throw cannot("cannot be read", errno);
      } else if (count == 0 && (unmet_ms == 0 || writer_left(file, unmet_ms))) {
        return text;
      }
      if (met) unmet_ms = 0;
    }
  }

 private:
  [[nodiscard]] Error no_file(std::string what, std::string remedy) const {
    return {reading_.code, Complaint{path_.string(), std::move(what), std::string(reading_.why),
                                     reading_.remedy.empty() ? std::move(remedy) : std::string(reading_.remedy)}};
  }

  /// Waits a moment for a writer; true where one came and left in between.
  [[nodiscard]] bool writer_left(const Opened& pipe, int& unmet_ms) const {
    constexpr int step_ms = 20;
    pollfd ready{pipe.get(), POLLIN, 0};
    if (::poll(&ready, 1, step_ms) > 0) return (ready.revents & POLLIN) == 0;
    unmet_ms -= step_ms;
    if (unmet_ms > 0) return false;
    throw no_file("is a pipe that nobody writes to",
                  fmt::format("start what writes to it first, or name a {} file", reading_.wanted));
  }

  const std::filesystem::path& path_;
  const Reading& reading_;
};

}  // namespace

std::string_view what_is(unsigned mode) noexcept {
  if (S_ISDIR(mode)) return "is a folder";
  if (S_ISFIFO(mode)) return "is a named pipe";
  return S_ISSOCK(mode) ? "is a socket" : "is a device";
}

std::string read_whole(const std::filesystem::path& path, const Reading& reading) {
  const Reader reader(path, reading);
  const Opened file = reader.open();
  if (!file) throw reader.cannot("cannot be opened", errno);
  return reader.read(file);
}

std::optional<std::string> read_if_there(const std::filesystem::path& path, const Reading& reading) {
  const Reader reader(path, reading);
  const Opened file = reader.open();
  if (file) return reader.read(file);
  const int error = errno;
  struct stat link {};
  if (error == ENOENT && ::lstat(path.c_str(), &link) == 0)
    throw Error(reading.code, Complaint{path.string(), "is a link that leads nowhere", std::string(reading.why),
                                        "correct the link, or remove it"});
  if (error == ENOENT || error == ENOTDIR) return std::nullopt;
  throw reader.cannot("cannot be opened", error);
}

std::optional<std::string> read_if_possible(const std::filesystem::path& path, const Reading& reading) {
  try {
    return read_if_there(path, reading);
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace trainmark
