// What stage() and BackgroundStaging have in common: all sets of one call, from the turn to the first byte.
#pragma once

#include <vector>

#include "stage/claims.hpp"
#include "stage/stager.hpp"

namespace trainmark {

/// Every call is collective over the world. Stays where it is made: its parts refer to each other.
class Preparation {
 public:
  /// Waits for the turn and examines the targets; with a strategy but none. Options and what the sets refer to must
  /// outlive it.
  Preparation(const World& world, std::span<const StagingSet> sets, const StageOptions& options,
              const StageContext& context);
  Preparation(const Preparation&) = delete;
  Preparation& operator=(const Preparation&) = delete;

  [[nodiscard]] std::vector<Stager>& stagers() noexcept { return stagers_; }
  [[nodiscard]] Claims& claims() noexcept { return claims_; }
  /// Whether anything is missing anywhere.
  [[nodiscard]] bool changes_files() const;
  /// Until this run alone may change files, and there is space for them.
  void begin_changes();
  /// From now on work is heard of by this instead of by other ranks: for copying where MPI may not be called.
  void let_hear(ByteProgress heard) { heard_ = std::move(heard); }
  /// Others may read the targets beside this run: adds to what each set came to.
  void let_read(StageOutcome& outcome);
  /// Of sets of which nothing is staged.
  [[nodiscard]] StageOutcome left_at_the_source(std::span<const StagingSet> sets) const;

 private:
  void require_space_on_nodes() const;

  const World& world_;
  const StageOptions& options_;
  StageContext context_;
  Claims claims_;
  Pulse pulse_;
  ByteProgress heard_;
  std::vector<Stager> stagers_;
  std::vector<bool> changes_;  // by set: on this node
};

}  // namespace trainmark
