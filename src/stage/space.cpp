// What a file system has left, and whether it survives a restart.
#include <fmt/core.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "stage/files.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace {

/// What a file system in memory says to be free is not what the job may use: it would be ended half-way.
std::optional<Complaint> lacking_memory(const std::filesystem::path& folder, double needed, const std::string& where) {
  const MemoryRoom room = memory_room();
  if (needed <= room.bytes) return std::nullopt;
  return Complaint{
      where,
      fmt::format("{} is in memory, of which {} are left ({}), staging needs {}", folder.string(),
                  readable_bytes(static_cast<std::int64_t>(room.bytes)), room.source,
                  readable_bytes(static_cast<std::int64_t>(needed))),
      "nothing was copied; the system would have ended the job half-way",
      "raise the job's memory limit (Slurm: --mem), choose a stage.target on a disk, or use strategy shard on "
      "more nodes"};
}

}  // namespace

void SpaceNeed::add(const SpaceNeed& later) noexcept {
  bytes += later.bytes;
  reclaimed += later.reclaimed;
  overlap = std::max(overlap, later.overlap);  // a rank replaces one file at a time
  files += later.files;
  buffers = std::max(buffers, later.buffers);
}

void SpaceNeed::add_file(std::int64_t new_bytes, std::int64_t replaced_bytes) noexcept {
  constexpr std::int64_t block = 4096;
  bytes += (new_bytes + block - 1) / block * block;
  ++files;
  reclaimed += replaced_bytes;
  overlap = std::max(overlap, replaced_bytes);
}

SpaceNeed node_need(const World& world, std::span<const SpaceNeed> needs, std::span<const std::uint64_t> file_systems,
                    std::size_t at) {
  SpaceNeed mine;
  for (std::size_t other = 0; other < needs.size(); ++other)
    if (file_systems[other] == file_systems[at]) mine.add(needs[other]);
  std::array<std::int64_t, 5> sums = {mine.bytes, mine.reclaimed, mine.overlap, mine.files, mine.buffers};
  world.node().sum(sums);
  return {sums[0], sums[1], sums[2], sums[3], sums[4]};
}

bool is_in_memory(const std::filesystem::path& folder) {
  struct statfs info {};
  if (statfs(folder.c_str(), &info) != 0) file_error(folder, "its file system cannot be examined", errno);
  return info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC;
}

std::filesystem::path nearest_folder(const std::filesystem::path& path) {
  std::filesystem::path existing = std::filesystem::absolute(path);
  std::error_code status;
  while (!std::filesystem::exists(existing, status) && existing.has_relative_path())
    existing = existing.parent_path();
  return existing;
}

std::uint64_t file_system_of(const std::filesystem::path& folder) {
  struct stat info {};
  if (stat(folder.c_str(), &info) != 0) file_error(folder, "cannot be examined", errno);
  return info.st_dev;
}

std::optional<Complaint> lacking_space(const std::filesystem::path& folder, const SpaceNeed& need,
                                       double reserve_percent, const std::string& where) {
  struct statvfs info {};
  if (statvfs(folder.c_str(), &info) != 0)
    file_error(folder, "its file system cannot be asked for its free space", errno);
  const auto block = static_cast<double>(info.f_frsize);
  const double free = static_cast<double>(info.f_bavail) * block;
  const double reserve = static_cast<double>(info.f_blocks) * block * reserve_percent / 100.0;
  const auto needed = static_cast<double>(need.bytes - need.reclaimed + need.overlap);
  if (need.bytes > 0 && needed + reserve > free) {
    return Complaint{
        where,
        fmt::format("{} has {} free, staging needs {} and leaves {} in reserve", folder.string(),
                    readable_bytes(static_cast<std::int64_t>(free)), readable_bytes(static_cast<std::int64_t>(needed)),
                    readable_bytes(static_cast<std::int64_t>(reserve))),
        "nothing was copied",
        "free space there, choose another stage.target, use strategy shard on more nodes, or lower "
        "stage.reserve_percent"};
  }
  if (need.bytes > 0 && is_in_memory(folder)) {
    if (auto lacking = lacking_memory(folder, needed + static_cast<double>(need.buffers), where)) return lacking;
  }
  // File systems that count no inodes report zero of them.
  if (info.f_files > 0 && info.f_favail < static_cast<fsfilcnt_t>(need.files)) {
    return Complaint{
        where,
        fmt::format("{} has room for {} more files, staging needs {}", folder.string(), info.f_favail, need.files),
        "nothing was copied", "pack more samples into a file, or choose another target"};
  }
  return std::nullopt;
}

void require_space(const std::filesystem::path& folder, const SpaceNeed& need, double reserve_percent,
                   const std::string& where) {
  if (const auto lacking = lacking_space(folder, need, reserve_percent, where)) throw Error(ExitCode::data, *lacking);
}

bool durable(const std::filesystem::path& path) { return !is_in_memory(nearest_folder(path)); }

}  // namespace trainmark
