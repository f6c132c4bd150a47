// Bytes to the node: what is to be copied (manifest), who gets which part (plan) and the copying itself.
// Knows files, sizes, hashes and sample counts; nothing of HDF5, batches or training.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/comm.hpp"

struct stat;

namespace trainmark {

enum class Strategy : std::uint8_t { none, replicate, shard, group };
template <>
struct Words<Strategy> {
  static constexpr std::array<std::string_view, 4> all = {"none", "replicate", "shard", "group"};
};

/// Where the bytes of a file come from that several nodes hold. copy: each node reads it; exchange: one rank of all
/// nodes reads each block and sends it to the others; automatic: exchange where there are several.
enum class Transport : std::uint8_t { automatic, copy, exchange };
template <>
struct Words<Transport> {
  static constexpr std::array<std::string_view, 3> all = {"auto", "copy", "exchange"};
};

/// When training begins. before: once all is staged; overlap: at once, from the source, while a thread of each rank
/// copies what is missing.
enum class StageMode : std::uint8_t { before, overlap };
template <>
struct Words<StageMode> {
  static constexpr std::array<std::string_view, 2> all = {"before", "overlap"};
};

/// How files land at the target. files: as they are; packed: small ones one behind the other in a few containers.
enum class StageForm : std::uint8_t { files, packed };
template <>
struct Words<StageForm> {
  static constexpr std::array<std::string_view, 2> all = {"files", "packed"};
};

/// How far a copy is known to be right. none: not looked at; copy: its bytes are hashed on their way, and compared with
/// what is known; readback: what the device holds in the end is hashed as well.
enum class Verify : std::uint8_t { none, copy, readback };
template <>
struct Words<Verify> {
  static constexpr std::array<std::string_view, 3> all = {"none", "copy", "readback"};
};

struct StageOptions {
  /// replicate: every node gets the whole set; shard: each its part; group: `group` nodes in a row hold one part.
  Strategy strategy = Strategy::none;
  StageMode mode = StageMode::before;
  StageForm form = StageForm::files;  ///< packed: not with StageMode::overlap
  bool inflate = false;        ///< compressed files are staged inflated (inflated_copies); not with overlap or exchange
  int group = 1;               ///< nodes that hold the same part; of no effect but with strategy group
  std::int64_t deal_seed = 0;  ///< which files make up a part, as far as their samples leave a choice
  Transport transport = Transport::automatic;
  int inflight_mib = 64;  ///< memory of a rank for blocks on their way to other nodes
  std::string target;     ///< folder on node-local storage; empty only with strategy none
  /// Folders to take instead where a node's part does not fit there: the first in which all fit (choose_target).
  std::vector<std::string> other_targets = {};
  std::string target_why = {};   ///< it is the target, where there were others; of a launch, not of a config
  bool reuse = true;             ///< keep what is already there and right
  Verify verify = Verify::copy;  ///< of what is reused, too
  double reserve_percent = 1.0;  ///< free space to leave on the target, in percent of the file system
  /// How long to wait for another run that holds the target: counted anew whenever one that fills it makes progress.
  double wait_seconds = 60.0;
  bool operator==(const StageOptions&) const = default;
};

/// How a file's datasets lie in it, in words of who reads them (load/listed_layout.hpp); for staging it is text.
struct ListedLayout {
  std::shared_ptr<const std::string> form{};  ///< what files written alike share; null: the file's header has to tell
  std::string places{};                       ///< where this file's bytes are: numbers with a blank between them
  [[nodiscard]] bool operator==(const ListedLayout& other) const;
};

/// A copy that holds its samples in another form than its source: its content, in memory.
class RecodedFile {
 public:
  virtual ~RecodedFile() = default;
  /// Raises Error{data} beyond its end.
  virtual void read(std::int64_t offset, std::span<std::byte> to) = 0;
  [[nodiscard]] virtual std::int64_t bytes() const = 0;
  [[nodiscard]] virtual std::int64_t source_bytes_read() const = 0;  ///< that it was made of
};
/// How a copy is made of its source.
class Recoding {
 public:
  virtual ~Recoding() = default;
  [[nodiscard]] virtual std::int64_t source_bytes() const = 0;
  [[nodiscard]] virtual const std::string& source_xxh3() const = 0;  ///< empty: not known
  /// Reads the source whole, which is open. Raises Error{data}: damaged, not of the form that it was scanned in.
  [[nodiscard]] virtual std::unique_ptr<RecodedFile> open(const std::filesystem::path& source,
                                                          int descriptor) const = 0;
};

/// One file of a dataset. `name` is relative to the dataset's root, '/'-separated, never absolute or with "..".
struct ManifestEntry {
  std::string name;
  std::int64_t bytes = 0;
  std::int64_t samples = 0;
  std::int64_t modified_ns = 0;  ///< of the source, to notice that it changed between manifest and copy
  std::string xxh3;              ///< XXH3-128 of the content in hex; empty until it was read
  /// Of the source: its inode and the time of its last change of any kind, as one number (stamp_of). Tells files of
  /// equal name, size and time apart, for nobody can set that time. 0: unknown.
  std::uint64_t stamp = 0;
  std::string companion{};  ///< another file that its samples are in, which has no entry; empty: there is none
  ListedLayout layout{};
  /// Of a manifest of copies: those that are not of their sources' bytes. All else here is the copy's then. Never
  /// written.
  std::shared_ptr<const Recoding> recoding{};
  [[nodiscard]] std::int64_t bytes_at_source() const { return recoding ? recoding->source_bytes() : bytes; }
};
struct Manifest {
  std::vector<ManifestEntry> entries;  ///< sorted by name
  std::string source{};                ///< of a copy: the folder that it was staged from, resolved; empty elsewhere
  int version = 3;  ///< of the form it was read from; 1 knows neither sources nor stamps, 2 no layouts
  [[nodiscard]] std::int64_t bytes() const noexcept;
  [[nodiscard]] std::int64_t samples() const noexcept;
};

/// Raises Error{data} where a file's samples are in another file as well: what handles the entries alone (`doing`:
/// "staging copies") would lose some of them.
void require_self_contained(const std::filesystem::path& root, const Manifest& manifest, std::string_view doing);

/// See ManifestEntry::stamp; never 0. Where inode numbers are no file's own the time of the last change stands alone.
[[nodiscard]] std::uint64_t stamp_of(const struct ::stat& info, bool stable_inodes = true) noexcept;
/// Whether a file keeps its inode number for as long as it is there, as far as its file system is known: FUSE, SMB and
/// 9P may give it another one whenever it is looked up.
[[nodiscard]] bool has_stable_inodes(const std::filesystem::path& path) noexcept;
/// Whether two times of a file's content are the same: also where one of them lay on a file system that keeps coarser
/// times (100 ns to whole seconds).
[[nodiscard]] bool same_time(std::int64_t one_ns, std::int64_t other_ns) noexcept;

/// The manifest's file beside the data: a version line, the source's folder, a tab-separated line an entry, the layouts
/// of files, and a last line with the number of entries and a hash of all that stands before it.
inline constexpr std::string_view manifest_name = "trainmark.manifest";
/// Nothing where the folder has none. Raises Error{data} with the line: not a manifest, of an unknown version, cut
/// short, a name that escapes.
[[nodiscard]] std::optional<Manifest> read_manifest(const std::filesystem::path& folder);
/// Writes it under a temporary name first. Raises Error{data}.
void write_manifest(const std::filesystem::path& folder, const Manifest& manifest);
/// What that file holds, for telling a manifest to other ranks: whatever is wrong with a name or
/// the text is noticed by parse_manifest, as well as what is cut short. `path` is for messages. Raises Error{data}.
[[nodiscard]] std::string to_text(const Manifest& manifest);
[[nodiscard]] Manifest parse_manifest(const std::string& text, const std::filesystem::path& path);
/// The layouts of entries in a row, for telling them to other ranks: a line a form and, below it, a line for each run
/// of entries that have the same places. Empty where no layout is known.
[[nodiscard]] std::string layouts_text(std::span<const ManifestEntry> entries);
/// Takes over what layouts_text() said of as many entries.
void take_layouts(const std::string& text, std::span<ManifestEntry> entries);
/// A line for each entry that is missing in `found`, extra there, or of another size or time; both sorted by name.
[[nodiscard]] std::vector<std::string> manifest_differences(const Manifest& listed, const Manifest& found);
/// Names of entries of the listed size, but another time: a copy without times, or another content of that size.
[[nodiscard]] std::vector<std::string> written_at_other_times(const Manifest& listed, const Manifest& found);
/// Raises Error{data} if there are any differences: with their number, the first three and what to do.
void require_as_listed(const std::filesystem::path& root, const Manifest& listed, const Manifest& found);
/// XXH3-128 of a file's content in hex. `progress` hears of bytes as they are read. Raises Error{data}.
[[nodiscard]] std::string hash_file(const std::filesystem::path& path,
                                    const std::function<void(std::int64_t bytes)>& progress = {});

/// A file under a TemporaryName beside its final one until it is complete; removed if it never is.
class PartialFile {
 public:
  /// `mode` is narrowed by the umask. Raises Error{data}: not writable.
  explicit PartialFile(std::filesystem::path final_path, unsigned mode = 0644);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return name_.path(); }
  void publish();  ///< fsync, rename to the final name, fsync of the folder; raises Error{data}
  /// The three of publish() for several files together; each raises Error{data} but the folder's.
  void start_writing_back() const noexcept;
  void sync() const;
  void take_place();
  static void sync_folder(const std::filesystem::path& folder) noexcept;
  [[nodiscard]] std::filesystem::path folder() const;  ///< of the final name

 private:
  std::filesystem::path final_;
  TemporaryName name_;
  int descriptor_ = -1;
};
/// Removes PartialFiles of processes that are gone from one folder (not below it).
void remove_leftovers(const std::filesystem::path& folder);

/// Where the bytes of a staged file begin. `container` -1: in a file of its own.
struct ContainerPlace {
  int container = -1;
  std::int64_t offset = 0;
  auto operator<=>(const ContainerPlace&) const = default;
};
/// The container of that number in a folder to which files are staged in form packed.
[[nodiscard]] std::filesystem::path container_path(const std::filesystem::path& folder, int container);
/// Whether a file of this name, with or without folders, is a container or the index beside it.
[[nodiscard]] bool is_container(std::string_view name) noexcept;

/// Which node gets which entries. A node's part is a part of the set, or all of it; nodes in a row may hold the same.
struct StagingPlan {
  Strategy strategy = Strategy::none;
  /// In ascending order of entries. none, replicate: one, which every node takes.
  std::vector<std::vector<std::size_t>> parts;
  int nodes_a_part = 1;  ///< where there are several
  [[nodiscard]] std::size_t part_number_of(int node) const noexcept;
  [[nodiscard]] const std::vector<std::size_t>& part_of(int node) const;
};
/// Whether parts must come to the same number of samples: only where an epoch visits each sample exactly once in full
/// batches. Otherwise they may differ, by no more than the largest file has.
enum class PartSums : std::uint8_t { equal, may_differ };
/// How many parts a set is cut into. Raises Error{usage}: groups that do not divide the nodes.
[[nodiscard]] int parts_of(const StageOptions& options, int nodes);
/// Whole files, dealt at random (keyed by `deal_seed`), those with most samples first, each to the part that has least
/// so far. Raises Error{data} naming the remedies: fewer files than parts, sums that cannot be equal.
[[nodiscard]] StagingPlan plan_staging(const Manifest& manifest, const StageOptions& options, int nodes,
                                       PartSums sums = PartSums::equal);

/// A set of files that is staged into a folder of its own: a split of a dataset. Refers to what it is made of.
struct StagingSet {
  const Manifest& manifest;
  const StagingPlan& plan;
  std::filesystem::path source;
  std::filesystem::path target;  ///< unused with strategy none
  bool ask_manifest = true;      ///< one beside the source tells hashes
};

/// What one node did, as it goes into staging.json.
struct NodeStaging {
  std::string host;
  std::int64_t files_copied = 0;
  std::int64_t files_reused = 0;
  std::int64_t files_missing = 0;  ///< or not right, where staging only looks or was stopped
  std::int64_t files_packed = 0;   ///< of those copied and reused: that lie in containers
  std::int64_t bytes_copied = 0;
  std::int64_t bytes_reused = 0;
  std::int64_t bytes_read = 0;                    ///< off the source; less than copied where other nodes sent the rest
  std::int64_t retries = 0;                       ///< reads of the source that failed once and then succeeded
  std::int64_t bytes_read_back = 0;               ///< of the target, to see what it holds
  std::int64_t bytes_read_back_from_storage = 0;  ///< that the kernel says it brought from a device for that
  double copy_seconds = 0.0;                      ///< of own work, as all three; longest of the node's ranks
  double verify_seconds = 0.0;
  double read_back_seconds = 0.0;      ///< within those two
  double exchange_wait_seconds = 0.0;  ///< for blocks that other nodes send
  double done_seconds = 0.0;           ///< in the background: from its start until all of the node's share was there
};
struct Staged {
  std::filesystem::path root;      ///< where this rank reads: the target, or the source with strategy none
  std::vector<NodeStaging> nodes;  ///< all nodes, on every rank
  double seconds = 0.0;            ///< longest of all ranks
  Manifest manifest{};             ///< with all hashes that became known; empty unless it was asked for
  /// While it lives no other run may change the target's files; to be kept for as long as they are read.
  std::shared_ptr<const void> lease{};
  /// By entry, of those that this node holds; empty where all are files of their own.
  std::vector<ContainerPlace> places{};
};

/// What stage() did.
struct StageOutcome {
  std::vector<Staged> sets;   ///< in the order in which they were given
  double wait_seconds = 0.0;  ///< waiting for other runs, all sets together; in none of the sets' seconds
};

/// Whether runs stage to this folder, or once did: others may then find it half-filled.
[[nodiscard]] bool is_staging_target(const std::filesystem::path& folder);

/// What stage() tells its caller, and what it tells others of it.
struct StageContext {
  /// Called now and then with the bytes handled since the last call, with 0 on a rank that waits for others who all go
  /// on, or for another run (a watchdog's heartbeat).
  std::function<void(std::int64_t bytes)> progress;
  std::function<void(const std::string& line)> say;  ///< warnings and reasons to wait, on rank 0
  std::string job;                                   ///< of the batch system, for those who want the target too
  bool only_looks = false;                           ///< finds out what is missing and copies nothing
  bool wants_manifest = false;                       ///< the outcome is to hold it
};

/// Which of several targets is taken.
struct TargetChoice {
  std::size_t number = 0;
  std::vector<std::string> passed_over;  ///< why, of each that comes before it
};
/// Collective over the world. `candidates` are the same sets, each time with other targets: the first in which every
/// node's part fits, as stage() demands it, beside what is there already by name, size and time. All ranks come to the
/// same; nothing is made or changed. Raises Error{data} with what each lacks where none has room.
[[nodiscard]] TargetChoice choose_target(const World& world, std::span<const std::vector<StagingSet>> candidates,
                                         const StageOptions& options, const StageContext& context = {});

/// Collective over the world. Waits until no other run is staging to the target, for as long as that one makes
/// progress, and where files must be replaced or added, for a limited time, until none reads it. Checks free space per
/// node, for all sets together, before the first byte of any; copies in parallel by the node's ranks (temporary name,
/// fsync, rename), verifies, publishes a manifest beside the data. Raises Error{data} on all ranks: target held by
/// another run, not writable or too small, source changed, hash mismatch.
[[nodiscard]] StageOutcome stage(const World& world, std::span<const StagingSet> sets, const StageOptions& options,
                                 const StageContext& context = {});

/// Whether a file of a set has been staged to `path`: published by this run, or found there and kept. Only where
/// nothing else of its name, size and time can be there, as BackgroundStaging sees to.
[[nodiscard]] bool is_staged(const std::filesystem::path& path, std::int64_t bytes, std::int64_t modified_ns);

/// stage() in two: what ranks do together before the first byte, when it is made, and the copying, by a thread of each
/// rank beside whatever its caller does. That thread calls no MPI. Each node copies by itself (Transport::copy); files
/// that must be replaced are removed before the thread starts, so that what has a file's name is that file (is_staged).
class BackgroundStaging {
 public:
  /// What is heard of the copying, in its thread.
  struct Heard {
    std::function<void()> goes_on;  ///< at its start, then now and then (a watchdog's heartbeat)
    std::function<void()> ended;    ///< once, however it ended
  };
  /// Collective: raises as stage() does. The world and what the sets refer to must outlive it. Where nothing is
  /// missing on any rank, it is settled at once.
  BackgroundStaging(const World& world, std::span<const StagingSet> sets, const StageOptions& options,
                    const StageContext& context, Heard heard = {});
  ~BackgroundStaging();  ///< stops copying
  BackgroundStaging(const BackgroundStaging&) = delete;
  BackgroundStaging& operator=(const BackgroundStaging&) = delete;

  /// Local, as often as one likes: raises what this rank's copying met, and tells runs that wait for the target that
  /// this one goes on.
  void look();
  /// Collective: publishes the sets if all ranks have copied their shares. Raises AgreedError where one failed.
  void settle_if_done();
  /// Collective: stops the copying where it still goes on; what was copied stays for the next run, which finds it in
  /// the journal. Raises AgreedError as settle_if_done() does.
  void settle();
  [[nodiscard]] bool settled() const noexcept;
  /// Once settled: as of stage(); NodeStaging::files_missing tells what was not copied any more.
  [[nodiscard]] const StageOutcome& outcome() const;
  [[nodiscard]] double wait_seconds() const noexcept;  ///< for other runs, before the first byte

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What clean_targets() did on all nodes together.
struct Cleaned {
  std::int64_t files = 0;
  std::int64_t bytes = 0;
  std::int64_t kept = 0;  ///< files that are not what staging left there
};
/// Collective over the world: removes from each node's targets what staging put there (by the manifest beside it and
/// the journals of killed runs: files that have their sizes and times, and to which no link leads; containers) and its
/// own files but the locks. Raises Error{usage}: a target that is, holds or lies in one of `sources`; Error{data}: one
/// that is another user's, or that another run reads or fills for longer than `options.wait_seconds`.
[[nodiscard]] Cleaned clean_targets(const World& world, std::span<const std::filesystem::path> sources,
                                    std::span<const std::filesystem::path> targets, const StageOptions& options,
                                    const StageContext& context = {});

/// True where the path's file system survives a restart (not tmpfs, ramfs): the ruleset asks before staging off the
/// clock. Of a path that does not exist yet, the nearest folder above that does is asked.
[[nodiscard]] bool durable(const std::filesystem::path& path);

}  // namespace trainmark
