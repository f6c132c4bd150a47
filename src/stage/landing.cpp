// Writing copies: they take their places under their names only when they are whole, known to be right and on the disk.
#include <fcntl.h>
#include <fmt/core.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <set>
#include <utility>

#include "stage/files.hpp"

namespace trainmark {
namespace {

/// A smaller file's bytes take about as long as one call to the file system.
constexpr std::int64_t large_bytes = 1 << 20;
/// From how many files on one syncfs is quicker than an fsync for each.
constexpr std::size_t files_a_syncfs = 16;

/// From Linux 5.8 on syncfs tells of writes that failed earlier, from 5.17 on of what its file system failed at, too.
bool kernel_tells_of_lost_writes() {
  utsname system{};
  int major = 0, minor = 0;
  return uname(&system) == 0 && std::sscanf(system.release, "%d.%d", &major, &minor) == 2 &&
         std::pair(major, minor) >= std::pair(5, 17);
}

/// Others may not: an overlay keeps the errors of what lies below to itself, a server may be asked for all clients.
bool file_system_tells_of_lost_writes(int folder) {
  constexpr std::array<std::uint32_t, 4> known = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
                                                  F2FS_SUPER_MAGIC};
  struct statfs facts {};
  return fstatfs(folder, &facts) == 0 &&
         std::ranges::find(known, static_cast<std::uint32_t>(facts.f_type)) != known.end();
}

FileDescriptor opened_folder(const std::filesystem::path& folder) {
  return FileDescriptor(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

}  // namespace

Landing::Landing(const ManifestEntry& entry, std::filesystem::path from, const LandingPlace& to,
                 const FileFacts& source, bool hashed)
    : entry_(entry), from_(std::move(from)), to_(to), modified_ns_(source.modified_ns), hashed_(hashed) {
  if (to.descriptor >= 0) {
    if (lseek(to.descriptor, to.at.offset, SEEK_SET) < 0) file_error(to.path, "cannot be written", errno);
    return;
  }
  file_.emplace(to.path, source.mode | S_IRUSR);  // its owner, who is another one perhaps, must be able to read it
  // Takes the space before the bytes arrive; file systems that cannot say so lose nothing. Small files, too: space that
  // is found missing when a file is written back is nothing that syncfs tells of.
  if (entry.bytes > 0 && fallocate(descriptor(), FALLOC_FL_KEEP_SIZE, 0, entry.bytes) != 0 && errno == ENOSPC) {
    file_error(path(), "cannot be given its space", ENOSPC);
  }
}

void Landing::add(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), static_cast<std::size_t>(piece_bytes)));
    if (hashed_) hash_.add(piece);
    write_all(descriptor(), piece, path());
    bytes = bytes.subspan(piece.size());
  }
}

std::string Landing::finish() {
  const std::int64_t copied = lseek(descriptor(), 0, SEEK_CUR) - to_.at.offset;
  file_system_ = facts_of(descriptor(), path()).file_system;
  if (copied != entry_.bytes) {
    throw Error(ExitCode::data,
                Complaint{from_.string(), fmt::format("gave {} bytes, its size is {}", copied, entry_.bytes),
                          "it changed while it was copied, or its file system fails", "run again"});
  }
  const std::string found = hashed_ ? hash_.hex() : "";
  if (hashed_) require_listed_hash(from_, found, entry_.xxh3);
  if (!file_) return found;  // the index keeps its time
  // The source's time, so that the copy can be told from an older one without reading it.
  const timespec time = {modified_ns_ / 1'000'000'000, modified_ns_ % 1'000'000'000};
  const timespec times[2] = {time, time};
  futimens(descriptor(), times);
  return found;
}

Commit::Commit(std::filesystem::path target, Published published, ByteProgress beat, Check check)
    : target_(std::move(target)), published_(std::move(published)), beat_(std::move(beat)), check_(std::move(check)) {
  static const bool kernel_tells = kernel_tells_of_lost_writes();
  if (kernel_tells) since_ = opened_folder(target_);
  if (since_ && !file_system_tells_of_lost_writes(since_.get())) since_ = {};
  if (since_) file_system_ = facts_of(since_.get(), target_).file_system;
}

void Commit::add(std::unique_ptr<Landing> finished, std::string xxh3, bool replaces) {
  if (finished->entry().bytes >= large_bytes) finished->file().start_writing_back();
  bytes_ += finished->entry().bytes;
  waiting_.push_back({std::move(finished), std::move(xxh3)});
  if (replaces || waiting_.size() >= commit_files || bytes_ >= commit_bytes) flush();
}

bool Commit::sync_together() {
  if (!since_ || waiting_.size() < files_a_syncfs) return false;
  if (!std::ranges::all_of(waiting_,
                           [this](const Waiting& each) { return each.landing->file_system() == file_system_; }))
    return false;
  FileDescriptor from_now_on = opened_folder(target_);  // before the call: what fails during it is told to one of both
  beat_(0);
  const bool kept = syncfs(since_.get()) == 0;
  // What was lost may be anybody's, of a later commit too: from now on each file is asked, which knows of its own.
  // Before anything raises: a second call would not tell of it again.
  since_ = kept ? std::move(from_now_on) : FileDescriptor();
  beat_(0);
  return kept;
}

void Commit::sync_each() {
  for (auto each = waiting_.begin(); each != waiting_.end(); ++each) {
    try {
      each->landing->file().sync();
    } catch (...) {  // a second fsync would succeed, whatever became of the bytes: this copy is lost
      waiting_.erase(each);
      throw;
    }
    beat_(0);
  }
}

void Commit::check_each() {
  for (auto each = waiting_.begin(); check_ && each != waiting_.end(); ++each) {
    try {
      check_(*each->landing, each->xxh3, beat_);
    } catch (const Error&) {  // of this file; others that wait may be right
      waiting_.erase(each);
      throw;
    }
  }
}

void Commit::flush() {
  if (!sync_together()) sync_each();
  check_each();
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
    if (!check_) flush();         // what was not read back yet is copied again: reading it takes longer than an end may
  } catch (const std::exception&) {
  }
  waiting_.clear();
}

}  // namespace trainmark
