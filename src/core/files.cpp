// Files that are whole or not there.
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

Error cannot(const char* what, const std::filesystem::path& path, int error, const Unwritten& unwritten) {
  return {ExitCode::environment, Complaint{path.string(), fmt::format("cannot {}: {}", what, std::strerror(error)),
                                           std::string(unwritten.why), std::string(unwritten.remedy)}};
}

/// What could not be done, or null.
const char* write_whole(int descriptor, std::string_view text, bool flushes) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return "write";
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return flushes && ::fsync(descriptor) != 0 ? "flush" : nullptr;
}

}  // namespace

void write_atomically(const std::filesystem::path& path, std::string_view content, const Unwritten& unwritten,
                      bool hurry) {
  TemporaryName temporary;
  const int descriptor = temporary.create(path, 0644);
  if (descriptor < 0) throw cannot("create", path, errno, unwritten);
  const char* failed = write_whole(descriptor, content, !hurry);
  int error = errno;
  // An interrupted close has closed all the same.
  if (::close(descriptor) != 0 && errno != EINTR && failed == nullptr) {
    failed = "close";
    error = errno;
  }
  if (failed == nullptr && ::rename(temporary.path().c_str(), path.c_str()) != 0) {
    failed = "rename";
    error = errno;
  }
  if (failed == nullptr) return;
  ::unlink(temporary.path().c_str());
  throw cannot(failed, path, error, unwritten);
}

}  // namespace trainmark
