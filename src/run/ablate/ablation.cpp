#include "run/ablate/ablation.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "mllog/utf8.hpp"

namespace trainmark {
namespace {

std::vector<Variant> variants_of(const AblationPrograms& programs, const AblationLoaders& loaders) {
  using enum Feeding;
  const StepPrograms alone = programs.unsummed.train != nullptr ? programs.unsummed : programs.whole;
  std::vector<Variant> all = {
      {"full", "the step as a run takes it", programs.whole, loaded, loaders.train},
      {"no_input", "one batch of the host's, uploaded each time: no loader", programs.whole, uploaded},
      {"resident", "one batch that lies on the device: no input, no upload", programs.whole, resident},
      {"bare", "the resident batch, no sums over ranks, the host looks at nothing", alone, resident, nullptr, false}};
  if (programs.unsummed.train != nullptr) {
    all.push_back({"resident_no_all_reduce", "the resident batch, no sums over ranks", alone, resident});
    all.push_back({"no_all_reduce", "no sums over ranks", programs.unsummed, loaded, loaders.train});
  }
  if (loaders.direct != nullptr)
    all.push_back(
        {"direct", "read from the source in place of the staged copy", programs.whole, loaded, loaders.direct});
  return all;
}

/// The other programs, as variants that the device takes. Of those that it refuses the result says why.
std::vector<Variant> taken(const AblationPrograms& programs, Loader* loader, Turns& turns, AblationResult& result) {
  std::vector<Variant> variants;
  for (const AblationPrograms::Other& other : programs.others) {
    Variant variant{other.name, other.meaning, other.programs, Feeding::loaded, loader};
    if (const std::string why = turns.refusal(variant); !why.empty())
      result.left_out.push_back(fmt::format("{}: {}", other.name, why));
    else
      variants.push_back(std::move(variant));
  }
  return variants;
}

}  // namespace

AblationResult compare_variants(const Bench& bench, const AblationPrograms& programs, const AblationLoaders& loaders,
                                const AblateOptions& how) {
  std::vector<Variant> variants = variants_of(programs, loaders);
  const bool captures = bench.backend.captures();
  AblationResult result;
  result.left_out = programs.left_out;
  result.precision = programs.precision;
  loaders.train->start(0);
  if (loaders.direct != nullptr) loaders.direct->start(0);
  Turns turns(bench, loaders.train->next());
  // What a run takes comes first: where a capture fails once, all steps are streamed from then on.
  std::set<const Program*> settled;
  for (const Variant& variant : variants)
    if (settled.insert(variant.programs.train).second) turns.settle(variant);
  const bool captured = bench.backend.captures();
  std::ranges::move(taken(programs, loaders.train, turns, result), std::back_inserter(variants));
  std::vector<VariantTimes> times(variants.size());
  for (std::size_t round = 0; round < static_cast<std::size_t>(how.rounds); ++round) {
    for (std::size_t turn = 0; turn < variants.size(); ++turn) {
      const std::size_t at = (round + turn) % variants.size();  // nobody is always behind the same one
      times[at].push_back(turns.take(variants[at], how.steps));
    }
  }
  const auto times_of = [&](std::string_view name) {
    const auto found = std::ranges::find(variants, name, &Variant::name);
    return found == variants.end() ? VariantTimes() : times[static_cast<std::size_t>(found - variants.begin())];
  };
  const std::vector<double> full = slowest(times_of("full"));
  for (std::size_t at = 0; at < variants.size(); ++at) {
    const std::vector<double> own = slowest(times[at]);
    result.rows.push_back({variants[at].name, variants[at].meaning, interval_of(own), paired_difference(own, full)});
  }
  result.attribution = attribute({times_of("full"), times_of("no_input"), times_of("resident"),
                                  times_of("resident_no_all_reduce"), times_of("bare")});
  if (captures && !bench.backend.captures()) {
    std::erase_if(result.rows, [](const AblationResult::Row& row) { return row.name == "uncaptured"; });
    result.left_out.push_back(
        fmt::format("uncaptured: {}: {}",
                    captured ? "a variant's step could not be captured, and all rows are of streamed steps, the full "
                               "one too, which a run's may not be"
                             : "no step could be captured",
                    bench.backend.description()));
  }
  const Group& ranks = bench.world.all();
  result.slowest_host = ranks.broadcast(to_utf8(bench.world.host()), result.attribution.slowest_rank);
  result.last = last_rank(bench.world, turns.log(), {});
  return result;
}

}  // namespace trainmark
