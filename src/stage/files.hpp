// Files as the staging engine handles them: facts, hashes, copies, space. System calls with errors that say what to do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

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
/// A file of so many bytes is read from its beginning to its end: worth a call where reading ahead could matter.
void expect_whole_read(int descriptor, std::int64_t bytes) noexcept;

struct FileFacts {
  std::int64_t bytes = 0;
  std::int64_t stored_bytes = 0;  ///< what the file system gave it
  std::int64_t modified_ns = 0;
  unsigned mode = 0;              ///< permissions
  std::uint64_t file_system = 0;  ///< tells file systems apart
};
/// Nothing where there is no regular file of that name (a symbolic link is none).
[[nodiscard]] std::optional<FileFacts> facts_of(const std::filesystem::path& path);
[[nodiscard]] FileFacts facts_of(int descriptor, const std::filesystem::path& path);

/// As create_directories, but what is made is for its owner alone: a copy must not be seen by more people than its
/// source, whose own folders may be closed anywhere above. Raises Error{data}, which begins with `where`.
void make_private_folders(const std::filesystem::path& folder, const std::string& where);
/// Whether the path is there and belongs to neither this user nor root, whose word could be taken for what lies there.
[[nodiscard]] bool belongs_to_another(const std::filesystem::path& path);

/// What is read, hashed and written at a time: a core's second cache holds it. Larger writes have the kernel look for
/// larger stretches of free memory, which took twice as long where there were few. How much a file system fetches at
/// once is told by expect_whole_read, not by this.
inline constexpr std::int64_t piece_bytes = 256 << 10;
void write_all(int descriptor, std::span<const std::byte> bytes, const std::filesystem::path& path);

/// XXH3-128 in hex of so many bytes of a file, fewer where it ends before. Raises Error{data}.
[[nodiscard]] std::string hash_range(const std::filesystem::path& path, std::int64_t offset, std::int64_t bytes,
                                     const ByteProgress& progress);

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

/// What a file's device holds: its hash, and what it took to read it.
struct ReadBack {
  std::string xxh3;
  std::int64_t bytes = 0;
  std::int64_t from_storage = 0;  ///< bytes that the kernel says it brought for this thread meanwhile
};
/// Of a file that is on the disk: its pages are dropped from the page cache, and it is read past the cache (O_DIRECT)
/// where the file system takes that. Raises Error{data}: cannot be read.
[[nodiscard]] ReadBack hash_of_device(const std::filesystem::path& path, const ByteProgress& progress);

/// A file of the source, or what its copy holds in its place, read by offset: what was promised is what is read, or it
/// is an error. A read of the file that fails for a reason that may pass (a server that restarts) is tried once more.
class SourceFile {
 public:
  /// Raises Error{data}: cannot be opened, changed since it was scanned. `entry` must outlive it.
  SourceFile(const ManifestEntry& entry, std::filesystem::path path);
  void read(std::span<std::byte> to, std::int64_t offset);  ///< raises Error{data}: cannot be read, cut short
  void require_unchanged() const;                           ///< after the last read
  [[nodiscard]] int descriptor() const noexcept { return file_.get(); }
  [[nodiscard]] const FileFacts& facts() const noexcept { return facts_; }
  [[nodiscard]] std::int64_t retries() const noexcept { return retries_; }
  [[nodiscard]] bool is_recoded() const noexcept { return recoded_ != nullptr; }
  [[nodiscard]] std::int64_t bytes_read() const;  ///< off the source, once all was read

 private:
  void open();
  void require_as_scanned(const FileFacts& now) const;
  void require_listed_content() const;

  const ManifestEntry& entry_;
  std::filesystem::path path_;
  FileDescriptor file_;
  std::unique_ptr<RecodedFile> recoded_;  // in its place
  FileFacts facts_;
  std::int64_t retries_ = 0;
};

/// Where a file is to land: at a path of its own, or from an offset on in a container that somebody holds open.
struct LandingPlace {
  LandingPlace(std::filesystem::path own) : path(std::move(own)) {}  // NOLINT(google-explicit-constructor)
  LandingPlace(std::filesystem::path container, int opened, ContainerPlace place)
      : path(std::move(container)), descriptor(opened), at(place) {}
  std::filesystem::path path;
  int descriptor = -1;  ///< of the container
  ContainerPlace at{};
};

/// A file on its way into the target, from its first byte to its last; gone if it does not get there.
class Landing {
 public:
  /// A file of its own gets the source's permissions, so that nobody sees it who may not see that. `entry` must outlive
  /// it; `from` is for messages. Of a container one file is written at a time, up to finish().
  Landing(const ManifestEntry& entry, std::filesystem::path from, const LandingPlace& to, const FileFacts& source,
          bool hashed);
  void add(std::span<const std::byte> bytes);
  [[nodiscard]] PartialFile& file() { return file_.value(); }  ///< its own
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return file_ ? file_->path() : to_.path; }
  [[nodiscard]] int descriptor() const noexcept { return file_ ? file_->descriptor() : to_.descriptor; }
  [[nodiscard]] const ContainerPlace& place() const noexcept { return to_.at; }
  [[nodiscard]] std::int64_t modified_ns() const noexcept { return modified_ns_; }  ///< of the source
  [[nodiscard]] const ManifestEntry& entry() const noexcept { return entry_; }
  [[nodiscard]] std::uint64_t file_system() const noexcept { return file_system_; }  ///< known once it has finished
  /// After the last byte: all is there and right, and may take its place. Returns its hash, if one was to be made.
  /// Raises Error{data}: bytes missing, content not the manifest's.
  std::string finish();

 private:
  const ManifestEntry& entry_;
  std::filesystem::path from_;
  LandingPlace to_;
  std::optional<PartialFile> file_;  // none in a container
  std::int64_t modified_ns_;
  std::uint64_t file_system_ = 0;
  bool hashed_;
  ContentHash hash_;
};

struct Copied {
  std::unique_ptr<Landing> landing;
  std::string xxh3;  ///< if one was to be made
  std::int64_t retries = 0;
  std::int64_t source_bytes_read = 0;
};
/// Raises Error{data} where content that was read off the source is not what its manifest says; no hash is no doubt.
void require_listed_hash(const std::filesystem::path& path, const std::string& found, const std::string& listed);
/// XXH3-128 of what a copy of the entry will hold. Raises Error{data} as copying it would.
[[nodiscard]] std::string hash_of_copy(const ManifestEntry& entry, const std::filesystem::path& from,
                                       const ByteProgress& progress);
/// Copies `entry` from `from` to `to`, where it may take its place. Raises Error{data}: source changed since the
/// manifest or while it was read, content not the manifest's, target full.
[[nodiscard]] Copied copy_entry(const ManifestEntry& entry, const std::filesystem::path& from, const LandingPlace& to,
                                bool hashed, const ByteProgress& progress);

/// After how much a Commit is made: what a kill may cost.
inline constexpr std::size_t commit_files = 128;
inline constexpr std::int64_t commit_bytes = 256 << 20;

/// Lets files take their places several at a time, on the disk before that: what a disk does for each file by itself
/// takes longer than a small file's bytes. A kill costs no more than those that wait here. A file that replaces another
/// one does so at once, so that space is needed for one of them twice, not for many.
class Commit {
 public:
  using Published = std::function<void(const ManifestEntry& entry, const std::string& xxh3)>;
  using Check = std::function<void(Landing& landing, const std::string& xxh3, const ByteProgress& beat)>;
  /// `published` hears of each file that is in its place to stay; `beat` is called between files. `check`, if there is
  /// one, is shown each file that is on the disk before it takes its place, and raises Error where it may not.
  /// To be made before the first file below `target` is.
  Commit(std::filesystem::path target, Published published, ByteProgress beat, Check check = {});
  /// `replaces`: a file of that name is there.
  void add(std::unique_ptr<Landing> finished, std::string xxh3, bool replaces);
  void flush();  ///< to be called after the last; raises Error{data}
  /// Where the work has failed: what waits is as good as before, and the next run is to find it. What cannot be kept is
  /// given up.
  void keep() noexcept;

 private:
  struct Waiting {
    std::unique_ptr<Landing> landing;
    std::string xxh3;
  };
  /// Whether all that wait are on the disk by one call for the file system.
  bool sync_together();
  void sync_each();
  void check_each();

  std::filesystem::path target_;
  FileDescriptor since_;  ///< told of every write that failed since it was opened; none where syncfs does not tell
  std::uint64_t file_system_ = 0;  ///< that it tells of
  Published published_;
  ByteProgress beat_;
  Check check_;
  std::vector<Waiting> waiting_;
  std::int64_t bytes_ = 0;
};

/// What is still to be written below a folder by all ranks of a node together.
struct SpaceNeed {
  std::int64_t bytes = 0;      ///< new content, rounded up to whole blocks
  std::int64_t reclaimed = 0;  ///< of files that will be replaced
  std::int64_t overlap = 0;    ///< of those, how much is there together with its replacement at one time
  std::int64_t files = 0;
  std::int64_t buffers = 0;  ///< memory that copying takes meanwhile: of account where the folder is in memory, too
  void add(const SpaceNeed& later) noexcept;  ///< of files that are written after these
  /// A file that takes the place of one to which the file system gave so many bytes; 0: there is none.
  void add_file(std::int64_t new_bytes, std::int64_t replaced_bytes) noexcept;
};
/// Collective over the node: what all its ranks need for sets of which some lie on one file system, of number `at`.
[[nodiscard]] SpaceNeed node_need(const World& world, std::span<const SpaceNeed> needs,
                                  std::span<const std::uint64_t> file_systems, std::size_t at);
/// The folder itself, or the nearest above it that is there.
[[nodiscard]] std::filesystem::path nearest_folder(const std::filesystem::path& path);
/// Whether its files are in memory (tmpfs, ramfs). Raises Error{data}.
[[nodiscard]] bool is_in_memory(const std::filesystem::path& folder);
/// Tells file systems apart. Raises Error{data}.
[[nodiscard]] std::uint64_t file_system_of(const std::filesystem::path& folder);
/// What a folder that is there lacks, with what is free, needed and reserved; nothing where there is room. Raises
/// Error{data} where the file system does not say.
[[nodiscard]] std::optional<Complaint> lacking_space(const std::filesystem::path& folder, const SpaceNeed& need,
                                                     double reserve_percent, const std::string& where);
/// Raises Error{data} with that.
void require_space(const std::filesystem::path& folder, const SpaceNeed& need, double reserve_percent,
                   const std::string& where);

[[nodiscard]] std::string readable_bytes(std::int64_t bytes);

}  // namespace trainmark
