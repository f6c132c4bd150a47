// Containers: the bytes of many small files one behind the other in one file, and beside it an index that tells where
// each of them is. What a file costs a file system (a name, an inode, an opening) is then paid once for thousands.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "stage/files.hpp"

namespace trainmark {

/// A file begins at a whole block, as it would by itself: no page of the cache and no block of the disk belongs to two
/// files, so that the space of one can be given back, and reading one reads nothing of its neighbours.
inline constexpr std::int64_t container_block_bytes = 4096;
/// A larger file costs its bytes, not its name, and stays a file of its own.
inline constexpr std::int64_t largest_packed_bytes = 16 << 20;
/// What does not fit into a container any more goes into the next.
inline constexpr std::int64_t container_bytes = 1 << 30;

[[nodiscard]] constexpr std::int64_t in_blocks(std::int64_t bytes) noexcept {
  const std::int64_t blocks = (bytes + container_block_bytes - 1) / container_block_bytes;
  return (blocks > 0 ? blocks : 1) * container_block_bytes;
}

/// Whether a file goes into a container.
[[nodiscard]] inline bool is_packed(const StageOptions& options, const ManifestEntry& entry) noexcept {
  return options.form == StageForm::packed && entry.bytes <= largest_packed_bytes;
}

/// What the containers of one rank take of a file system, with their heads and indices.
class PackedNeed {
 public:
  void add(const ManifestEntry& entry) noexcept;
  void add_to(SpaceNeed& need) const noexcept;

 private:
  std::int64_t content_ = 0, lines_ = 0;  // bytes
};

/// One container as its index tells of it.
struct Container {
  struct File {
    ManifestEntry entry;
    std::int64_t offset = 0;
  };
  int number = 0;
  std::uint64_t id = 0;     ///< stands in the container as well: an index beside another one's bytes tells nothing
  std::string source;       ///< the folder that its files were staged from
  std::int64_t bytes = 0;   ///< of the container
  std::vector<File> files;  ///< all of which the container is long enough for
};

/// The text of an index: a line that names it, one with its source, and one a file, each behind a checksum of its own.
[[nodiscard]] std::string index_text(const Container& container);
[[nodiscard]] std::string index_line(std::uint64_t id, const Container::File& file);
/// What stands in front of the first file.
[[nodiscard]] std::string container_head(std::uint64_t id);
[[nodiscard]] std::filesystem::path index_path(const std::filesystem::path& folder, int container);
/// Numbers of all containers and indices there, in ascending order.
[[nodiscard]] std::vector<int> container_numbers(const std::filesystem::path& folder);

/// The containers of a folder, as they were when it was looked at. An index, or a line of it, that cannot be believed
/// counts as nothing: its files are copied again.
class Containers {
 public:
  explicit Containers(std::filesystem::path folder);
  Containers(const Containers&) = delete;
  Containers& operator=(const Containers&) = delete;
  struct Listed {
    const ManifestEntry* entry;
    const std::string* source;
    ContainerPlace place;
  };
  [[nodiscard]] std::optional<Listed> find(const std::string& name) const;
  /// What forget() gives back beyond what it is told: behind the last file of each container that its index lists.
  [[nodiscard]] std::int64_t unlisted_bytes() const noexcept;
  /// Takes these out of the indices and gives back their space, and whatever no index lists: what killed runs were in
  /// the middle of, or a container all of whose files are outdated. Nobody may be reading. Raises Error{data}.
  void forget(std::vector<ContainerPlace> outdated);
  /// Removes all of them. Raises Error{data}.
  [[nodiscard]] Cleaned clear();

 private:
  void remove(const Container& container) const;
  void list_anew(const Container& container) const;
  void give_back_gaps(const Container& container) const;

  std::filesystem::path folder_;
  std::vector<Container> containers_;
  std::unordered_map<std::string, Listed> files_;
};

/// One rank's side of packing: fills one container after the other. A file is listed once it is on the disk; a kill
/// costs no more than what waits for that.
class ContainerWriter {
 public:
  /// `published` hears of each file that is listed; `beat` is called now and then.
  ContainerWriter(std::filesystem::path folder, std::string source, Commit::Published published, ByteProgress beat);
  /// Where the next file of so many bytes lands. Raises Error{data}: not writable.
  [[nodiscard]] LandingPlace next(std::int64_t bytes);
  void add(std::unique_ptr<Landing> finished, std::string xxh3);
  void flush();          ///< to be called after the last; raises Error{data}
  void keep() noexcept;  ///< as of Commit

 private:
  struct Waiting {
    const ManifestEntry& entry;
    ManifestEntry listed;  // with hash and the time that the source had
    std::int64_t offset;
  };
  void open_next();

  std::filesystem::path folder_;
  Commit::Published published_;
  ByteProgress beat_;
  Container now_;  // number, id and source of the one that is being filled
  FileDescriptor container_, index_;
  std::int64_t end_ = 0;      // of what is in it
  std::int64_t hurried_ = 0;  // up to here it was told to be written back
  std::int64_t whole_ = 0;    // end of the last file that is all there
  std::vector<Waiting> waiting_;
  std::int64_t waiting_bytes_ = 0;
};

}  // namespace trainmark
