// From what a run left behind to its figures. The log decides about times and outcome; the files beside it add what a
// log cannot hold. Rates are rates.cpp's.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "report/analyse/identity.hpp"
#include "report/analyse/rates.hpp"
#include "report/analyse/recorded.hpp"
#include "report/analyse/roofline.hpp"
#include "report/parse/files.hpp"
#include "report/parse/phases.hpp"

namespace trainmark {
namespace {

using report::Phase;
using report::Phases;
using report::RunFiles;

bool reaches(const RunReport& run, double metric) {
  return run.target && QualityTarget{{}, *run.target, run.lower_is_better}.reached_by(metric);
}

void set_identity(RunReport& run, const RunFiles& files, const Phases& phases) {
  run.path = files.path;
  run.part = files.log.part;
  run.attempt = files.log.number;
  run.attempts = files.log.count;
  run.benchmark = files.text("submission_benchmark");
  run.division = files.text("submission_division");
  run.organisation = files.text("submission_org");
  run.platform = files.text("submission_platform");
  run.finished = phases.finished;
  // The rules know success and aborted only; our own logs, and run.json, tell fixed work from a run that broke off.
  const std::string& beside = files.beside.status;
  const bool fixed_work = phases.outcome == word(Ending::fixed_work_done);
  const std::string& logged = fixed_work ? phases.outcome : phases.status;
  const bool agree = (beside == word(Ending::success)) == (logged == word(Ending::success));
  run.status = beside.empty() || (phases.finished && !agree) ? logged : beside;
  if (beside.empty() && !phases.outcome.empty()) run.status = phases.outcome;
  if (!beside.empty() && phases.finished && !agree)
    run.notes.push_back(
        fmt::format("run.json says {}, the log {}: the log decides", beside, logged.empty() ? "nothing" : logged));
  const auto beside_says = [&beside](Ending ending) { return beside == word(ending); };
  const bool interrupted = beside_says(Ending::running) || beside_says(Ending::aborted) ||
                           beside_says(Ending::failed) || run.attempt < run.attempts;
  run.broke_off = !phases.finished || (interrupted && run.status != word(Ending::success));
  if (!files.beside.message.empty()) run.notes.push_back("run.json says why: " + files.beside.message);
  if (const std::optional<QualityTarget> target = quality_target(run.benchmark)) {
    run.target = target->value;
    run.lower_is_better = target->lower_is_better;
  }
  if (const auto own = report::own_target(files)) run.target = own;
  if (run.status == word(Ending::fixed_work_done)) run.target.reset();  // the config's default, which nobody aimed at
}

void set_terms(RunReport& run, const Phases& phases) {
  run.run_s = phases.run_s;
  run.start_ms = phases.start_ms;
  run.stop_ms = phases.stop_ms;
  run.staging_outside_s = phases.staging_outside_s;
  TimeTerms& terms = run.terms;
  terms = {phases.staging_s, phases.training_s, 0.0, phases.evaluation_s, phases.rest_s, phases.undecided_s};
  std::vector<double> others;
  for (const EpochReport& epoch : run.epochs)
    if (&epoch != &run.epochs.front() && epoch.whole) others.push_back(epoch.train_s / epoch.epochs);
  if (others.size() < 2) return;  // no median worth the name
  const EpochReport& first = run.epochs.front();
  if (!first.whole) return;
  terms.cold_first_epoch_s = std::clamp(first.train_s - median_of(others) * first.epochs, 0.0, first.train_s);
  terms.training_s -= terms.cold_first_epoch_s;
}

/// A part of staging, on either side of the clock.
double waited_for_another_run(const RunFiles& files) {
  double seconds = 0.0;
  for (const LogRecord& record : files.log.records) {
    if (record.key == "trainmark_waiting_for_another_run_s") seconds += report::number_of(record.value).value_or(0.0);
  }
  return seconds;
}

void add_time_figures(RunReport& run, const RunFiles& files, const Phases& phases) {
  /// `more` seconds may belong to it besides: undecided ones, and what a clock hid that went back.
  const auto add = [&run](const char* name, double value, const char* unit, FigureSource source, double more = 0.0) {
    run.figures.push_back({name, value, unit, source, more > 0.0 ? std::optional(value + more) : std::nullopt});
  };
  const auto more = [&phases](Phase phase) {
    const auto found = phases.more_s.find(phase);
    return phases.clock_back_s + (found == phases.more_s.end() ? 0.0 : found->second);
  };
  using enum FigureSource;
  if (run.attempts > 1) {
    add("attempt", run.attempt, "", logged);
    add("attempts in the file", run.attempts, "", logged);
  }
  const double back = phases.clock_back_s, outside = phases.staging_outside_more_s;
  add("run", run.run_s, "s", logged, back);
  if (run.target_met) {
    add("time to train", run.run_s, "s", logged, back);
    add("time to train with staging", run.run_s + run.staging_outside_s, "s", logged, back + outside);
    // What may be staging besides would be taken away too: no bound, so no figure. Beside training it has no time.
    if (!phases.more_s.contains(Phase::staging) && !run.facts.staged_beside)
      add("time to train without staging", run.run_s - run.terms.staging_s, "s", logged, back);
  }
  add("staging outside the clock", run.staging_outside_s, "s", logged, outside);
  add("term staging inside the clock", run.terms.staging_s, "s", logged, more(Phase::staging));
  const double waited = waited_for_another_run(files);
  if (waited > 0.0) add("waiting for another run", waited, "s", logged);
  add("term training", run.terms.training_s, "s", logged, more(Phase::training));
  add("term cold first epoch", run.terms.cold_first_epoch_s, "s", modelled);
  add("term evaluation", run.terms.evaluation_s, "s", logged, more(Phase::evaluation));
  add("term rest", run.terms.rest_s, "s", logged, more(Phase::rest));
  if (run.terms.undecided_s > 0.0) add("term undecided", run.terms.undecided_s, "s", logged);
  if (phases.evaluation_beside_s > 0.0) add("evaluation beside training", phases.evaluation_beside_s, "s", logged);
  const auto steps = files.beside.figures.find("steps");
  const auto step = files.beside.figures.find("step_median_s");
  if (steps != files.beside.figures.end() && step != files.beside.figures.end()) {
    add("steps", steps->second, "", measured);
    add("median step", step->second * 1e3, "ms", measured);
    add("steps x median step", steps->second * step->second, "s", modelled);
  }
  const auto upload = files.beside.figures.find("upload_s");
  const auto exposed = files.beside.figures.find("upload_exposed_s");
  if (steps != files.beside.figures.end() && steps->second > 0.0 && upload != files.beside.figures.end() &&
      exposed != files.beside.figures.end()) {
    add("upload a step", upload->second / steps->second * 1e3, "ms", measured);
    add("upload a step, exposed", exposed->second / steps->second * 1e3, "ms", measured);
  }
  if (files.beside.staged_beside) {
    add("samples read from the source", files.beside.from_source.value_or(0.0), "", measured);
    add("samples read from the target", files.beside.from_target.value_or(0.0), "", measured);
  }
  if (files.beside.staged_bytes && files.beside.staging_s && *files.beside.staged_bytes > 0.0) {
    add("staged", *files.beside.staged_bytes / 1048576.0, "MiB", measured);
    // Copies beside training give way to it, and hashing what is there takes time without copying.
    if (*files.beside.staging_s > 0.0 && !run.facts.staged_beside && !run.facts.found_staged)
      add("staging rate", *files.beside.staged_bytes / 1048576.0 / *files.beside.staging_s, "MiB/s", measured);
  }
}

/// Whether the first epoch is the run's: one that goes on from a checkpoint has no time to train of its own.
bool from_scratch(const RunReport& run, const RunFiles& files) {
  const auto lost = [](const LogFlaw& flaw) { return flaw.lost; };
  if (run.epochs.empty() || std::ranges::any_of(files.log.flaws, lost)) return true;
  const EpochReport& first = run.epochs.front();
  const int step = report::epoch_step(run.epochs);
  const double batch = files.count("global_batch_size").value_or(0.0);
  if (run.epochs.size() == 1 && batch > 1.0 && std::fmod(first.number, batch) == 0.0) return true;  // counts samples
  return first.number - first.epochs <= (first.epochs == 1 ? step - 1 : 0);
}

void add_learning_figures(RunReport& run, const RunFiles& files, const Phases& phases) {
  const auto hit = std::find_if(run.epochs.begin(), run.epochs.end(),
                                [&run](const auto& each) { return each.metric && reaches(run, *each.metric); });
  const bool succeeded = run.status.empty() || run.status == word(Ending::success);
  const bool scratch = from_scratch(run, files);
  run.target_met = run.finished && succeeded && scratch && !phases.restarted && hit != run.epochs.end();
  if (!scratch)
    run.notes.push_back(
        fmt::format("training begins with epoch {}: what came before is not in these records, so there is "
                    "no time to train",
                    run.epochs.front().number));
  add_time_figures(run, files, phases);
  report::add_recorded_figures(run, files);
  report::add_rate_figures(run, files);
  if (run.target) run.figures.push_back({"target metric", *run.target, "", FigureSource::given});
  using report::EpochNumbers;
  const auto [numbers, step] = report::numbering_of(phases, files);
  const bool from_zero = !run.epochs.empty() && run.epochs[0].number == 0 &&
                         (numbers == EpochNumbers::samples || (numbers == EpochNumbers::passes && step == 1));
  if (from_zero) run.notes.push_back("epochs are numbered from 0: what they count is one more of them");
  const double reached = hit == run.epochs.end() || phases.misplaced ? 0.0 : hit->number + (from_zero ? step : 0);
  if (reached > 0.0 && numbers == EpochNumbers::samples)
    run.figures.push_back({"samples to target", reached, "", hit->metric_source});
  else if (reached > 0.0 && numbers == EpochNumbers::passes && !phases.restarted)
    run.figures.push_back({"epochs to target", reached, "", hit->metric_source});
  else if (hit == run.epochs.end() && run.target && run.finished && run.status == word(Ending::success))
    run.notes.push_back("status is success, but no metric reaches the target: there is no time to train");
  for (auto epoch = run.epochs.rbegin(); epoch != run.epochs.rend(); ++epoch) {
    if (!epoch->metric) continue;
    run.figures.push_back({"last metric", *epoch->metric, "", epoch->metric_source});
    break;
  }
}

/// Counts that cannot be: the figures that need them are left out.
void add_wrong_counts(RunReport& run, const RunFiles& files) {
  for (const char* key : {"train_samples", "eval_samples", "global_batch_size", "number_of_ranks", "number_of_nodes",
                          "accelerators_per_node"}) {
    const auto number = files.number(key);
    const bool none_of_them = number == 0.0 && key == std::string_view("accelerators_per_node");  // of CPUs
    if (number && !files.count(key) && !none_of_them)
      run.notes.push_back(fmt::format("{} is {}, which counts nothing: it is left out", key, *number));
  }
}

/// Lines that the log holds and the report does not, or not as they stand.
void add_flaws(RunReport& run, const std::vector<LogFlaw>& flaws) {
  constexpr int most = 8;
  std::string lost;
  int losses = 0, mended = 0;
  for (const LogFlaw& flaw : flaws) {
    if (flaw.lost) {
      if (++losses <= most)
        lost += fmt::format("{}{}{}", losses > 1 ? ", " : "", flaw.line,
                            flaw.key.empty() ? "" : fmt::format(" ({})", flaw.key));
    } else if (++mended <= most) {
      run.notes.push_back(fmt::format("line {} {}: what is whole was read", flaw.line, flaw.message));
    }
  }
  if (losses > 0)
    run.notes.push_back(
        fmt::format("records that cannot be read, and are in no figure: {}, in line {}{}; what "
                    "they started or ended may stand in another term",
                    losses, lost, losses > most ? " ..." : ""));
  if (mended > most) run.notes.push_back(fmt::format("and {} more such lines", mended - most));
}

void add_notes(RunReport& run, const RunFiles& files, const Phases& phases) {
  const auto append = [&run](const std::vector<std::string>& notes) {
    run.notes.insert(run.notes.end(), notes.begin(), notes.end());
  };
  append(files.log.notes);
  append(files.beside.notes);
  add_flaws(run, files.log.flaws);
  add_wrong_counts(run, files);
  append(phases.notes);
  if (!run.finished)
    run.notes.push_back("the log has no run_stop: times end at its last record, there is no time to train");
  if (run.status == word(Ending::aborted)) run.notes.push_back("the run was aborted: there is no time to train");
  if (run.status == word(Ending::fixed_work_done))
    run.notes.push_back("a run for fixed work: it has rates, but no time to train");
  if (std::count_if(run.epochs.begin(), run.epochs.end(), [](const auto& each) { return each.whole; }) < 3)
    run.notes.push_back("fewer than three whole epochs: no cold first epoch can be told");
  else if (!run.epochs.front().whole)
    run.notes.push_back("the first epoch is not whole: no cold first epoch can be told");
  for (const EpochReport& epoch : run.epochs)
    if (epoch.slow) run.notes.push_back(fmt::format("epoch {} is slow: more than 1.5 x the median", epoch.number));
  if (run.staging_outside_s > 0.0)
    run.notes.push_back("staging stood outside the clock; compare with earlier rounds only with it added");
  if (run.facts.found_staged)
    run.notes.push_back(
        fmt::format("{:.1f} MiB of the set were there already: its staging is not what staging the set takes",
                    files.beside.reused_bytes / 1048576.0));
  if (run.facts.staged_beside && files.beside.from_source == 0.0)
    run.notes.push_back("staging was to go on beside training, and all was there already");
  else if (run.facts.staged_beside)
    run.notes.push_back(
        "staging went on beside training: what it cost is in the terms of training, evaluation and rest, and the first "
        "epochs read the source");
  if (run.generated_data) run.labels.emplace_back(generated_label);
  run.labels.push_back("Result not verified by MLCommons Association");
}

void add_roofline_figures(RunReport& run) {
  if (run.roofline.bound_s > 0.0)
    run.figures.push_back({"step at its bound", 1e3 * run.roofline.bound_s, "ms", FigureSource::modelled});
  if (const std::optional<double> gap = run.roofline.gap())
    run.figures.push_back({"step over its bound", *gap, "", FigureSource::modelled});
}

/// Seconds since 1970 of the years 1998 to 2096 would be milliseconds of January and February 1970.
void require_milliseconds(const std::filesystem::path& log, const LogRecord& first) {
  if (first.time_ms < 0.9e9 || first.time_ms > 4e9) return;
  throw Error(
      ExitCode::usage,
      Complaint{log.string(), fmt::format("time_ms is {:.0f} in its first record, which is in seconds", first.time_ms),
                "all times would be a thousand times too short", "log time_ms in milliseconds since 1970"});
}

RunReport report_on(RunFiles files) {
  const Phases phases = report::cut_into_phases(files.log.records, files.log.flaws);
  if (const std::string why = report::of_another_run(files, phases.epochs); !why.empty()) {
    files.beside = {};
    files.beside.notes = {"what lies beside the log is another run's, and is left out: " + why};
  }
  RunReport run;
  set_identity(run, files, phases);
  run.epochs = phases.epochs;
  run.stretches = phases.stretches;
  run.ranks = files.beside.ranks;
  report::set_rates(run, files, phases);
  report::identify(run, files);
  set_terms(run, phases);
  add_learning_figures(run, files, phases);
  run.roofline = report::roofline_of(run, files.beside);
  add_roofline_figures(run);
  add_notes(run, files, phases);
  return run;
}

}  // namespace

std::vector<RunReport> report_runs(const std::filesystem::path& log) {
  const LogText text = read_log(read_log_file(log));
  if (text.records.empty())
    throw Error(ExitCode::usage, Complaint{log.string(),
                                           "has no \":::MLLOG\" record that can be read",
                                           {},
                                           "name an MLPerf log (trainmark check tells more)"});
  require_milliseconds(log, text.records.front());
  std::vector<RunReport> runs;
  for (report::Attempt& attempt : report::attempts_of(text, log)) {
    const bool last = attempt.number == attempt.count;
    RunFiles files{log.string(), std::move(attempt), last ? report::read_companions(log) : report::Companions{}};
    runs.push_back(report_on(std::move(files)));
  }
  std::ranges::stable_partition(runs, &RunReport::target_met);
  return runs;
}

}  // namespace trainmark
