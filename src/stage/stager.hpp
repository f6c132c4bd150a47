// Staging as one object: what this rank knows between the steps that all ranks take together.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stage/container.hpp"
#include "stage/exchange.hpp"
#include "stage/journal.hpp"

namespace trainmark {

/// One set of one call of stage() on one rank.
class Stager {
 public:
  Stager(const World& world, const StagingSet& set, const StageOptions& options, const ByteProgress& progress,
         Pulse& pulse, bool only_looks)
      : world_(world),
        manifest_(set.manifest),
        plan_(set.plan),
        entries_(set.plan.part_of(world.node_index())),
        source_(set.source),
        target_(set.target),
        ask_manifest_(set.ask_manifest),
        options_(options),
        progress_(progress),
        pulse_(pulse),
        only_looks_(only_looks) {}

  /// Collective: makes the target's folder. Nothing in it is looked at or changed yet: it may be in another run's
  /// hands.
  void open_target();
  void examine();  ///< collective, in this run's turn: finds out what is missing in the target
  [[nodiscard]] const std::filesystem::path& target() const noexcept { return target_; }
  [[nodiscard]] SpaceNeed need() const;  ///< of what this rank will copy, with its memory while it does
  /// Whether a rank of this node will change files of the target. Collective over the node.
  [[nodiscard]] bool changes_files() const;
  [[nodiscard]] Staged copy();  ///< collective: brings it there and publishes the set
  /// The same in parts, for copying in the background. Collective: clears what is to be replaced away and makes ready.
  void begin_copying();
  /// Local, MPI is not called: copies what this rank lacks. `progress` of the constructor may raise to stop it.
  void copy_beside(const Clock& since);
  [[nodiscard]] bool has_all() const noexcept { return mine_.files_missing == 0; }  ///< of this rank's share
  /// Collective, after it: publishes the set if all of it is there (`complete`), or leaves the journal.
  [[nodiscard]] Staged conclude(bool complete);
  [[nodiscard]] Staged look();  ///< collective: says what is missing
  [[nodiscard]] Manifest take_manifest() { return std::move(manifest_); }
  [[nodiscard]] const std::string& warning() const noexcept { return warning_; }

 private:
  struct Replaced {
    std::size_t entry;
    std::int64_t stored_bytes;  // of the file that is there
  };
  /// What the target has under an entry's name.
  struct Found {
    std::int64_t bytes, modified_ns;
    const ManifestEntry* staged;  // as an earlier run staged it from this source; null: nobody says so
    std::int64_t stored_bytes;
    ContainerPlace place;
  };
  void adopt_known_hashes();
  void make_ready_to_write() const;
  void recall_earlier_runs();
  void recall_containers();
  void choose_reading_back();
  void form_lane();
  void find_missing();
  void choose_exchanged();
  [[nodiscard]] bool is_packed(const ManifestEntry& entry) const noexcept;
  [[nodiscard]] std::optional<Found> at_target(const ManifestEntry& entry) const;
  [[nodiscard]] std::string hash_of(const ManifestEntry& entry, const Found& there);
  [[nodiscard]] bool reusable(const ManifestEntry& entry, const std::optional<Found>& there);
  void note_outdated(std::size_t entry, const Found& there);
  [[nodiscard]] std::string read_back(const std::filesystem::path& path, const ByteProgress& progress);
  void require_as_written(Landing& landing, const std::string& xxh3, const ByteProgress& beat);
  [[nodiscard]] bool replaces(std::size_t entry) const;
  void make_ready_to_copy();
  void forget_outdated();
  [[nodiscard]] LandingPlace place_of(std::size_t entry);
  void share_places();
  void copy_missing();
  void copy_alone();
  void land(std::unique_ptr<Landing> finished, std::string xxh3);
  void flush();
  void keep() noexcept;
  void published(const ManifestEntry& entry, const std::string& xxh3);
  void share_hashes();
  void publish() const;
  [[nodiscard]] std::vector<NodeStaging> report() const;

  const World& world_;
  Manifest manifest_;  // with the hashes that are found out
  const StagingPlan& plan_;
  const std::vector<std::size_t>& entries_;
  std::filesystem::path source_, target_;
  bool ask_manifest_;
  const StageOptions& options_;
  const ByteProgress& progress_;
  Pulse& pulse_;
  bool only_looks_;
  Manifest staged_before_;              // the target's own manifest, as found
  std::optional<Group> lane_;           // one rank of each node that holds the same part; all have the same share
  std::vector<std::size_t> share_;      // of the node's entries, this rank's to see to
  std::vector<std::size_t> missing_;    // of those, what has to come
  std::vector<Replaced> replaced_;      // of those, what takes the place of another file; in the same order
  std::vector<std::size_t> exchanged_;  // what several of the lane miss: of no order but that of the share
  std::unique_ptr<Journal> journal_;    // where this rank copies anything
  std::unique_ptr<Commit> commit_;
  std::unique_ptr<Containers> containers_;  // with form packed, as found
  std::vector<ContainerPlace> outdated_;    // what this rank's share has there that is not right
  std::int64_t outdated_bytes_ = 0;
  std::vector<ContainerPlace> places_;  // by entry: of this rank's share; in the end, of all that the node holds
  std::unique_ptr<ContainerWriter> writer_;
  bool reads_back_ = false;          // what the target's device holds
  std::vector<std::size_t> hashed_;  // entries whose hash this rank found out
  NodeStaging mine_;                 // this rank's part of the node's figures
  std::string warning_;              // on a leading rank
  double seconds_ = 0.0;
};

/// In which order a node copies its missing files: nodes that copy the same ones begin at different places, so that
/// they do not ask the source for the same file at the same time.
[[nodiscard]] std::vector<std::size_t> copy_order(std::vector<std::size_t> missing, int node, int nodes);

/// Adds hashes that ranks tell, "entry hash" a line. Nodes that copied the same file must have read the same content:
/// raises Error{data} naming the file otherwise.
void merge_hashes(Manifest& manifest, const std::vector<std::string>& told, const std::filesystem::path& source);

/// Collective: raises Error{usage} where a source is a target, or one of them lies within the other.
void require_apart(const World& world, std::span<const std::filesystem::path> sources,
                   std::span<const std::filesystem::path> targets);

/// Collective: every node's host name, by node index, on every rank.
[[nodiscard]] std::vector<std::string> node_hosts(const World& world);

}  // namespace trainmark
