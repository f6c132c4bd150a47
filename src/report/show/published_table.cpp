// Published entries beside a run, with scores that compare between rounds.
#include <fmt/core.h>

#include "report/analyse/published.hpp"
#include "report/show/tables.hpp"

namespace trainmark::report {
namespace {

/// 0.7 trained CosmoFlow on half of the set: its rates compare, its times do not.
bool same_set(const Published& entry, const RunReport& run) {
  return !entry.train_samples || !run.facts.train_samples || *entry.train_samples == *run.facts.train_samples;
}

}  // namespace

Grid published_table(const RunReport& run) {
  using enum FigureSource;
  Grid grid{"published, nearest by local batch, then device",
            {{"entry"},
             {"local batch", "samples", logged, 3},
             {"samples/s a device", "1/s", logged},
             {"this run's share", "%", modelled, 0},
             {"epochs", "", logged, 1},
             {"score", "min", logged},
             {"score with staging", "min", logged},
             {"clock"},
             {"precision"},
             {"source"}},
            {}};
  for (const std::string& reason : run.incomparable)
    grid.remarks.push_back("not comparable with published results: " + reason);
  const NearestPublished nearest = nearest_published(run);
  const Figure* own = run.find("samples/s a rank");
  if (own == nullptr) own = run.find("samples/s an accelerator");
  const auto share = [own](const Published& each) {
    return own != nullptr && each.samples_per_s_device ? Cell(100.0 * own->value / *each.samples_per_s_device) : Cell();
  };
  bool other_set = false;
  for (const Published* each : nearest.entries) {
    const bool same = same_set(*each, run);
    other_set = other_set || !same;
    const auto minutes = [same](const std::optional<double>& seconds) { return same ? cell(seconds, 60.0) : Cell(); };
    grid.rows.push_back({each->name(), cell(each->local_batch_samples), cell(each->samples_per_s_device), share(*each),
                         same ? cell(each->epochs_to_target) : Cell(), minutes(each->score_s),
                         minutes(each->score_with_staging_s), std::string(each->clock),
                         std::string(each->precision.empty() ? "not logged" : each->precision),
                         std::string(each->source)});
  }
  for (const Published* each : nearest.emulated)
    grid.rows.push_back({each->name() + " (compute only)", cell(each->local_batch_samples),
                         cell(each->samples_per_s_device), share(*each), Cell(), Cell(), Cell(), std::string(),
                         std::string("not logged"), std::string(each->source) + " [modelled]"});
  if (other_set)
    grid.remarks.push_back("entries of 0.7 trained on half of the samples: their times and epochs do not compare");
  if (!nearest.entries.empty() && run.generated_data)
    grid.remarks.push_back("only rates may be compared: the data were generated, the score means nothing");
  if (!nearest.entries.empty() && nearest.entries.front()->metric == "throughput")
    grid.remarks.push_back("score of a throughput entry: from the first start to the last stop of all its instances");
  grid.remarks.insert(grid.remarks.end(), nearest.remarks.begin(), nearest.remarks.end());
  return grid;
}

}  // namespace trainmark::report
