// Scores and epochs of groups of runs, as tables.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "report/show/tables.hpp"

namespace trainmark::report {
namespace {

using enum FigureSource;

Cell least_of(const std::vector<double>& values) {
  return values.empty() ? Cell() : Cell(*std::ranges::min_element(values));
}
Cell most_of(const std::vector<double>& values) {
  return values.empty() ? Cell() : Cell(*std::ranges::max_element(values));
}

/// None where epochs and pace offset each other: shares below 0 or above 100 % say nothing to a reader.
Cell share_of(const GroupConvergence& row) {
  const double share = row.spread ? row.spread->epochs_share_percent : -1.0;
  return share >= -1e-9 && share <= 100.0 + 1e-9 ? Cell(share) : Cell();
}

}  // namespace

Grid score_table(std::span<const GroupConvergence> rows) {
  Grid grid{"scores by configuration",
            {{"configuration"},
             {"runs", "", logged, 0},
             {"on target", "", logged, 0},
             {"olympic mean", "min", logged, 4},
             {"low", "min", modelled, 4},
             {"high", "min", modelled, 4},
             {"normalised", "min", modelled, 4},
             {"spread of time", "%", logged, 1},
             {"of epochs", "%", logged, 1},
             {"of s an epoch", "%", logged, 1},
             {"due to epochs", "%", modelled, 0}},
            {}};
  bool normalised = false, unofficial = false;
  for (const GroupConvergence& row : rows) {
    const std::optional<double> raw = row.score.minutes;
    const bool scaled = raw && row.normalised_by && !row.too_fast;
    normalised = normalised || (scaled && *row.normalised_by > 1.0);
    grid.rows.push_back({row.group->name, count_of(row.group->runs.size()), count_of(row.epochs.size()), cell(raw),
                         cell(row.score_min, &Bounds::low), cell(row.score_min, &Bounds::high),
                         scaled ? Cell(*raw * *row.normalised_by) : Cell(), cell(row.spread, &Spread::time_percent),
                         cell(row.spread, &Spread::epochs_percent),
                         cell(row.spread, &Spread::seconds_per_epoch_percent), share_of(row)});
    std::set<std::string_view> devices;
    for (const RunReport* run : row.group->runs)
      if (run->facts.device != run->platform) devices.insert(run->facts.device);  // what env.json says
    if (devices.size() > 1)
      grid.remarks.push_back(fmt::format("{}: its runs are of different devices or builds ({}): their mean is of none",
                                         row.group->name, fmt::join(devices, "; ")));
    if (row.broke_off > 0)
      grid.remarks.push_back(
          fmt::format("{}: {} of {} runs broke off or have no end yet, and count in no mean of epochs or times",
                      row.group->name, row.broke_off, row.group->runs.size()));
    if (!raw && rows.size() <= 8)
      grid.remarks.push_back(fmt::format("{}: no olympic mean: {}", row.group->name, row.score.why_not));
    const auto wanted = static_cast<std::size_t>(runs_of_a_score(row.group->first().benchmark));
    unofficial = unofficial || (raw && row.reference && row.group->runs.size() != wanted);
  }
  if (unofficial)
    grid.remarks.push_back(
        "an official score is of ten runs of CosmoFlow, five of DeepCAM and ResNet-50, no more or fewer");
  grid.remarks.push_back(
      "low to high: 80 % bootstrap interval of the olympic mean; spread: deviation over mean, of runs "
      "on target");
  if (normalised)
    grid.remarks.push_back(
        "normalised: the olympic mean times reference epochs over own epochs, as the official checker "
        "scales scores that converge faster than the reference");
  return grid;
}

Grid throughput_table(std::span<const Throughput> rows) {
  if (rows.empty()) return {};
  Grid grid{"throughput: instances of one job",
            {{"configuration"},
             {"instances", "", logged, 0},
             {"pruned", "", logged, 0},
             {"ranks of one", "", logged, 0},
             {"time to train all", "min", logged, 4},
             {"models a minute", "1/min", logged, 4},
             {"mean time of one", "min", logged, 4},
             {"starts apart", "s", logged, 1},
             {"lost to the slowest", "%", modelled, 1}},
            {}};
  for (const Throughput& row : rows) {
    const auto told = [&row](double value) { return row.models_per_min ? Cell(value) : Cell(); };
    grid.rows.push_back({row.group->name, count_of(row.instances), count_of(row.pruned),
                         cell(row.group->first().facts.processes), cell(row.time_to_train_all_min),
                         cell(row.models_per_min), told(row.mean_run_min), told(row.starts_apart_s),
                         told(row.lost_percent)});
    if (!row.why_not.empty())
      grid.remarks.push_back(fmt::format("{}: no throughput: {}", row.group->name, row.why_not));
    grid.remarks.insert(grid.remarks.end(), row.remarks.begin(), row.remarks.end());
  }
  grid.remarks.push_back(
      "time to train all: from the first run_start to the last run_stop (MLPerf HPC rules); lost to the slowest: what "
      "of it the mean time of one does not fill");
  return grid;
}

Grid convergence_table(std::span<const GroupConvergence> rows) {
  Grid grid{"convergence against the reference convergence points of the rules",
            {{"configuration"},
             {"batch", "samples", logged, 0},
             {"n", "", logged, 0},
             {"seeds", "", logged, 0},
             {"epochs", "", logged, 2},
             {"least", "", logged, 0},
             {"most", "", logged, 0},
             {"reference epochs", "", given, 2},
             {"factor", "", modelled, 3},
             {"checker's epochs", "", given, 2},
             {"least accepted", "", given, 2},
             {"last metric", "", logged, 5},
             {"verdict"}},
            {}};
  for (const GroupConvergence& row : rows) {
    std::string verdict = row.how;
    if (row.normalised_by)
      verdict = row.too_fast ? "too fast: refused" : *row.normalised_by > 1.0 ? "faster: normalised" : "accepted";
    grid.rows.push_back({row.group->name, cell(row.group->first().facts.batch_samples), count_of(row.epochs.size()),
                         count_of(row.seeds), cell(row.mean_epochs), least_of(row.epochs), most_of(row.epochs),
                         cell(row.reference, &ReferencePoint::epochs), cell(row.factor),
                         cell(row.checked, &ReferencePoint::epochs), cell(row.checked, &ReferencePoint::least_epochs),
                         row.last_metrics.empty() ? Cell() : Cell(quantile_of(row.last_metrics, 0.5)), verdict});
  }
  for (const GroupConvergence& row : rows)
    if (row.missed > 0)
      grid.remarks.push_back(fmt::format(
          "{}: {} of {} runs missed the target: {}", row.group->name, row.missed, row.missed + row.epochs.size(),
          row.mean_epochs ? "as in scores it counts as the slowest, which is left out" : "there is no mean of epochs"));
  grid.remarks.push_back(
      "epochs: without the fastest and the slowest run from three runs on; last metric: median; factor: epochs over "
      "the "
      "reference's at the batch; checker's epochs: what the official checker compares with, which leaves out points "
      "that "
      "others undercut");
  return grid;
}

Grid critical_batch_table(std::span<const GroupConvergence> rows) {
  Grid grid{"critical batch: epochs = least epochs x (1 + batch / critical batch)",
            {{"workload"},
             {"batches", "", logged, 0},
             {"runs", "", logged, 0},
             {"from batch", "samples", logged, 0},
             {"to batch", "samples", logged, 0},
             {"least epochs", "", modelled, 2},
             {"critical batch", "samples", modelled, 0},
             {"largest residual", "%", modelled, 1}},
            {}};
  for (const CriticalBatchAnswer& answer : critical_batches(rows)) {
    if (!answer.fit) {
      if (rows.size() > 1) grid.remarks.push_back(answer.why_not);
      continue;
    }
    const CriticalBatch& fit = *answer.fit;
    grid.rows.push_back({fit.workload, count_of(fit.batches), count_of(fit.runs), fit.smallest, fit.largest,
                         fit.least_epochs, fit.critical_batch, fit.largest_residual_percent});
  }
  return grid;
}

Grid difference_table(std::span<const Group> groups) {
  Grid grid{"do their times to train differ?",
            {{"fastest"},
             {"other"},
             {"n", "", logged, 0},
             {"n of other", "", logged, 0},
             {"slower by", "%", logged, 1},
             {"p", "", modelled, 4},
             {"verdict"}},
            {}};
  for (const Difference& each : differences_of(groups))
    grid.rows.push_back({each.one->name, each.other->name, count_of(each.runs_of_one), count_of(each.runs_of_other),
                         each.percent, each.p,
                         std::string(each.differ() ? "they differ" : "they do not differ, as far as these runs tell")});
  if (!grid.rows.empty()) grid.remarks.push_back("Welch's test on the times to train; below p = 0.05 they differ");
  return grid;
}

Grid run_table(std::span<const RunReport> runs) {
  Grid grid{"runs",
            {{"run"},
             {"batch", "samples", logged, 0},
             {"seed"},
             {"epochs to target", "", logged, 0},
             {"last metric", "", logged, 5},
             {"time to train", "min", logged, 3},
             {"status"}},
            {}};
  const std::vector<std::string> names = short_names(runs);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunReport& run = runs[i];
    const auto figure = [&run](const char* name, double divisor = 1.0) {
      const Figure* found = run.find(name);
      return found == nullptr ? Cell() : Cell(found->value / divisor);
    };
    grid.rows.push_back({names[i], cell(run.facts.batch_samples),
                         run.facts.seed.empty() ? Cell() : Cell(run.facts.seed), figure("epochs to target"),
                         figure("last metric"), figure("time to train", 60.0), run.status});
  }
  return grid;
}

}  // namespace trainmark::report
