#include "run/record/files.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

constexpr Unwritten unwritten{"the results of the run would be lost",
                              "free space or set /results/folder to another file system"};

[[noreturn]] void fail(const std::filesystem::path& path, const char* what) {
  throw Error(ExitCode::environment, Complaint{path.string(), fmt::format("cannot {}: {}", what, std::strerror(errno)),
                                               std::string(unwritten.why), std::string(unwritten.remedy)});
}

void write_all(int descriptor, std::string_view text, const std::filesystem::path& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, "write");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// An interrupted close has closed all the same.
bool close_fails(int descriptor) { return ::close(descriptor) != 0 && errno != EINTR; }

}  // namespace

void write_result(const std::filesystem::path& path, std::string_view content, bool hurry) {
  write_atomically(path, content, unwritten, hurry);
}

CsvFile::CsvFile(const std::filesystem::path& path, std::string_view header)
    : descriptor_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)), path_(path) {
  if (descriptor_ < 0) fail(path, "create");
  rows(fmt::format("{}\n", header));
}

CsvFile::~CsvFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}
CsvFile::CsvFile(CsvFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}
CsvFile& CsvFile::operator=(CsvFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

void CsvFile::rows(std::string_view text) {
  if (descriptor_ >= 0) write_all(descriptor_, text, path_);
}

void CsvFile::close() {
  if (descriptor_ >= 0 && close_fails(std::exchange(descriptor_, -1))) fail(path_, "close");
}

}  // namespace trainmark
