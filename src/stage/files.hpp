// Files as the staging engine handles them: facts, hashes, copies, space. System calls with errors that say what to do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "trainmark/stage.hpp"

namespace trainmark {

using ByteProgress = std::function<void(std::int64_t bytes)>;

[[noreturn]] void file_error(const std::filesystem::path& path, const std::string& doing, int error_number);

struct SourceTraits {
  using type = int;
  static type null() noexcept { return -1; }
  static void release(type raw) noexcept;
};
using FileDescriptor = Handle<SourceTraits>;
[[nodiscard]] FileDescriptor open_source(const std::filesystem::path& path);

struct FileFacts {
  std::int64_t bytes = 0;
  std::int64_t stored_bytes = 0;  ///< what the file system gave it
  std::int64_t modified_ns = 0;
  unsigned mode = 0;  ///< permissions
};
/// Nothing where there is no regular file of that name (a symbolic link is none).
[[nodiscard]] std::optional<FileFacts> facts_of(const std::filesystem::path& path);
[[nodiscard]] FileFacts facts_of(int descriptor, const std::filesystem::path& path);

/// As create_directories, but what is made is for its owner alone: a copy must not be seen by more people than its
/// source, whose own folders may be closed anywhere above. Raises Error{data}, which begins with `where`.
void make_private_folders(const std::filesystem::path& folder, const std::string& where);
/// Whether the path is there and belongs to neither this user nor root, whose word could be taken for what lies there.
[[nodiscard]] bool belongs_to_another(const std::filesystem::path& path);

void write_all(int descriptor, std::span<const std::byte> bytes, const std::filesystem::path& path);

/// XXH3-128 over a stream of bytes.
class ContentHash {
 public:
  ContentHash();
  ~ContentHash();
  ContentHash(const ContentHash&) = delete;
  ContentHash& operator=(const ContentHash&) = delete;
  void add(std::span<const std::byte> bytes);
  [[nodiscard]] std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Copies `entry` from `from` to `to`, published when complete. Returns its hash, if one was to be made. Raises
/// Error{data}: source changed since the manifest or while it was read, content not the manifest's, target full.
[[nodiscard]] std::string copy_entry(const ManifestEntry& entry, const std::filesystem::path& from,
                                     const std::filesystem::path& to, bool hashed, const ByteProgress& progress);

/// What is still to be written below a folder by all ranks of a node together.
struct SpaceNeed {
  std::int64_t bytes = 0;      ///< new content, rounded up to whole blocks
  std::int64_t reclaimed = 0;  ///< of files that will be replaced
  std::int64_t overlap = 0;    ///< of those, how much is there together with its replacement at one time
  std::int64_t files = 0;
  void add(const SpaceNeed& later) noexcept;  ///< of files that are written after these
};
/// Tells file systems apart. Raises Error{data}.
[[nodiscard]] std::uint64_t file_system_of(const std::filesystem::path& folder);
/// Raises Error{data} with what is free, needed and reserved.
void require_space(const std::filesystem::path& folder, const SpaceNeed& need, double reserve_percent,
                   const std::string& where);

[[nodiscard]] std::string readable_bytes(std::int64_t bytes);

}  // namespace trainmark
