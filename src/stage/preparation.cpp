// Between two collectives stands local work only, and agree_on turns one rank's failure into everybody's.
#include "stage/preparation.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>

namespace trainmark {
namespace fs = std::filesystem;

Preparation::Preparation(const World& world, std::span<const StagingSet> sets, const StageOptions& options,
                         const StageContext& context)
    : world_(world),
      options_(options),
      context_(context),
      claims_(world, options.wait_seconds, context_),
      pulse_(world.all(),
             [this] {
               claims_.beat();  // of others, without whom this rank would not have heard it
               if (context_.progress) context_.progress(0);
             }),
      heard_([this](std::int64_t bytes) {
        pulse_.beat();
        claims_.beat();
        if (context_.progress) context_.progress(bytes);
      }) {
  claims_.read_sources(sets);
  if (options.strategy == Strategy::none) return;
  std::vector<fs::path> sources, targets;
  for (const StagingSet& set : sets) {
    sources.push_back(set.source);
    targets.push_back(set.target);
  }
  require_apart(world, sources, targets);
  stagers_.reserve(sets.size());
  for (const StagingSet& set : sets) {
    stagers_.emplace_back(world, set, options, heard_, pulse_, context_.only_looks).open_target();
    claims_.add(set.target);
  }
  claims_.take_turns();
  if (options.form == StageForm::packed) claims_.require_own_targets();
  for (Stager& stager : stagers_) {
    stager.examine();
    say_once(world, context_, stager.warning());
    changes_.push_back(stager.changes_files());
  }
}

bool Preparation::changes_files() const {
  std::array<std::int64_t, 1> changes = {std::ranges::count(changes_, true)};
  world_.all().sum(changes);
  return changes[0] > 0;
}

void Preparation::begin_changes() {
  claims_.replace(changes_);
  require_space_on_nodes();
}

/// Sets whose targets lie on one file system must fit there together: half a dataset is of no use.
void Preparation::require_space_on_nodes() const {
  std::vector<std::uint64_t> systems(stagers_.size());
  agree_on(world_.all(), [&] {
    for (std::size_t i = 0; i < stagers_.size(); ++i)
      systems[i] = file_system_of(stagers_[i].target());
  });
  std::vector<SpaceNeed> needs;
  for (const Stager& stager : stagers_)
    needs.push_back(stager.need());
  for (std::size_t i = 0; i < stagers_.size(); ++i) {
    const SpaceNeed need = node_need(world_, needs, systems, i);
    agree_on(world_.all(), [&] {
      if (world_.node().rank() != 0) return;
      require_space(stagers_[i].target(), need, options_.reserve_percent, fmt::format("node {}", world_.host()));
    });
  }
}

void Preparation::let_read(StageOutcome& outcome) {
  claims_.read();
  for (std::size_t i = 0; i < outcome.sets.size(); ++i)
    outcome.sets[i].lease = claims_.lease(i);
}

StageOutcome Preparation::left_at_the_source(std::span<const StagingSet> sets) const {
  std::vector<NodeStaging> nodes;
  for (std::string& host : node_hosts(world_))
    nodes.push_back({.host = std::move(host)});
  StageOutcome outcome;
  for (const StagingSet& set : sets)
    outcome.sets.push_back({set.source, nodes, 0.0, {}, claims_.lease_of_source(outcome.sets.size())});
  outcome.wait_seconds = claims_.waited_seconds();
  return outcome;
}

StageOutcome stage(const World& world, std::span<const StagingSet> sets, const StageOptions& options,
                   const StageContext& context) {
  Preparation prepared(world, sets, options, context);
  if (options.strategy == Strategy::none) return prepared.left_at_the_source(sets);
  StageOutcome outcome;
  if (context.only_looks) {
    for (Stager& stager : prepared.stagers())
      outcome.sets.push_back(stager.look());
  } else {
    prepared.begin_changes();
    for (Stager& stager : prepared.stagers()) {
      outcome.sets.push_back(stager.copy());
      if (context.wants_manifest) outcome.sets.back().manifest = stager.take_manifest();
    }
    prepared.let_read(outcome);
  }
  outcome.wait_seconds = prepared.claims().waited_seconds();
  return outcome;
}

}  // namespace trainmark
