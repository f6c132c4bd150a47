// Staging as one object: what this rank knows between the steps that all ranks take together.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "stage/files.hpp"

namespace trainmark {

/// One call of stage() on one rank.
class Stager {
 public:
  Stager(const World& world, Manifest& manifest, const StagingPlan& plan, std::filesystem::path source,
         const StageOptions& options, const ByteProgress& progress)
      : world_(world),
        manifest_(manifest),
        entries_(plan.entries_of_node.at(static_cast<std::size_t>(world.node_index()))),
        source_(std::move(source)),
        target_(options.target),
        options_(options),
        progress_(progress) {}

  Staged run();

 private:
  void adopt_known_hashes();
  void prepare_target();
  void examine();
  [[nodiscard]] bool reusable(const ManifestEntry& entry) const;
  void require_space_on_node() const;
  void copy();
  void share_hashes();
  void publish() const;
  [[nodiscard]] std::vector<NodeStaging> report() const;
  [[nodiscard]] std::string where() const { return fmt::format("node {}", world_.host()); }

  const World& world_;
  Manifest& manifest_;
  const std::vector<std::size_t>& entries_;
  std::filesystem::path source_, target_;
  const StageOptions& options_;
  const ByteProgress& progress_;
  Manifest staged_before_;            // the target's own manifest, as found
  std::vector<std::size_t> missing_;  // of this rank's share, to be copied
  std::vector<std::size_t> hashed_;   // entries whose hash this rank found out
  NodeStaging mine_;                  // this rank's part of the node's figures
};

/// Collective: every node's host name, by node index, on every rank.
[[nodiscard]] std::vector<std::string> node_hosts(const World& world);

}  // namespace trainmark
