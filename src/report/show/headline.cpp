// Answers of one sentence, each from figures that stand further down with their sources.
#include "report/show/headline.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>

#include "report/analyse/convergence.hpp"
#include "trainmark/mllog.hpp"

namespace trainmark::report {
namespace {

constexpr std::size_t most_judged = 50;

struct Term {
  std::string_view name, remedy;
  double share = 0.0;  ///< of the clock, percent
};

/// Of the median run of a group, by share; what has a remedy in staging, evaluation or input.
std::vector<Term> terms_of(const RunReport& run) {
  const auto share = [&run](double seconds) { return run.run_s > 0.0 ? 100.0 * seconds / run.run_s : 0.0; };
  std::vector<Term> terms = {
      {"training", "set its samples/s a device beside published entries; wait for input tells whether it computes",
       share(run.terms.training_s)},
      {"staging",
       "stage parts in place of the whole set, pack small files, or stage before the clock where the rules let",
       share(run.terms.staging_s)},
      {"evaluation", "stage the evaluation set too, and evaluate in larger batches", share(run.terms.evaluation_s)},
      {"the cold first epoch", "stage the data, so that the first epoch does not read a shared file system",
       share(run.terms.cold_first_epoch_s)},
      {"rest", "look for what stands between epochs: checkpoints, logs, start of workers", share(run.terms.rest_s)}};
  std::ranges::stable_sort(terms, std::greater{}, &Term::share);
  return terms;
}

const RunReport& median_run(const Group& group) {
  std::vector<const RunReport*> runs = group.runs;
  std::ranges::sort(runs, {}, &RunReport::run_s);
  return *runs[runs.size() / 2];
}

/// The configuration with the best score, else with the shortest time to train; null where nobody met a target.
const GroupConvergence* best_of(std::span<const GroupConvergence> rows) {
  const GroupConvergence* best = nullptr;
  double least = 0.0;
  for (const GroupConvergence& row : rows) {
    const std::optional<double> seconds = mean_outcome(outcomes_of(*row.group, "time to train"));
    if (!seconds) continue;
    const double minutes = row.score.minutes.value_or(*seconds / 60.0);
    if (best == nullptr || minutes < least) {
      best = &row;
      least = minutes;
    }
  }
  return best;
}

std::string how_fast(std::span<const GroupConvergence> rows) {
  const GroupConvergence* best = best_of(rows);
  std::set<std::string_view> workloads;
  for (const GroupConvergence& row : rows)
    workloads.insert(row.group->first().benchmark);
  if (workloads.size() > 1) return fmt::format("{} workloads: see their rows below", workloads.size());
  std::set<std::string> tasks;
  for (const GroupConvergence& row : rows)
    if (!row.epochs.empty()) tasks.insert(task_of(row.group->first()));
  if (tasks.size() > 1) return fmt::format("{} networks, training sets or targets: see their rows below", tasks.size());
  if (best == nullptr) {
    const bool any = std::ranges::any_of(rows, [](const GroupConvergence& row) { return !row.epochs.empty(); });
    return any ? "more than one run of each configuration missed the target: no time to train can be told"
               : "no run met its target: rates alone are told below";
  }
  const std::string where = rows.size() > 1 ? best->group->name + ": " : "";
  std::vector<double> times = outcomes_of(*best->group, "time to train");
  std::erase_if(times, [](double each) { return std::isinf(each); });
  if (!best->score.minutes)
    return fmt::format("{}{:.3f} min to train (mean of {}; no score: {}) [logged]", where, mean_of(times) / 60.0,
                       times.size(), best->score.why_not);
  std::string text =
      fmt::format("{}{:.3f} min, olympic mean of {} runs [logged]", where, *best->score.minutes, best->score.runs);
  if (best->score_min)
    text += fmt::format(", 80 % interval {:.3f} to {:.3f} [modelled]", best->score_min->low, best->score_min->high);
  return text;
}

std::string by_the_rules(std::span<const RunReport> runs, std::span<const GroupConvergence> rows) {
  std::set<std::string> files, passed;
  for (const RunReport& run : runs) {
    std::error_code ignored;
    if (files.size() == most_judged || !std::filesystem::is_regular_file(run.path, ignored)) continue;
    if (!files.insert(run.path).second) continue;
    try {
      if (judge_file(run.path).compliant()) passed.insert(run.path);
    } catch (const Error&) {
      files.erase(run.path);  // it changed since it was read
    }
  }
  std::string text = files.empty() ? std::string("the logs were not judged")
                                   : fmt::format("{} of {} logs pass the official checks (trainmark check tells more)",
                                                 passed.size(), files.size());
  const auto fast = std::ranges::count_if(rows, [](const auto& row) { return row.too_fast; });
  if (fast > 0)
    text += fmt::format(
        "; {} faster than the official checker accepts",
        fast == 1 ? std::string("one configuration converges") : fmt::format("{} configurations converge", fast));
  return text + "; not verified by MLCommons Association";
}

struct StepTerm {
  std::string_view name, said, remedy;
  double share = 0.0;  ///< of a mean step, percent
};

/// Of what a step loses besides computing and waiting for input, the largest; none where steps were not divided.
std::optional<StepTerm> step_loss(const RunReport& run) {
  const Figure* whole = run.find("mean step");
  if (whole == nullptr || !(whole->value > 0.0)) return std::nullopt;
  std::array<StepTerm, 3> terms = {
      {{"exposed all-reduce", "waits for sums over ranks",
        "give each rank more samples, or let sums run beside the backward pass; `trainmark ablate` tells a slow rank "
        "from "
        "a slow network"},
       {"exposed upload", "waits for its batch to come to the device",
        "look at the host's link (PCIe generation, NUMA node of the rank) and load.prefetch"},
       {"host", "is spent between launches", "look for what else runs on the rank's CPUs"}}};
  for (StepTerm& term : terms)
    if (const Figure* part = run.find(fmt::format("mean step, {}", term.name)))
      term.share = 100.0 * part->value / whole->value;
  return *std::ranges::max_element(terms, {}, &StepTerm::share);
}

std::string what_binds(const RunReport& run) {
  std::string text;
  for (const Term& term : terms_of(run))
    if (term.share >= 1.0) text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", term.name, term.share);
  text = text.empty() ? "the clock shows no time" : fmt::format("of the clock {} [logged]", text);
  if (const Figure* wait = run.find("wait for input share of training"))
    text += fmt::format("; of training {:.0f} % waits for input [measured]", wait->value);
  if (const auto loss = step_loss(run); loss && loss->share >= 1.0)
    text += fmt::format("; of a step {:.0f} % {} [measured]", loss->share, loss->said);
  const Roofline& roofline = run.roofline;
  if (roofline.binding.empty()) return text;
  return text + fmt::format("; a step takes {:.3f} ms [measured], at least {:.3f} ms [modelled] for {}",
                            1e3 * roofline.step_s, 1e3 * roofline.bound_s, roofline.binding);
}

std::string what_next(const RunReport& run) {
  const Figure* wait = run.find("wait for input share of training");
  const std::vector<Term> terms = terms_of(run);
  const auto largest = std::ranges::find_if(terms, [](const Term& each) { return each.name != "training"; });
  if (wait != nullptr && wait->value >= std::max(10.0, largest->share))
    return fmt::format("{:.0f} % of training waits for input: feed it faster (a nearer tier, more loader threads)",
                       wait->value);
  const auto loss = step_loss(run);
  const double training = run.run_s > 0.0 ? run.terms.training_s / run.run_s : 0.0;
  if (loss && loss->share >= 10.0 && loss->share * training >= largest->share)
    return fmt::format("{:.0f} % of a step {}: {}", loss->share, loss->said, loss->remedy);
  if (largest->share >= 5.0)
    return fmt::format("{} is {:.0f} % of the clock, {:.1f} s: {}", largest->name, largest->share,
                       largest->share / 100.0 * run.run_s, largest->remedy);
  return fmt::format("nothing besides training takes 5 % of the clock: {}",
                     terms.front().name == "training" ? terms.front().remedy : largest->remedy);
}

}  // namespace

std::vector<Headline> headlines_of(std::span<const RunReport> runs, bool instances) {
  if (runs.empty()) return {};
  const std::vector<Group> groups = group_runs(runs);
  const std::vector<GroupConvergence> rows = convergence_of(groups, instances);
  const GroupConvergence* best = best_of(rows);
  const RunReport& run = median_run(best == nullptr ? groups.front() : *best->group);
  return {{"How fast?", how_fast(rows)},
          {"By the rules?", by_the_rules(runs, rows)},
          {"What binds?", what_binds(run)},
          {"What next?", what_next(run)}};
}

}  // namespace trainmark::report
