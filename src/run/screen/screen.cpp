// `trainmark screen`: every node does the same work at the same time, for itself.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <memory>

#include "mllog/utf8.hpp"
#include "run/ablate/variants.hpp"
#include "run/end/ending.hpp"
#include "run/launch/session.hpp"
#include "run/record/progress.hpp"
#include "run/record/sensor_log.hpp"
#include "run/screen/screening.hpp"

namespace trainmark {
namespace {

/// The step of a rank by itself, and that of a node's ranks together where it has several.
class Works {
 public:
  Works(const World& world, Backend& backend, const RunOptions& options)
      : alone_sums_(backend.make_collective(world.all().split(world.all().rank()))),
        node_sums_(backend.make_collective(world.node())),
        graphs_(graphs_of(options.recipe, step_options(options, world.all().size()))),
        state_(backend, graphs_.last, slots_of(options.recipe.rule)),
        programs_(backend, state_) {
    state_.initialise(static_cast<std::uint64_t>(options.seed));
    const bool shared = world.nodes() < world.all().size();
    alone = {.name = "alone", .meaning = {}, .programs = programs_.add(graphs_, {*alone_sums_, nullptr}, {})};
    alone.feeding = Feeding::resident;
    together = alone;
    if (shared) together.programs = programs_.add(graphs_, {*node_sums_, nullptr}, {});
  }
  [[nodiscard]] ModelState& state() noexcept { return state_; }

  Variant alone, together;

 private:
  std::unique_ptr<Collective> alone_sums_, node_sums_;
  StepGraphs graphs_;
  ModelState state_;
  StepShelf programs_;
};

/// Norms of a rank's own samples: groups of them may span nodes.
RunOptions of_one_node(RunOptions options) {
  std::visit(
      [](auto& model) {
        if constexpr (requires { model.norm_group; }) model.norm_group = 1;
      },
      options.recipe.model);
  return options;
}

void require_share(const RunOptions& options, int ranks) {
  if (options.train.divides(ranks)) return;
  throw AgreedError(ExitCode::usage,
                    to_string(Complaint{"/train/global_batch", indivisible(options.train, ranks),
                                        "all ranks are to do the same", "choose another batch or rank count"}));
}

/// By rank: one value a round each.
using Times = std::vector<std::vector<double>>;

void add(Times& times, const std::vector<double>& round) {
  times.resize(round.size());
  for (std::size_t rank = 0; rank < round.size(); ++rank)
    times[rank].push_back(round[rank]);
}

std::vector<ScreenedNode> gathered(const World& world, const Times& alone, const Times& together,
                                   const SensorLog& sensors) {
  const Group& all = world.all();
  const std::vector<std::uint64_t> node_of = all.all_gather(static_cast<std::uint64_t>(world.node_index()));
  const std::vector<std::string> hosts = all.gather(to_utf8(world.host()));
  const std::vector<std::string> throttled = all.gather(sensors.empty() ? "" : sensors.throttled_by());
  const std::vector<double> clocks = all.all_gather(sensors.empty() ? 0.0 : sensors.mean_core_mhz());
  if (all.rank() != 0) return {};
  std::map<std::uint64_t, ScreenedNode> nodes;
  for (std::size_t rank = 0; rank < alone.size(); ++rank) {
    ScreenedNode& node = nodes[node_of[rank]];
    node.node = static_cast<int>(node_of[rank]);
    node.host = hosts[rank];
    const double median = median_of(alone[rank]);
    const auto [least, most] = std::ranges::minmax(alone[rank]);
    ScreenedRank& own = node.ranks.emplace_back();
    own.rank = static_cast<int>(rank);
    own.step_s = median;
    own.spread = (most - least) / median;
    own.core_mhz = static_cast<int>(clocks[rank]);
    own.throttled_by = throttled[rank];
    node.step_s = std::max(node.step_s, median_of(together[rank]));
  }
  std::vector<ScreenedNode> all_nodes;
  for (auto& [number, node] : nodes)
    all_nodes.push_back(std::move(node));
  return all_nodes;
}

}  // namespace

ScreenOutcome screen(const World& world, const RunOptions& wanted, const ScreenOptions& how,
                     const RunContext& context) {
  Open open;
  Watchdog watchdog = ending_watchdog(world, open, context);
  watchdog.phase("initialisation", wanted.watchdog.init_seconds);
  Progress progress = progress_of(world, wanted.results, context);
  const RunOptions options = of_one_node(options_of_launch(world, wanted));
  require_computes(options, "trainmark screen");
  require_share(options, world.all().size());
  const std::unique_ptr<Backend> backend = make_backend(options.backend, world);
  open.backend = backend.get();
  const std::int64_t local_batch = options.train.batch() / world.all().size();
  progress.line(fmt::format("screening {} node(s), {} rank(s), {}: {} rounds of {} steps", world.nodes(),
                            world.all().size(), backend->description(), how.rounds, how.steps));

  SensorLog sensors;
  const Clock clock;
  double sensed = 0.0;
  const auto alive = [&] {
    watchdog.beat();
    if (clock.seconds() < sensed + 1.0) return;
    sensed = clock.seconds();
    if (const std::optional<DeviceReading> reading = backend->sensors()) sensors.add(*reading);
  };
  Times alone, together;
  on_device(*backend, ends_where_stuck(world, open, context, watchdog), [&] {
    watchdog.phase("planning", options.watchdog.init_seconds);
    Works works(world, *backend, options);
    watchdog.phase("screening", options.watchdog.step_seconds);
    // The same samples on every rank: what they hold may change what a step takes.
    const SyntheticBatch samples(schema_of(options.recipe.model), local_batch, 0, 1, 0.0F);
    const std::vector<std::int64_t> ids(static_cast<std::size_t>(local_batch));
    Batch batch{.valid = local_batch, .ids = ids, .fields = {samples.inputs().begin(), samples.inputs().end() - 1}};
    Turns turns({world, *backend, works.state(), local_batch, options.train.gradient_accumulation_steps,
                 2 * backend->warm_up_launches(), alive},
                batch);
    for (int round = 0; round < how.rounds; ++round) {
      add(alone, turns.take(works.alone, how.steps));
      add(together, turns.take(works.together, how.steps));
      if (progress.due()) progress.status(fmt::format("round {} of {}", round + 1, how.rounds));
    }
    return 0;
  });

  const ScreenResult result = judged(gathered(world, alone, together, sensors));
  const bool alike = world.all().broadcast(result.all_alike() ? "1" : "0") == "1";
  if (world.all().rank() != 0) return {{}, {}, alike};
  const ScreenedWork work{options.name,
                          std::string(benchmark_of(options.recipe.model)),
                          std::string(word(computed_in(*backend, options.train.precision))),
                          backend->description(),
                          local_batch,
                          how};
  return {to_text(result, work), to_json(result, work), alike};
}

}  // namespace trainmark
