// Reading copies again from where they are stored. What was written lies in the page cache: a read that is served from
// there says nothing of the disk.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

#include "stage/stager.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace {

constexpr std::size_t alignment = 4096;          // of memory, offsets and sizes that any device's direct reads take
constexpr std::size_t request_bytes = 4U << 20;  // nothing reads ahead here

struct Free {
  void operator()(std::byte* memory) const noexcept { std::free(memory); }
};

bool read_past_the_cache(int file, bool wanted) noexcept {
  const int flags = fcntl(file, F_GETFL);
  return flags >= 0 && fcntl(file, F_SETFL, wanted ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

}  // namespace

ReadBack hash_of_device(const std::filesystem::path& path, const ByteProgress& progress) {
  const FileDescriptor file = open_source(path);
  const std::unique_ptr<std::byte, Free> memory(static_cast<std::byte*>(std::aligned_alloc(alignment, request_bytes)));
  if (!memory) throw std::bad_alloc();
  posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
  bool direct = read_past_the_cache(file.get(), true);
  const std::int64_t before = thread_bytes_from_storage().value_or(0);
  ReadBack found;
  ContentHash hash;
  for (;;) {
    const ssize_t got = pread(file.get(), memory.get(), request_bytes, found.bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EINVAL && direct) {  // some take the flag and refuse the reads
      direct = false;
      read_past_the_cache(file.get(), false);
      continue;
    }
    if (got < 0) file_error(path, "cannot be read back", errno);
    if (got == 0) break;
    hash.add({memory.get(), static_cast<std::size_t>(got)});
    found.bytes += got;
    if (progress) progress(got);
  }
  found.from_storage = thread_bytes_from_storage().value_or(0) - before;
  found.xxh3 = hash.hex();
  return found;
}

/// Where the target is in memory no device holds anything: what would be compared is what was hashed on its way.
void Stager::choose_reading_back() {
  agree_on(world_.all(), [&] {
    if (options_.verify != Verify::readback) return;
    const std::filesystem::path folder = nearest_folder(target_);
    reads_back_ = !is_in_memory(folder);
    if (!reads_back_ && world_.node().rank() == 0 && warning_.empty()) {
      warning_ = fmt::format("note: node {}: {} is in memory: there is no device to read copies back from",
                             world_.host(), target_.string());
    }
  });
}

std::string Stager::read_back(const std::filesystem::path& path, const ByteProgress& progress) {
  const Clock clock;
  ReadBack found = hash_of_device(path, progress);
  mine_.bytes_read_back += found.bytes;
  mine_.bytes_read_back_from_storage += found.from_storage;
  mine_.read_back_seconds += clock.seconds();
  return std::move(found.xxh3);
}

void Stager::require_as_written(Landing& landing, const std::string& xxh3, const ByteProgress& beat) {
  const std::string found = read_back(landing.file().path(), beat);
  if (found == xxh3) return;
  throw Error(
      ExitCode::data,
      Complaint{(target_ / landing.entry().name).string(),
                fmt::format("holds XXH3 {} where {} was written (read back from node {})", found, xxh3, world_.host()),
                "its disk, the way there or this node's memory damages data: training would have read it",
                "run again; if it repeats, leave the node out and have its disk and memory tested"});
}

}  // namespace trainmark
