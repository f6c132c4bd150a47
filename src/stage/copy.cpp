// One file from the source to its place: what was promised is what is copied, or it is an error.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "stage/files.hpp"

namespace trainmark {
namespace {

constexpr std::size_t buffer_bytes = 4U << 20;

void require_unchanged(const ManifestEntry& entry, const FileFacts& now, const std::filesystem::path& path) {
  const bool same_time = entry.modified_ns == 0 || entry.modified_ns == now.modified_ns;
  if (entry.bytes == now.bytes && same_time) return;
  const std::string what =
      entry.bytes != now.bytes
          ? fmt::format("changed since it was scanned: {} bytes then, {} now", entry.bytes, now.bytes)
          : "changed since it was scanned: its modification time is another one";
  throw Error(ExitCode::data, Complaint{path.string(), what, "a run must not train on a dataset that is being written",
                                        "wait until the dataset is complete, then run again"});
}

/// Reads, hashes and writes: the bytes pass through here anyway.
void copy_hashed(int from, PartialFile& to, const std::filesystem::path& path, ContentHash& hash,
                 const ByteProgress& progress) {
  std::vector<std::byte> buffer(buffer_bytes);
  for (;;) {
    const ssize_t got = read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) file_error(path, "cannot be read", errno);
    if (got == 0) return;
    const auto piece = std::span(buffer).first(static_cast<std::size_t>(got));
    hash.add(piece);
    write_all(to.descriptor(), piece, to.path());
    if (progress) progress(got);
  }
}

/// Lets the kernel copy, or the file systems share, as far as they can. False where they cannot at all.
bool copy_in_kernel(int from, PartialFile& to, const std::filesystem::path& path, const ByteProgress& progress) {
  constexpr std::size_t step = 64U << 20;  // so that progress is heard of
  bool moved = false;
  for (;;) {
    const ssize_t got = copy_file_range(from, nullptr, to.descriptor(), nullptr, step, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && !moved && errno != ENOSPC && errno != EDQUOT && errno != EIO) return false;
    if (got < 0) file_error(path, fmt::format("cannot be copied to {}", to.path().string()), errno);
    if (got == 0) return moved;
    moved = true;
    if (progress) progress(got);
  }
}

}  // namespace

std::string copy_entry(const ManifestEntry& entry, const std::filesystem::path& from, const std::filesystem::path& to,
                       bool hashed, const ByteProgress& progress) {
  const FileDescriptor source = open_source(from);
  const FileFacts before = facts_of(source.get(), from);
  require_unchanged(entry, before, from);
  // Seen by nobody who may not see the source. Its owner, who is another one perhaps, must be able to read it.
  PartialFile target(to, before.mode | S_IRUSR);
  // Takes the space before the bytes arrive; file systems that cannot say so lose nothing.
  if (entry.bytes > 0 && fallocate(target.descriptor(), FALLOC_FL_KEEP_SIZE, 0, entry.bytes) != 0 && errno == ENOSPC) {
    file_error(target.path(), "cannot be given its space", ENOSPC);
  }
  ContentHash hash;
  if (hashed) {
    copy_hashed(source.get(), target, from, hash, progress);
  } else if (!copy_in_kernel(source.get(), target, from, progress)) {
    ContentHash unused;
    copy_hashed(source.get(), target, from, unused, progress);
  }
  require_unchanged(entry, facts_of(source.get(), from), from);
  const std::int64_t copied = facts_of(target.descriptor(), target.path()).bytes;
  if (copied != entry.bytes) {
    throw Error(ExitCode::data,
                Complaint{from.string(), fmt::format("gave {} bytes, its size is {}", copied, entry.bytes),
                          "it changed while it was copied, or its file system fails", "run again"});
  }
  const std::string found = hashed ? hash.hex() : "";
  if (hashed && !entry.xxh3.empty() && entry.xxh3 != found) {
    throw Error(ExitCode::data,
                Complaint{from.string(), fmt::format("content has XXH3 {}, its manifest says {}", found, entry.xxh3),
                          "the file is damaged or the manifest is old",
                          "restore the file, or list the files anew with `trainmark data verify FOLDER --write`"});
  }
  // The source's time, so that the copy can be told from an older one without reading it.
  const timespec time = {before.modified_ns / 1'000'000'000, before.modified_ns % 1'000'000'000};
  const timespec times[2] = {time, time};
  futimens(target.descriptor(), times);
  target.publish();
  return found;
}

}  // namespace trainmark
