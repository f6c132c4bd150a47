#include "run/screen/screening.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "mllog/utf8.hpp"

namespace trainmark {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::size_t most_told = 32;  // nodes, for people

std::string excess_text(const Judged& judged) {
  return fmt::format("{:>+8.1f} % {:>+7.1f}{}", 100.0 * judged.excess, judged.deviations, judged.slow ? "  SLOW" : "");
}

Json json_of(const Judged& judged) {
  return {{"excess", judged.excess}, {"deviations", judged.deviations}, {"slow", judged.slow}};
}

std::string sensors_text(const ScreenedRank& rank) {
  if (rank.throttled_by.empty()) return {};
  return fmt::format("  {} MHz, held back by: {}", rank.core_mhz, rank.throttled_by);
}

std::string verdict_of(const ScreenResult& result) {
  std::string text;
  for (const ScreenedNode& node : result.nodes) {
    if (node.judged.slow)
      text += fmt::format("slow node: {} (node {}), {:.1f} % above the median of {} nodes\n", node.host, node.node,
                          100.0 * node.judged.excess, result.nodes.size());
    for (const ScreenedRank& rank : node.ranks)
      if (rank.judged.slow)
        text += fmt::format("slow rank: {} on {}, {:.1f} % above the median of {} ranks\n", rank.rank, node.host,
                            100.0 * rank.judged.excess, result.ranks());
  }
  if (result.ranks() < least_judged)
    return fmt::format("fewer than {} ranks say nothing of each other: nobody is judged\n", least_judged);
  if (result.nodes.size() < least_judged)
    text += fmt::format("fewer than {} nodes say nothing of each other: ranks alone are judged\n", least_judged);
  return result.all_alike() ? text + "nobody is out of line\n" : text;
}

}  // namespace

std::size_t ScreenResult::ranks() const {
  std::size_t count = 0;
  for (const ScreenedNode& node : nodes)
    count += node.ranks.size();
  return count;
}

bool ScreenResult::all_alike() const {
  return std::ranges::none_of(nodes, [](const ScreenedNode& node) {
    return node.judged.slow ||
           std::ranges::any_of(node.ranks, [](const ScreenedRank& rank) { return rank.judged.slow; });
  });
}

ScreenResult judged(std::vector<ScreenedNode> nodes) {
  if (nodes.empty()) return {};
  std::vector<double> of_nodes, of_ranks;
  for (const ScreenedNode& node : nodes) {
    of_nodes.push_back(node.step_s);
    for (const ScreenedRank& rank : node.ranks)
      of_ranks.push_back(rank.step_s);
  }
  const std::vector<Judged> by_node = judge(of_nodes), by_rank = judge(of_ranks);
  auto next = by_rank.begin();
  for (std::size_t at = 0; at < nodes.size(); ++at) {
    nodes[at].judged = by_node[at];
    for (ScreenedRank& rank : nodes[at].ranks)
      rank.judged = *next++;
  }
  std::ranges::stable_sort(nodes, std::greater{}, &ScreenedNode::step_s);
  return {std::move(nodes), median_of(of_nodes), median_of(of_ranks)};
}

std::string to_text(const ScreenResult& result, const ScreenedWork& work) {
  std::string text = fmt::format("{}, {}, {}, {} samples a rank, {} rounds of {} steps [measured]\n", work.name,
                                 work.workload, work.precision, work.local_batch, work.how.rounds, work.how.steps);
  text += fmt::format("{:<24} {:>6} {:>12} {:>10} {:>7}\n", "slowest first", "", "step ms", "to median", "sigma");
  const std::size_t shown = std::min(result.nodes.size(), most_told);
  for (std::size_t at = 0; at < shown; ++at) {
    const ScreenedNode& node = result.nodes[at];
    text += fmt::format("{:<24} {:>6} {:>12.3f} {}\n", node.host, fmt::format("n{}", node.node), 1e3 * node.step_s,
                        excess_text(node.judged));
    for (const ScreenedRank& rank : node.ranks)
      text += fmt::format("{:<24} {:>6} {:>12.3f} {}{}\n", "  alone", fmt::format("r{}", rank.rank), 1e3 * rank.step_s,
                          excess_text(rank.judged), sensors_text(rank));
  }
  if (result.nodes.size() > shown)
    text += fmt::format("and {} nodes more, the fastest {:.1f} % from the median\n", result.nodes.size() - shown,
                        100.0 * result.nodes.back().judged.excess);
  return text + verdict_of(result);
}

std::string to_json(const ScreenResult& result, const ScreenedWork& work) {
  Json document = {{"kind", "trainmark screen"},
                   {"format", 1},
                   {"name", work.name},
                   {"workload", work.workload},
                   {"precision", work.precision},
                   {"backend", work.backend},
                   {"local_batch_samples", work.local_batch},
                   {"rounds", work.how.rounds},
                   {"steps_a_round", work.how.steps},
                   {"node_median_step_s", result.node_median_s},
                   {"rank_median_step_s", result.rank_median_s},
                   {"all_alike", result.all_alike()},
                   {"nodes_are_judged", result.nodes.size() >= least_judged},
                   {"ranks_are_judged", result.ranks() >= least_judged},
                   {"nodes", Json::array()}};
  for (const ScreenedNode& node : result.nodes) {
    Json told = {{"node", node.node}, {"host", node.host}, {"step_s", node.step_s}};
    told.update(json_of(node.judged));
    told["ranks"] = Json::array();
    for (const ScreenedRank& rank : node.ranks) {
      Json own = {{"rank", rank.rank}, {"step_s", rank.step_s}, {"spread", rank.spread}};
      own.update(json_of(rank.judged));
      if (!rank.throttled_by.empty()) {
        own["core_mhz"] = rank.core_mhz;
        own["throttled_by"] = rank.throttled_by;
      }
      told["ranks"].push_back(std::move(own));
    }
    document["nodes"].push_back(std::move(told));
  }
  return json_text(document, 2) + "\n";
}

}  // namespace trainmark
