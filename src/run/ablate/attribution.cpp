#include "run/ablate/attribution.hpp"

#include <algorithm>
#include <numeric>

namespace trainmark {
namespace {

std::vector<double> mean_rank(const VariantTimes& times) {
  std::vector<double> means;
  for (const auto& ranks : times)
    means.push_back(std::accumulate(ranks.begin(), ranks.end(), 0.0) / static_cast<double>(ranks.size()));
  return means;
}

/// By round the rank that is slowest in all other rounds: the largest of many times is large by chance, but not twice.
std::vector<std::size_t> slow_ranks(const VariantTimes& times) {
  std::vector<double> sums(times.front().size());
  for (const auto& round : times)
    std::ranges::transform(sums, round, sums.begin(), std::plus{});
  std::vector<std::size_t> ranks;
  for (const auto& round : times) {
    std::vector<double> others(sums.size());
    std::ranges::transform(sums, round, others.begin(), std::minus{});
    ranks.push_back(static_cast<std::size_t>(std::ranges::max_element(others) - others.begin()));
  }
  return ranks;
}

std::vector<double> of_ranks(const VariantTimes& times, const std::vector<std::size_t>& ranks) {
  std::vector<double> seconds;
  for (std::size_t round = 0; round < times.size(); ++round)
    seconds.push_back(times[round].at(ranks[round]));
  return seconds;
}

}  // namespace

std::vector<double> slowest(const VariantTimes& times) {
  std::vector<double> most;
  for (const auto& ranks : times)
    most.push_back(*std::ranges::max_element(ranks));
  return most;
}

Interval paired_difference(const std::vector<double>& one, const std::vector<double>& other) {
  std::vector<double> differences(one.size());
  std::ranges::transform(one, other, differences.begin(), std::minus{});
  return interval_of(differences);
}

Attribution attribute(const Chain& chain) {
  Attribution result;
  const std::vector<std::size_t> slow = slow_ranks(chain.bare);
  const std::vector<double> full = slowest(chain.full), uploaded = slowest(chain.uploaded),
                            resident = slowest(chain.resident), bare = of_ranks(chain.bare, slow),
                            alone = mean_rank(chain.bare);
  const std::vector<double> unsummed = chain.unsummed.empty() ? resident : of_ranks(chain.unsummed, slow);
  result.full = interval_of(full);
  result.compute_only = interval_of(alone);
  std::vector<double> shares(full.size());
  std::ranges::transform(alone, full, shares.begin(), std::divides{});
  result.efficiency = interval_of(shares);
  const auto lose = [&result](const char* name, const char* remedy, const auto& with, const auto& without) {
    result.losses.push_back({name, remedy, paired_difference(with, without)});
  };
  lose("input", "stage to a nearer tier, give the loader more threads", full, uploaded);
  lose("upload", "smaller samples in device memory, or a larger local batch to hide them behind", uploaded, resident);
  if (!chain.unsummed.empty())
    lose("all_reduce",
         "overlap, other buckets, fewer bytes, a larger local batch; ranks that are late by chance count here",
         resident, unsummed);
  lose("host", "free the CPUs that the rank runs on", unsummed, bare);
  if (!chain.unsummed.empty()) lose("slowest_rank", "look at the rank's node: clocks, heat, other work", bare, alone);

  std::vector<double> by_rank(chain.bare.front().size());
  for (const auto& round : chain.bare)
    std::ranges::transform(by_rank, round, by_rank.begin(), std::plus{});
  const auto most = std::ranges::max_element(by_rank);
  const double mean = std::accumulate(by_rank.begin(), by_rank.end(), 0.0) / static_cast<double>(by_rank.size());
  result.slowest_rank = static_cast<int>(most - by_rank.begin());
  result.slowest_rank_excess = *most / mean - 1.0;
  return result;
}

const StepLoss* Attribution::largest() const noexcept {
  const StepLoss* found = nullptr;
  for (const StepLoss& loss : losses)
    if (loss.seconds.low > 0.0 && (found == nullptr || loss.seconds.mean > found->seconds.mean)) found = &loss;
  return found;
}

}  // namespace trainmark
