// Reading the source: the bytes that the manifest promises, or an error that says what is there instead.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <thread>

#include "stage/files.hpp"

namespace trainmark {
namespace {

/// What a file system says while one of its servers restarts or a route changes; also what a broken disk says, so once.
bool may_pass(int error_number) {
  constexpr std::array passing = {EIO, ESTALE, ETIMEDOUT, EREMOTEIO, ENOTCONN, EHOSTDOWN};
  return std::ranges::find(passing, error_number) != passing.end();
}

}  // namespace

SourceFile::SourceFile(const ManifestEntry& entry, std::filesystem::path path) : entry_(entry), path_(std::move(path)) {
  open();
}

void SourceFile::open() {
  file_ = open_source(path_);
  facts_ = facts_of(file_.get(), path_);
  require_as_scanned(facts_);
  expect_whole_read(file_.get(), facts_.bytes);
  if (!entry_.recoding) return;
  require_listed_content();
  recoded_ = entry_.recoding->open(path_, file_.get());
}

/// Of what is not copied as it is nobody else compares the bytes.
void SourceFile::require_listed_content() const {
  const std::string& listed = entry_.recoding->source_xxh3();
  if (!listed.empty()) require_listed_hash(path_, hash_file(path_), listed);
}

void require_listed_hash(const std::filesystem::path& path, const std::string& found, const std::string& listed) {
  if (listed.empty() || found == listed) return;
  throw Error(ExitCode::data,
              Complaint{path.string(), fmt::format("content has XXH3 {}, its manifest says {}", found, listed),
                        "the file is damaged or the manifest is old",
                        "restore the file, or list the files anew with `trainmark data verify FOLDER --write`"});
}

std::int64_t SourceFile::bytes_read() const {
  if (!recoded_) return entry_.bytes;
  return entry_.recoding->source_xxh3().empty() ? recoded_->source_bytes_read() : facts_.bytes;
}

void SourceFile::read(std::span<std::byte> to, std::int64_t offset) {
  if (recoded_) return recoded_->read(offset, to);
  for (bool retried = false; !to.empty();) {
    const ssize_t got = pread(file_.get(), to.data(), to.size(), offset);
    if (got > 0) {
      to = to.subspan(static_cast<std::size_t>(got));
      offset += got;
      continue;
    }
    if (got == 0) {
      throw Error(ExitCode::data,
                  Complaint{path_.string(), fmt::format("gave {} bytes, its size is {}", offset, entry_.bytes),
                            "it changed while it was copied, or its file system fails", "run again"});
    }
    const int reason = errno;
    if (reason == EINTR) continue;
    if (retried || !may_pass(reason)) file_error(path_, retried ? "cannot be read, twice" : "cannot be read", reason);
    retried = true;
    ++retries_;
    diagnose(LogLevel::warn, [&] {
      return fmt::format("{}: a read at byte {} failed ({}): it is opened anew and read once more", path_.string(),
                         offset, std::generic_category().message(reason));
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    open();
  }
}

void SourceFile::require_unchanged() const { require_as_scanned(facts_of(file_.get(), path_)); }

void SourceFile::require_as_scanned(const FileFacts& now) const {
  const bool same_time = entry_.modified_ns == 0 || entry_.modified_ns == now.modified_ns;
  const std::int64_t bytes = entry_.bytes_at_source();
  if (bytes == now.bytes && same_time) return;
  const std::string what = bytes != now.bytes
                               ? fmt::format("changed since it was scanned: {} bytes then, {} now", bytes, now.bytes)
                               : "changed since it was scanned: its modification time is another one";
  throw Error(ExitCode::data, Complaint{path_.string(), what, "a run must not train on a dataset that is being written",
                                        "wait until the dataset is complete, then run again"});
}

}  // namespace trainmark
