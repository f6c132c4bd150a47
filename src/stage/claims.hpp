// The leases of one call of stage() on all nodes: taken together or not at all, so that two jobs that want the same
// nodes cannot wait for each other. Who fills a target is waited for while it makes progress, others for a limited
// time.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "stage/lease.hpp"

namespace trainmark {

/// Every call is collective over the world; the locks are held by the rank that leads each node.
class Claims {
 public:
  Claims(const World& world, double wait_seconds, const StageContext& context);

  void add(const std::filesystem::path& target);
  /// Reads the sources from now on, as far as runs stage to them: a source may be another run's target. Raises
  /// Error{data} naming who changes one and makes no progress.
  void read_sources(std::span<const StagingSet> sets);
  /// Until this run alone examines and changes the targets. Raises Error{data} naming who is in the way and makes no
  /// progress.
  void take_turns();
  /// In this run's turn: raises Error{usage} where nodes of this run share a target.
  void require_own_targets() const;
  /// Until nobody reads those targets (numbered as they were added) of which this node will change files. Raises
  /// Error{data} naming who reads them for too long.
  void replace(const std::vector<bool>& changes);
  /// From here on others may read the targets beside this run, and have their turn.
  void read();
  void beat() noexcept;  ///< local: this run makes progress, which those who wait for it may know
  [[nodiscard]] double waited_seconds() const noexcept { return waited_seconds_; }  ///< for other runs, so far
  /// What holds target or source `number` for as long as it lives; empty but on the node's leading rank.
  [[nodiscard]] std::shared_ptr<const void> lease(std::size_t number) const { return leases_.at(number).lease; }
  [[nodiscard]] std::shared_ptr<const void> lease_of_source(std::size_t number) const {
    return sources_.at(number).lease;
  }

 private:
  struct Claim {
    std::filesystem::path target;
    std::shared_ptr<Lease> lease;  // on the leading rank
    bool replaces = false;
    std::int64_t last_beat = 0;  // of who is in the way
    double still_since = -1.0;   // by the clock; negative: nobody is
  };
  using Attempt = std::function<std::vector<std::size_t>()>;  // returns the numbers of those it did not get
  struct Obstacle {
    std::string sentence;                                  // between the target's name and who holds it
    std::function<std::string(const Lease&)> holder;       // who holds it; empty: this run itself
    std::function<std::int64_t(const Lease&)> progress{};  // changes as that goes on; empty: its end is not in sight
  };
  void until_free(std::vector<Claim>& claims, const Attempt& attempt, const Obstacle& obstacle,
                  const std::function<void()>& give_back);
  [[nodiscard]] bool is_hopeless(Claim& claim, const Obstacle& obstacle) const;
  [[nodiscard]] std::string limit_of(const Obstacle& obstacle) const;
  void warn_where_locks_do_nothing() const;

  const World& world_;
  const StageContext& context_;
  double wait_seconds_;
  Clock clock_;
  double waited_seconds_ = 0.0;
  double last_beat_ = -1e300;
  Holder self_;
  std::vector<Claim> leases_, sources_;
};

/// Collective: what the nodes' leading ranks have to say is said once, with the number of nodes that say it.
void say_once(const World& world, const StageContext& context, const std::string& mine);

}  // namespace trainmark
