#include "run/probe/rounds.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace trainmark {
namespace {

constexpr double least_seconds = 1e-9;  // of a round that the clock does not see

double largest(const World& world, double mine) {
  std::array<double, 1> most = {mine};
  world.all().max(most);
  return most[0];
}

}  // namespace

Spread spread_of(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto [least, most] = std::ranges::minmax(values);
  return {std::ssize(values), median_of(values), least, most};
}

Rounds::Rounds(const World& world, double budget_seconds, std::function<void()> alive)
    : world_(world), budget_(budget_seconds), alive_(std::move(alive)) {
  node_of_ = world.all().all_gather(static_cast<std::uint64_t>(world.node_index()));
  shared_ = world.nodes() < world.all().size();
}

double Rounds::used() const { return largest(world_, clock_.seconds()); }
double Rounds::left() const { return std::max(0.0, budget_ - used()); }

/// By rank; those that take no part have 0 seconds.
struct Rounds::Round {
  std::vector<double> amounts, seconds;
  [[nodiscard]] double slowest() const { return std::ranges::max(seconds); }
};

Rounds::Round Rounds::round(const Repeated& what, int times, bool takes_part) const {
  if (what.prepare) {
    agree_on(world_.all(), [&] {
      if (takes_part) what.prepare(times);
    });
  }
  double amount = 0.0, seconds = 0.0;
  world_.all().barrier();
  agree_on(world_.all(), [&] {
    if (!takes_part) return;
    const Clock clock;
    amount = what.work(times);
    seconds = std::max(clock.seconds(), least_seconds);
  });
  alive_();
  return {world_.all().all_gather(amount), world_.all().all_gather(seconds)};
}

std::optional<Rates> Rounds::measure(const Repeated& what, double limit_seconds, Who who) const {
  constexpr double worth_timing = 5e-3;  // seconds of a round: beside them what starts and ends it is small
  constexpr int most_times = 1000;
  const bool takes_part = who == Who::all || world_.node().rank() == 0;
  const double begin = used();
  // The first makes what is made when it is needed first; should it take that long alone, nothing more is tried.
  if (round(what, 1, takes_part).slowest() > limit_seconds) return std::nullopt;
  const double once = round(what, 1, takes_part).slowest();
  if (least * once > limit_seconds - (used() - begin)) return std::nullopt;
  const int times = std::clamp(static_cast<int>(worth_timing / once), 1, most_times);

  std::vector<double> ranks, nodes, seconds;
  std::map<std::size_t, std::vector<double>> of_rank;
  std::map<std::uint64_t, std::vector<double>> of_node;
  for (int count = 0; count < most && (count < least || used() - begin < limit_seconds); ++count) {
    const Round result = round(what, times, takes_part);
    std::map<std::uint64_t, std::pair<double, double>> by_node;  // amount, seconds of the slowest
    for (std::size_t rank = 0; rank < node_of_.size(); ++rank) {
      if (result.seconds[rank] == 0.0) continue;
      ranks.push_back(result.amounts[rank] / result.seconds[rank]);
      of_rank[rank].push_back(ranks.back());
      auto& [amount, longest] = by_node[node_of_[rank]];
      amount += result.amounts[rank];
      longest = std::max(longest, result.seconds[rank]);
    }
    for (const auto& [node, done] : by_node) {
      nodes.push_back(done.first / done.second);
      of_node[node].push_back(nodes.back());
    }
    seconds.push_back(result.slowest() / times);
  }
  Rates rates{spread_of(ranks), spread_of(nodes), spread_of(seconds), {}, {}};
  for (const auto& [rank, values] : of_rank)
    rates.by_rank.push_back(median_of(values));
  for (const auto& [node, values] : of_node)
    rates.by_node.push_back(median_of(values));
  return rates;
}

}  // namespace trainmark
