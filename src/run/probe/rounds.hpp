// Measures by rounds that all ranks begin together, within a budget of seconds whose end they agree on.
#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "trainmark/comm.hpp"

namespace trainmark {

/// What repeated measurements came to.
struct Spread {
  std::int64_t n = 0;
  double median = 0.0, least = 0.0, most = 0.0;
};
[[nodiscard]] Spread spread_of(const std::vector<double>& values);

/// What a rank does in a round, again and again.
struct Repeated {
  std::function<void(int times)> prepare = {};  ///< before each round, off the clock
  std::function<double(int times)> work;        ///< returns how much was done: operations or bytes
};
/// What came of it, a second each but for `seconds`.
struct Rates {
  Spread rank;                           ///< of each rank that took part, in each round
  Spread node;                           ///< what a node's ranks did in a round over the time of its slowest
  Spread seconds;                        ///< that one time took the slowest rank of a round
  std::vector<double> by_rank, by_node;  ///< medians over rounds of each that took part, in order
};
enum class Who { all, one_a_node };

class Rounds {
 public:
  static constexpr int least = 3, most = 15;
  /// Collective. `alive` is called on each rank after each round.
  Rounds(const World& world, double budget_seconds, std::function<void()> alive);
  /// Seconds of the budget that are left, at least 0: the same on all ranks. Collective.
  [[nodiscard]] double left() const;
  [[nodiscard]] double used() const;                                        ///< likewise
  [[nodiscard]] bool nodes_are_shared() const noexcept { return shared_; }  ///< some node has several ranks
  /// Two rounds that do not count, then `least` to `most` that do, as far as `limit_seconds` reach. Nothing where
  /// `least` do not fit into them. Collective; raises what a rank met, on all of them.
  [[nodiscard]] std::optional<Rates> measure(const Repeated& what, double limit_seconds, Who who = Who::all) const;

 private:
  struct Round;
  [[nodiscard]] Round round(const Repeated& what, int times, bool takes_part) const;

  const World& world_;
  double budget_;
  std::function<void()> alive_;
  Clock clock_;
  bool shared_ = false;
  std::vector<std::uint64_t> node_of_;  // by rank
};

}  // namespace trainmark
