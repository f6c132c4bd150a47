#include "report/analyse/staging_model.hpp"

#include <cmath>

namespace trainmark::report {

NodeShares shares_of(double group, double nodes, bool exchanges) noexcept {
  return {(exchanges ? 1.0 : group) / nodes, group / nodes};
}

std::optional<double> group_of(const RunFacts& facts) {
  if (!facts.nodes) return std::nullopt;
  if (facts.stage_strategy == "shard") return 1.0;
  if (facts.stage_strategy == "replicate") return facts.nodes;
  const bool divides = facts.stage_group && std::fmod(*facts.nodes, *facts.stage_group) == 0.0;
  return facts.stage_strategy == "group" && divides ? facts.stage_group : std::nullopt;
}

std::optional<bool> exchanges(const RunFacts& facts) {
  if (facts.stage_transport == "copy") return false;
  if (facts.stage_transport == "exchange" || facts.stage_transport == "auto") return true;
  return std::nullopt;
}

StagingTime predict_staging(double now_s, const NodeShares& now, const NodeShares& then) noexcept {
  return {now_s * then.read / now.read, now_s * then.held / now.held};
}

}  // namespace trainmark::report
