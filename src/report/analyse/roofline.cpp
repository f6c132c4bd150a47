#include "report/analyse/roofline.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace trainmark::report {
namespace {

double figure_of(const Companions& beside, const char* name) {
  const auto found = beside.figures.find(name);
  return found == beside.figures.end() ? 0.0 : found->second;
}

std::optional<Ceiling> ceiling_of(const Probed& probed, const std::string& name) {
  const Ceiling* found = probed.find(name);
  return found == nullptr ? std::nullopt : std::optional(*found);
}

/// What all sums of a step send over what they take, one after the other.
std::optional<Ceiling> network_of(const std::vector<StepMessage>& messages) {
  if (messages.empty()) return std::nullopt;
  double sent = 0.0, median = 0.0, shortest = 0.0, longest = 0.0, n = messages.front().seconds.n;
  for (const StepMessage& each : messages) {
    sent += 2.0 * (each.ranks - 1.0) / each.ranks * each.bytes;
    median += each.seconds.median;
    shortest += each.seconds.least;
    longest += each.seconds.most;
    n = std::min(n, each.seconds.n);
  }
  return Ceiling{"all_reduce_bus_bytes_per_s", n, sent / median, longest > 0.0 ? sent / longest : 0.0,
                 shortest > 0.0 ? sent / shortest : 0.0};
}

std::vector<RoofTier> tiers_of(const Probed& probed) {
  std::vector<RoofTier> tiers = {
      {"compute", probed.flops, true, ceiling_of(probed, fmt::format("compute_{}_flops_per_s", probed.precision))},
      {"memory", probed.memory_bytes, false, ceiling_of(probed, "memory_copy_bytes_per_s")},
      {"host link", probed.host_to_device_bytes, false, ceiling_of(probed, "host_to_device_bytes_per_s")},
      {"network", probed.network_bytes, false, network_of(probed.messages)},
      {probed.storage == "staged" ? "local disk" : "shared file system", probed.storage_bytes, false,
       ceiling_of(probed, fmt::format("read_{}_bytes_per_s", probed.storage))}};
  std::erase_if(tiers, [](const RoofTier& tier) { return tier.work == 0.0; });
  return tiers;
}

/// Sums over ranks take what they were probed at; whatever else a node is, it computes and moves side by side.
void bound(RoofNode& node, const Roofline& roofline) {
  const auto message = std::ranges::find(roofline.messages, node.node, &StepMessage::name);
  if (message != roofline.messages.end()) {
    node.bound_s = message->seconds.median;
    node.bound_by = "network";
    return;
  }
  if (node.op == "AllReduce" || node.op == "SumOverGroup") return;
  for (const RoofTier& tier : roofline.tiers) {
    if (!tier.ceiling || (tier.name != "compute" && tier.name != "memory")) continue;
    const double seconds = (tier.computes ? node.flops : node.bytes) / tier.ceiling->median;
    if (node.bound_s && seconds <= *node.bound_s) continue;
    node.bound_s = seconds;
    node.bound_by = tier.name;
  }
}

std::string remedy_against(std::string_view what) {
  if (what == "compute")
    return "multiply in fewer bits (train.precision=bf16), or on more ranks; the model decides the rest";
  if (what == "memory") return "move fewer bytes: 16-bit activations (train.precision=bf16), larger fused blocks";
  if (what == "host link") return "send fewer bytes up: more ranks a batch, or a closer socket for each device";
  if (what == "network")
    return "send less often: more samples a rank, larger buckets (train.bucket_mib), a faster network";
  if (what == "local disk") return "more readers (load.threads), faster or more local disks, files that compress less";
  if (what == "shared file system") return "stage to the node (stage.strategy), or more readers (load.threads)";
  return {};
}

/// Of something that takes longer than its bound.
std::string remedy_of_excess(std::string_view op) {
  if (op == "input")
    return "the readers are late: more of them (load.threads), deeper read-ahead (load.prefetch), staging";
  if (op == "upload") return "batches wait for the device: pin ranks to the socket of their device";
  if (op == "AllReduce" || op == "SumOverGroup")
    return "sums over ranks: overlap (backend.overlap), larger buckets (train.bucket_mib); look for a slow rank in "
           "ranks.csv";
  if (op.starts_with("Conv") || op.starts_with("Dense"))
    return "this shape runs far from the best product: a larger local batch, another algorithm (backend.autotune on a "
           "device)";
  if (op == "Update") return "the optimizer moves all parameters: fewer, larger ranks' batches make it a smaller share";
  return "work beside the products: 16-bit activations (train.precision=bf16) halve its bytes";
}

struct Excess {
  std::string name, op;
  double measured_s = 0.0, bound_s = 0.0;
  [[nodiscard]] double seconds() const { return measured_s - bound_s; }
};

void find_largest(Roofline& roofline, const Companions& beside) {
  std::vector<Excess> all;
  for (const RoofNode& node : roofline.nodes)
    if (node.bound_s) all.push_back({node.node, node.op, node.seconds, *node.bound_s});
  if (const double steps = figure_of(beside, "steps"); steps > 0.0) {
    all.push_back({"waiting for input", "input", figure_of(beside, "wait_for_input_s") / steps, 0.0});
    const bool device = std::ranges::any_of(roofline.tiers, [](const auto& tier) { return tier.name == "host link"; });
    if (device) all.push_back({"exposed upload", "upload", figure_of(beside, "upload_exposed_s") / steps, 0.0});
  }
  const auto most = std::ranges::max_element(all, {}, &Excess::seconds);
  if (most == all.end() || most->seconds() <= 0.0) return;
  roofline.largest =
      fmt::format("{}: {:.3f} ms, {:.3f} ms at its bound", most->name, 1e3 * most->measured_s, 1e3 * most->bound_s);
  roofline.remedy = remedy_of_excess(most->op);
}

/// What is not there, and which command makes it. Of logs of others nothing is expected.
void note_missing(Roofline& roofline, const Companions& beside) {
  if (!beside.of_ours) return;
  if (!beside.probed) {
    roofline.remarks.emplace_back(
        "no roofline: there is no probe.json that can be used; `trainmark run --probe` leaves one");
  } else if (beside.nodes.empty()) {
    roofline.remarks.emplace_back("no layers: there is no nodes.csv; `trainmark run --measure-nodes` leaves one");
  }
}

}  // namespace

std::string binding_of(const std::vector<RoofTier>& tiers) {
  double slowest = 0.0;
  for (const RoofTier& tier : tiers)
    if (tier.binds) slowest = std::max(slowest, tier.bound_s().value_or(0.0));
  std::string names;
  for (const RoofTier& tier : tiers)
    if (tier.binds && slowest > 0.0 && tier.bound_s().value_or(0.0) >= 0.999 * slowest)
      names += (names.empty() ? "" : " and ") + tier.name;
  return names;
}

Roofline roofline_of(const RunReport& run, const Companions& beside) {
  Roofline roofline;
  note_missing(roofline, beside);
  if (!beside.probed) return roofline;
  const Probed& probed = *beside.probed;
  if (run.facts.processes && probed.ranks != *run.facts.processes) {
    roofline.remarks.push_back(
        fmt::format("no roofline: probe.json is of {:.0f} ranks, the run of {:.0f}; probe as many", probed.ranks,
                    *run.facts.processes));
    return roofline;
  }
  roofline.workload = probed.workload;
  roofline.precision = probed.precision;
  roofline.backend = probed.backend;
  roofline.ranks = probed.ranks;
  roofline.samples = probed.samples;
  roofline.messages = probed.messages;
  roofline.ceilings = probed.ceilings;
  roofline.tiers = tiers_of(probed);
  roofline.nodes = beside.nodes;
  for (RoofNode& node : roofline.nodes)
    bound(node, roofline);
  const double nodes_s = std::accumulate(roofline.nodes.begin(), roofline.nodes.end(), 0.0,
                                         [](double sum, const RoofNode& node) { return sum + node.seconds; });
  roofline.step_s = figure_of(beside, "step_median_s");
  roofline.step_of = "the median step of rank 0 (run.json)";
  if (roofline.step_s == 0.0) {
    roofline.step_s = nodes_s;
    roofline.step_of = "the sum of its nodes (nodes.csv)";
  }
  for (RoofTier& tier : roofline.tiers) {
    if (!tier.ceiling) {
      roofline.remarks.push_back(fmt::format("{} has no ceiling in probe.json, and bounds nothing here", tier.name));
      continue;
    }
    const std::string& cache = tier.ceiling->cache;
    tier.binds = cache != "cold" || figure_of(beside, "node_dataset_fits_memory") != 1.0;
    if (!cache.empty())
      roofline.remarks.push_back(fmt::format("{} was read with a {} page cache{}", tier.name, cache,
                                             tier.binds ? ""
                                                        : "; the node's data fit its memory and come from there after "
                                                          "the first epoch, so this bounds no other"));
    if (tier.binds) roofline.bound_s = std::max(roofline.bound_s, *tier.bound_s());
  }
  roofline.binding = binding_of(roofline.tiers);
  constexpr double near = 1.3;  // times the bound: then the resource itself is what to look at
  find_largest(roofline, beside);
  if (const auto gap = roofline.gap(); gap && (*gap < near || roofline.remedy.empty()))
    roofline.remedy = remedy_against(roofline.binding.substr(0, roofline.binding.find(" and ")));
  if (const auto gap = roofline.gap(); gap && *gap < 1.0)
    roofline.remarks.emplace_back(
        "the step is faster than its bound: a ceiling was probed on a busier machine, or bytes came from caches");
  return roofline;
}

}  // namespace trainmark::report
