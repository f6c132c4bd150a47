// Facts about files, whole writes, and content hashes.
#include "stage/files.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <vector>

namespace trainmark {
namespace {

constexpr std::size_t buffer_bytes = 4U << 20;  // large enough for parallel file systems' stripes

/// What staging can do about what has no other cure.
std::string remedy_of(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return "free space there, choose another stage.target, or use strategy shard";
    case EROFS:
      return "choose a folder that this user may write to (stage.target)";
    case ENOENT:
      return "check the path";
    default:
      return "check the file system";
  }
}

constexpr std::int64_t second_ns = 1'000'000'000;

FileFacts facts_from(const struct stat& info) {
  return {info.st_size, std::int64_t{info.st_blocks} * 512,
          std::int64_t{info.st_mtim.tv_sec} * second_ns + info.st_mtim.tv_nsec, info.st_mode & 0777, info.st_dev};
}

}  // namespace

void file_error(const std::filesystem::path& path, const std::string& doing, int error_number) {
  throw Error(ExitCode::data, system_complaint(path.string(), doing, error_number, remedy_of(error_number)));
}

bool has_stable_inodes(const std::filesystem::path& path) noexcept {
  // fuse, smb, cifs, smb2, v9fs: linux/magic.h
  constexpr std::array<std::uint32_t, 5> without = {0x65735546, 0x517B, 0xFF534D42, 0xFE534D42, 0x01021997};
  struct statfs info {};
  if (statfs(path.c_str(), &info) != 0) return true;  // whoever opens the file says what is wrong
  return std::ranges::find(without, static_cast<std::uint32_t>(info.f_type)) == without.end();
}

std::uint64_t stamp_of(const struct stat& info, bool stable_inodes) noexcept {
  const std::array<std::int64_t, 3> facts = {stable_inodes ? static_cast<std::int64_t>(info.st_ino) : 0,
                                             info.st_ctim.tv_sec, info.st_ctim.tv_nsec};
  return std::max(XXH3_64bits(facts.data(), sizeof(facts)), std::uint64_t{1});
}

bool same_time(std::int64_t one_ns, std::int64_t other_ns) noexcept {
  // What file systems keep of a time, the finest first: 1 ns, 100 ns, 1 us, 1 ms, 10 ms, whole seconds.
  constexpr std::array<std::int64_t, 6> kept_ns = {1, 100, 1'000, 1'000'000, 10'000'000, second_ns};
  return std::ranges::any_of(kept_ns, [&](std::int64_t unit) {
    const bool cut = one_ns % unit == 0 || other_ns % unit == 0;
    return cut && one_ns / unit == other_ns / unit;
  });
}

void SourceTraits::release(type raw) noexcept { close(raw); }

FileDescriptor open_source(const std::filesystem::path& path) {
  FileDescriptor descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!descriptor) file_error(path, "cannot be opened", errno);
  return descriptor;
}

void expect_whole_read(int descriptor, std::int64_t bytes) noexcept {
  constexpr std::int64_t read_at_once = 128 << 10;  // what the kernel reads ahead anyway
  if (bytes > read_at_once) posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL);
}

std::optional<FileFacts> facts_of(const std::filesystem::path& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return facts_from(info);
}

FileFacts facts_of(int descriptor, const std::filesystem::path& path) {
  struct stat info {};
  if (fstat(descriptor, &info) != 0) file_error(path, "cannot be examined", errno);
  return facts_from(info);
}

void make_private_folders(const std::filesystem::path& folder, const std::string& where) {
  std::error_code status;
  if (folder.empty() || std::filesystem::is_directory(folder, status)) return;
  if (!std::filesystem::exists(folder.parent_path(), status)) make_private_folders(folder.parent_path(), where);
  if (mkdir(folder.c_str(), 0700) == 0) return;
  const int reason = errno;
  if (!std::filesystem::is_directory(folder, status)) {  // another rank may have been faster
    file_error(folder, where + ": the folder cannot be made", reason);
  }
}

bool belongs_to_another(const std::filesystem::path& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && info.st_uid != geteuid() && info.st_uid != 0;
}

void write_all(int descriptor, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t put = write(descriptor, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) file_error(path, "cannot be written", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

struct ContentHash::State {
  XXH3_state_t* raw = XXH3_createState();
  State() = default;
  ~State() { XXH3_freeState(raw); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

ContentHash::ContentHash() : state_(std::make_unique<State>()) {
  TRAINMARK_CHECK(state_->raw != nullptr, "a hash state was allocated");
  XXH3_128bits_reset(state_->raw);
}
ContentHash::~ContentHash() = default;

void ContentHash::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_->raw, bytes.data(), bytes.size());
}

std::string ContentHash::hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->raw);
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string hash_file(const std::filesystem::path& path, const ByteProgress& progress) {
  const FileDescriptor file = open_source(path);
  expect_whole_read(file.get(), std::numeric_limits<std::int64_t>::max());
  ContentHash hash;
  std::vector<std::byte> buffer(buffer_bytes);
  for (;;) {
    const ssize_t got = read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) file_error(path, "cannot be read", errno);
    if (got == 0) return hash.hex();
    hash.add(std::span(buffer).first(static_cast<std::size_t>(got)));
    if (progress) progress(got);
  }
}

std::string hash_range(const std::filesystem::path& path, std::int64_t offset, std::int64_t bytes,
                       const ByteProgress& progress) {
  const FileDescriptor file = open_source(path);
  ContentHash hash;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min<std::int64_t>(bytes, buffer_bytes)));
  for (const std::int64_t end = offset + bytes; offset < end;) {
    const auto wanted = static_cast<std::size_t>(std::min(end - offset, std::ssize(buffer)));
    const ssize_t got = pread(file.get(), buffer.data(), wanted, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) file_error(path, "cannot be read", errno);
    if (got == 0) break;
    hash.add(std::span(buffer).first(static_cast<std::size_t>(got)));
    offset += got;
    if (progress) progress(got);
  }
  return hash.hex();
}

std::string readable_bytes(std::int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= std::int64_t{1} << 40) return fmt::format("{:.2f} TiB", value / 0x1p40);
  if (bytes >= std::int64_t{1} << 30) return fmt::format("{:.2f} GiB", value / 0x1p30);
  if (bytes >= std::int64_t{1} << 20) return fmt::format("{:.1f} MiB", value / 0x1p20);
  if (bytes >= std::int64_t{1} << 10) return fmt::format("{:.1f} KiB", value / 0x1p10);
  return fmt::format("{} bytes", bytes);
}

}  // namespace trainmark
