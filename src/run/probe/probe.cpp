// What a probe measures, in its order, and how the parts share its seconds.
#include "run/probe/probe.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "mllog/utf8.hpp"
#include "run/end/ending.hpp"
#include "run/probe/after_run.hpp"
#include "run/record/progress.hpp"
#include "run/screen/judge.hpp"

namespace trainmark {

bool Probing::attempt(const std::string& name, const std::function<void()>& work) {
  try {
    work();
    return true;
  } catch (const AgreedError& error) {
    if (error.code() == ExitCode::data) throw;
    leave_out(name, error.what());
    return false;
  }
}

std::optional<ProbeFigure> Probing::measured(ProbeFigure figure, const Repeated& what, double limit) const {
  const double part = rounds.nodes_are_shared() ? 0.5 * limit : limit;
  const std::optional<Rates> all = rounds.measure(what, part);
  if (!all) return std::nullopt;
  figure.rank = all->rank;
  figure.node = all->node;
  figure.by_rank = all->by_rank;
  figure.by_node = all->by_node;
  if (rounds.nodes_are_shared())
    if (const auto alone = rounds.measure(what, part, Who::one_a_node)) figure.alone = alone->rank;
  return figure;
}

bool Probing::add(ProbeFigure figure, const Repeated& what, double limit) {
  std::optional<ProbeFigure> found = measured(figure, what, limit);
  if (!found) {
    leave_out(figure.name, too_short(limit));
    return false;
  }
  result.figures.push_back(std::move(*found));
  return true;
}

std::vector<SlowNode> slow_nodes(const std::vector<ProbeFigure>& figures) {
  std::vector<SlowNode> slow;
  for (const ProbeFigure& figure : figures) {
    std::vector<double> seconds;  // of one operation or byte
    for (const double rate : figure.by_node)
      seconds.push_back(1.0 / rate);
    const std::vector<Judged> judged = judge(seconds);
    for (std::size_t node = 0; node < judged.size(); ++node)
      if (judged[node].slow) slow.push_back({figure.name, node, judged[node].excess});
  }
  return slow;
}

std::string too_short(double limit) { return fmt::format("three rounds do not fit into its {:.2f} s", limit); }

StepWork step_work(const World& world, const Backend& backend, const RunOptions& options, const Dataset& dataset,
                   const StepGraphs& fused) {
  const std::int64_t parts = options.train.gradient_accumulation_steps;
  StepWork work;
  work.samples = options.train.global_batch / world.all().size();
  const auto add = [&](const Graph& graph, std::int64_t times) {
    for (const Node& node : graph.nodes) {
      const Cost each = cost(graph, node);
      work.flops += times * each.flops;
      if (const auto* sum = std::get_if<AllReduce>(&node.op)) {
        work.network_bytes += bus_factor(world.all().size()) * static_cast<double>(sum->range.size()) *
                              static_cast<double>(size_of(sum->wire));
      } else if (std::holds_alternative<SumOverGroup>(node.op)) {
        const Tensor& values = graph.tensors.at(static_cast<std::size_t>(node.inputs.front()));
        work.network_bytes += static_cast<double>(times * values.shape.elements()) * sizeof(double) *
                              bus_factor(norm_group_of(options.recipe.model));
      } else {
        work.memory_bytes += times * each.bytes;
      }
    }
  };
  add(fused.last, 1);
  if (fused.earlier) add(*fused.earlier, parts - 1);
  if (backend.name() != "cpu")
    work.host_to_device_bytes = work.samples * static_cast<std::int64_t>(dataset.schema.sample_bytes());
  const Manifest& files = dataset.train.staged();
  work.storage_bytes =
      static_cast<double>(work.samples) * static_cast<double>(files.bytes()) / static_cast<double>(files.samples());
  work.storage = options.stage.strategy == Strategy::none ? "source" : "staged";
  return work;
}

namespace {

std::vector<std::string> hosts_of(const World& world) {
  const std::vector<std::uint64_t> nodes = world.all().all_gather(static_cast<std::uint64_t>(world.node_index()));
  const std::vector<std::string> all = world.all().all_gather(world.host());
  std::vector<std::string> hosts(static_cast<std::size_t>(world.nodes()));
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    hosts.at(nodes[rank]) = to_utf8(all[rank]);
  return hosts;
}

}  // namespace

ProbeResult measure_ceilings(const World& world, Backend& backend, const Collectives& collectives,
                             const RunOptions& options, const Dataset& dataset, double budget_seconds,
                             const std::function<void()>& alive) {
  const Rounds rounds(world, budget_seconds, alive);
  StepOptions shape = step_options(options, world.all().size());
  shape.graph.channels = dataset.channels;
  const StepGraphs graphs = graphs_of(options.recipe, shape);
  StepGraphs fused = graphs;
  agree_on(world.all(), [&] {
    fused.last = backend.fuse(std::move(fused.last));
    if (fused.earlier) fused.earlier = backend.fuse(std::move(*fused.earlier));
  });
  ProbeResult result;
  result.step = step_work(world, backend, options, dataset, fused);
  result.hosts = hosts_of(world);
  // Two parts a precision; copy, to the device, sums, staged, source.
  Probing probing{
      world, backend, collectives, options, dataset, graphs, rounds, result, backend.name() == "cpu" ? 8 : 11};
  probe_reading(probing);  // first: caches hold nothing of this yet
  probe_sums(probing);
  probe_memory(probing);
  probe_compute(probing);
  if (result.figures.empty()) {
    throw Error(ExitCode::environment,
                Complaint{"probe", fmt::format("nothing could be measured: {}", fmt::join(result.left_out, "; ")),
                          "there is no ceiling to tell", "give it more --seconds, or see what is said of each part"});
  }
  result.seconds = rounds.used();
  return result;
}

ProbeOutcome probe(const World& world, const RunOptions& wanted, double seconds, const RunContext& context) {
  Open open;
  Watchdog watchdog = ending_watchdog(world, open, context);
  watchdog.phase("initialisation", wanted.watchdog.init_seconds);
  Progress progress = progress_of(world, wanted.results, context);
  const auto alive = [&] { watchdog.beat(); };
  RunOptions options = with_all_readers(options_of_launch(world, wanted));
  require_computes(options, "trainmark probe");
  const auto say = [&](const std::string& line) { progress.line(line); };
  const Dataset dataset = find_dataset(world, options, alive, say);
  require_options(world, options, dataset);
  options.stage = with_target(world, options, dataset, alive, say);
  const std::unique_ptr<Backend> backend = make_backend(options.backend, world);
  open.backend = backend.get();
  const OwnedCollectives collectives = make_collectives(world, *backend, options.recipe.model);
  watchdog.phase("probe", std::max(options.watchdog.step_seconds, seconds));
  progress.line(fmt::format("probing {} for at most {:.0f} s", backend->description(), seconds));
  const ProbeResult result = on_device(*backend, ends_where_stuck(world, open, context, watchdog), [&] {
    return measure_ceilings(world, *backend, collectives.get(), options, dataset, seconds, alive);
  });
  return {probe_json(world, *backend, options, seconds, result), probe_text(result)};
}

void probe_after_run(const World& world, Backend& backend, const Collectives& collectives, const RunOptions& options,
                     const Dataset& dataset, const std::filesystem::path& folder, const AfterRun& after) {
  after.say(fmt::format("probing for at most {:.0f} s", after.seconds));
  try {
    const ProbeResult result =
        measure_ceilings(world, backend, collectives, options, dataset, after.seconds, after.alive);
    agree_on(world.all(), [&] {
      if (world.all().rank() == 0)
        write_result(folder / "probe.json", probe_json(world, backend, options, after.seconds, result));
    });
    after.say(fmt::format("ceilings of this machine in probe.json, measured in {:.1f} s", result.seconds));
  } catch (const AgreedError& error) {
    after.say(fmt::format("warning: there is no probe.json: {}", error.what()));
  }
}

}  // namespace trainmark
