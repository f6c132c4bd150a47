// One file from the source to its place, by one rank alone.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "stage/files.hpp"

namespace trainmark {
namespace {

/// Asks storage for the next stretches of a file while this one is written and flushed: by itself the kernel reads some
/// hundred kB ahead, and none while this rank waits for its target. Of each call a local file system takes as much as
/// its device's readahead or largest request (128 KiB to some MiB); others, as they like.
class ReadAhead {
 public:
  ReadAhead(int descriptor, std::int64_t bytes) : descriptor_(descriptor), bytes_(bytes > small ? bytes : 0) {}
  void at(std::int64_t offset) noexcept {
    for (; asked_ < std::min(bytes_, offset + stretch); asked_ += stretch)
      posix_fadvise(descriptor_, asked_, stretch, POSIX_FADV_WILLNEED);
  }

 private:
  static constexpr std::int64_t stretch = 32 << 20, small = 128 << 10;  // what the kernel reads at once anyway
  int descriptor_;
  std::int64_t bytes_, asked_ = 0;
};

void copy_through_memory(SourceFile& from, std::int64_t bytes, Landing& to, const ByteProgress& progress) {
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(piece_bytes, bytes)));
  ReadAhead ahead(from.descriptor(), from.is_recoded() ? 0 : bytes);  // a recoded one was read when it was opened
  for (std::int64_t offset = 0; offset < bytes;) {
    ahead.at(offset);
    const auto piece = std::span(buffer).first(static_cast<std::size_t>(std::min(piece_bytes, bytes - offset)));
    from.read(piece, offset);
    to.add(piece);
    offset += std::ssize(piece);
    if (progress) progress(std::ssize(piece));
  }
}

/// Lets the kernel copy, or the file systems share, as far as they can. False where they cannot at all.
bool copy_in_kernel(int from, std::int64_t bytes, const Landing& to, const std::filesystem::path& path,
                    const ByteProgress& progress) {
  constexpr std::size_t step = 32U << 20;  // so that progress is heard of
  ReadAhead ahead(from, bytes);
  std::int64_t moved = 0;
  for (;;) {
    ahead.at(moved);
    const ssize_t got = copy_file_range(from, nullptr, to.descriptor(), nullptr, step, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && moved == 0 && errno != ENOSPC && errno != EDQUOT && errno != EIO) return false;
    if (got < 0) file_error(path, fmt::format("cannot be copied to {}", to.path().string()), errno);
    if (got == 0) return moved > 0;
    moved += got;
    if (progress) progress(got);
  }
}

}  // namespace

Copied copy_entry(const ManifestEntry& entry, const std::filesystem::path& from, const LandingPlace& to, bool hashed,
                  const ByteProgress& progress) {
  SourceFile source(entry, from);
  auto target = std::make_unique<Landing>(entry, from, to, source.facts(), hashed);
  if (hashed || source.is_recoded() || !copy_in_kernel(source.descriptor(), entry.bytes, *target, from, progress))
    copy_through_memory(source, entry.bytes, *target, progress);
  source.require_unchanged();
  std::string xxh3 = target->finish();
  return {std::move(target), std::move(xxh3), source.retries(), source.bytes_read()};
}

std::string hash_of_copy(const ManifestEntry& entry, const std::filesystem::path& from, const ByteProgress& progress) {
  SourceFile source(entry, from);
  ContentHash hash;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(piece_bytes, entry.bytes)));
  for (std::int64_t offset = 0; offset < entry.bytes; offset += piece_bytes) {
    const auto piece = std::span(buffer).first(static_cast<std::size_t>(std::min(piece_bytes, entry.bytes - offset)));
    source.read(piece, offset);
    hash.add(piece);
    if (progress) progress(std::ssize(piece));
  }
  source.require_unchanged();
  return hash.hex();
}

}  // namespace trainmark
