// Writing copies: they take their places under their names only when they are whole, known to be right and on the disk.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <cerrno>
#include <set>
#include <utility>

#include "stage/files.hpp"

namespace trainmark {

Landing::Landing(const ManifestEntry& entry, std::filesystem::path from, const std::filesystem::path& to,
                 const FileFacts& source, bool hashed)
    : entry_(entry),
      from_(std::move(from)),
      to_(to),
      file_(to, source.mode | S_IRUSR),  // its owner, who is another one perhaps, must be able to read it
      modified_ns_(source.modified_ns),
      hashed_(hashed) {
  // Takes the space before the bytes arrive; file systems that cannot say so lose nothing.
  if (entry.bytes > 0 && fallocate(file_.descriptor(), FALLOC_FL_KEEP_SIZE, 0, entry.bytes) != 0 && errno == ENOSPC) {
    file_error(file_.path(), "cannot be given its space", ENOSPC);
  }
}

void Landing::add(std::span<const std::byte> bytes) {
  if (hashed_) hash_.add(bytes);
  write_all(file_.descriptor(), bytes, file_.path());
}

std::string Landing::finish() {
  const std::int64_t copied = facts_of(file_.descriptor(), file_.path()).bytes;
  if (copied != entry_.bytes) {
    throw Error(ExitCode::data,
                Complaint{from_.string(), fmt::format("gave {} bytes, its size is {}", copied, entry_.bytes),
                          "it changed while it was copied, or its file system fails", "run again"});
  }
  const std::string found = hashed_ ? hash_.hex() : "";
  if (hashed_ && !entry_.xxh3.empty() && entry_.xxh3 != found) {
    throw Error(ExitCode::data,
                Complaint{from_.string(), fmt::format("content has XXH3 {}, its manifest says {}", found, entry_.xxh3),
                          "the file is damaged or the manifest is old",
                          "restore the file, or list the files anew with `trainmark data verify FOLDER --write`"});
  }
  // The source's time, so that the copy can be told from an older one without reading it.
  const timespec time = {modified_ns_ / 1'000'000'000, modified_ns_ % 1'000'000'000};
  const timespec times[2] = {time, time};
  futimens(file_.descriptor(), times);
  return found;
}

void Commit::add(std::unique_ptr<Landing> finished, std::string xxh3) {
  const bool at_once = finished->replaces();
  finished->file().start_writing_back();
  bytes_ += finished->entry().bytes;
  waiting_.push_back({std::move(finished), std::move(xxh3)});
  if (at_once || waiting_.size() >= commit_files || bytes_ >= commit_bytes) flush();
}

void Commit::flush() {
  for (auto each = waiting_.begin(); each != waiting_.end(); ++each) {
    try {
      each->landing->file().sync();
    } catch (...) {  // a second fsync would succeed, whatever became of the bytes: this copy is lost
      waiting_.erase(each);
      throw;
    }
    beat_(0);
  }
  std::vector<Waiting> placed;
  const auto publish = [&] {
    std::set<std::filesystem::path> folders;
    for (const Waiting& each : placed)
      folders.insert(each.landing->file().folder());
    for (const std::filesystem::path& folder : folders)
      PartialFile::sync_folder(folder);
    for (const Waiting& each : placed)
      published_(each.landing->entry(), each.xxh3);
  };
  for (std::vector<Waiting> waiting = std::exchange(waiting_, {}); Waiting & each : waiting) {
    try {
      each.landing->file().take_place();
    } catch (...) {
      publish();
      throw;
    }
    placed.push_back(std::move(each));
  }
  publish();
  bytes_ = 0;
}

void Commit::keep() noexcept {
  try {
    beat_ = [](std::int64_t) {};  // of others' failures this work has heard enough
    flush();
  } catch (const std::exception&) {
  }
  waiting_.clear();
}

}  // namespace trainmark
