// From what a run left behind to its figures. The log decides about times and outcome; the files beside it add what a
// log cannot hold.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "report/parse.hpp"
#include "report/phases.hpp"

namespace trainmark {
namespace {

using report::number_of;
using report::Phases;
using report::RunFiles;

double median_of(std::vector<double> values) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

struct Goal {
  std::string_view benchmark;
  double target;
  bool lower_is_better;
};
constexpr Goal goals[] = {{"cosmoflow", 0.124, true},
                          {"deepcam", 0.82, false},
                          {"resnet", 0.759, false},
                          {"oc20", 0.036, true},
                          {"openfold", 0.8, false}};

bool reaches(const RunReport& run, double metric) {
  if (!run.target || std::isnan(metric)) return false;
  return run.lower_is_better ? metric <= *run.target : metric >= *run.target;
}

void set_identity(RunReport& run, const RunFiles& files, const Phases& phases) {
  run.path = files.path;
  run.benchmark = report::text_of(files.records, "submission_benchmark");
  run.division = report::text_of(files.records, "submission_division");
  run.organisation = report::text_of(files.records, "submission_org");
  run.platform = report::text_of(files.records, "submission_platform");
  // A log knows success and aborted only; run.json tells fixed work from a run that broke off.
  run.status = files.status.empty() ? phases.status : files.status;
  run.finished = phases.finished;
  for (const Goal& goal : goals) {
    if (goal.benchmark != run.benchmark) continue;
    run.target = goal.target;
    run.lower_is_better = goal.lower_is_better;
  }
  if (const auto own = files.figures.find("target_metric"); own != files.figures.end()) run.target = own->second;
  if (run.status == "fixed_work_done") run.target.reset();  // the config's default, which nobody aimed at
}

/// What epochs.csv knows is measured by the run's own steady clock and counts the samples that were really trained.
void add_measured_epochs(RunReport& run, const RunFiles& files) {
  for (EpochReport& epoch : run.epochs) {
    for (const report::Row& row : files.epochs) {
      if (row.at("epoch") != epoch.number) continue;
      const auto take = [&row](const char* name, std::optional<double>& into) {
        if (const auto found = row.find(name); found != row.end()) into = found->second;
      };
      take("wait_for_input_s", epoch.wait_for_input_s);
      take("samples_per_s", epoch.samples_per_s);
      if (epoch.samples_per_s) epoch.rate_source = FigureSource::measured;
      if (!epoch.metric) take("eval_metric", epoch.metric);
    }
  }
}

void set_epochs(RunReport& run, const RunFiles& files, const Phases& phases) {
  run.epochs = phases.epochs;
  add_measured_epochs(run, files);
  const auto samples = number_of(files.records, "train_samples");
  const bool succeeded = run.finished && (run.status.empty() || run.status == "success");
  std::vector<double> times;
  for (EpochReport& epoch : run.epochs) {
    // Programs close what is open when they end early, and fixed work may end within an epoch.
    if (!succeeded && &epoch == &run.epochs.back()) epoch.whole = epoch.rate_source == FigureSource::measured;
    if (!epoch.whole) continue;
    if (!epoch.samples_per_s && samples && epoch.train_s > 0.0)
      epoch.samples_per_s = *samples * epoch.epochs / epoch.train_s;
    times.push_back(epoch.train_s / epoch.epochs);
  }
  const double median = median_of(times);
  for (EpochReport& epoch : run.epochs)
    epoch.slow = times.size() >= 3 && epoch.train_s / epoch.epochs > 1.5 * median;
}

void set_terms(RunReport& run, const Phases& phases) {
  run.run_s = phases.run_s;
  run.staging_outside_s = phases.staging_outside_s;
  TimeTerms& terms = run.terms;
  terms = {phases.staging_s, phases.training_s, 0.0, phases.evaluation_s, phases.rest_s};
  std::vector<double> others;
  for (const EpochReport& epoch : run.epochs)
    if (&epoch != &run.epochs.front() && epoch.whole) others.push_back(epoch.train_s / epoch.epochs);
  if (others.size() < 2) return;  // no median worth the name
  const EpochReport& first = run.epochs.front();
  terms.cold_first_epoch_s = std::clamp(first.train_s - median_of(others) * first.epochs, 0.0, first.train_s);
  terms.training_s -= terms.cold_first_epoch_s;
}

void add_time_figures(RunReport& run, const RunFiles& files) {
  const auto add = [&run](const char* name, double value, const char* unit, FigureSource source) {
    run.figures.push_back({name, value, unit, source});
  };
  using enum FigureSource;
  add("run", run.run_s, "s", logged);
  if (run.target_met) {
    add("time to train", run.run_s, "s", logged);
    add("time to train with staging", run.run_s + run.staging_outside_s, "s", logged);
    add("time to train without staging", run.run_s - run.terms.staging_s, "s", logged);
  }
  add("staging outside the clock", run.staging_outside_s, "s", logged);
  add("term staging inside the clock", run.terms.staging_s, "s", logged);
  add("term training", run.terms.training_s, "s", logged);
  add("term cold first epoch", run.terms.cold_first_epoch_s, "s", modelled);
  add("term evaluation", run.terms.evaluation_s, "s", logged);
  add("term rest", run.terms.rest_s, "s", logged);
  const auto steps = files.figures.find("steps");
  const auto step = files.figures.find("step_median_s");
  if (steps != files.figures.end() && step != files.figures.end()) {
    add("steps", steps->second, "", measured);
    add("median step", step->second * 1e3, "ms", measured);
    add("steps x median step", steps->second * step->second, "s", modelled);
  }
  const auto upload = files.figures.find("upload_s");
  const auto exposed = files.figures.find("upload_exposed_s");
  if (steps != files.figures.end() && steps->second > 0.0 && upload != files.figures.end() &&
      exposed != files.figures.end()) {
    add("upload a step", upload->second / steps->second * 1e3, "ms", measured);
    add("upload a step, exposed", exposed->second / steps->second * 1e3, "ms", measured);
  }
  if (files.staged_bytes && files.staging_s && *files.staged_bytes > 0.0) {
    add("staged", *files.staged_bytes / 1048576.0, "MiB", measured);
    if (*files.staging_s > 0.0)
      add("staging rate", *files.staged_bytes / 1048576.0 / *files.staging_s, "MiB/s", measured);
  }
}

double processes_of(const RunFiles& files) {
  if (const auto ranks = number_of(files.records, "number_of_ranks")) return *ranks;
  if (const auto ranks = files.figures.find("ranks"); ranks != files.figures.end()) return ranks->second;
  return number_of(files.records, "number_of_nodes").value_or(0.0) *
         number_of(files.records, "accelerators_per_node").value_or(0.0);
}

void add_rate_figures(RunReport& run, const RunFiles& files) {
  std::vector<double> rates;
  FigureSource source = FigureSource::measured;
  double waited = 0.0, trained = 0.0;
  for (const EpochReport& epoch : run.epochs) {
    if (epoch.samples_per_s) rates.push_back(*epoch.samples_per_s);
    if (epoch.samples_per_s && epoch.rate_source != FigureSource::measured) source = epoch.rate_source;
    if (epoch.wait_for_input_s) {
      waited += *epoch.wait_for_input_s;
      trained += epoch.train_s;
    }
  }
  const auto add = [&run](const char* name, double value, const char* unit, FigureSource from) {
    run.figures.push_back({name, value, unit, from});
  };
  if (!rates.empty()) {
    add("samples/s median epoch", median_of(rates), "1/s", source);
    add("samples/s slowest epoch", *std::min_element(rates.begin(), rates.end()), "1/s", source);
    add("samples/s fastest epoch", *std::max_element(rates.begin(), rates.end()), "1/s", source);
    if (const double processes = processes_of(files); processes > 0.0) {
      const bool ranks = number_of(files.records, "number_of_ranks").has_value() || files.figures.contains("ranks");
      add(ranks ? "ranks" : "accelerators", processes, "", FigureSource::logged);
      add(ranks ? "samples/s a rank" : "samples/s an accelerator", median_of(rates) / processes, "1/s", source);
    }
  }
  if (const auto all = files.figures.find("samples_per_s"); all != files.figures.end())
    add("samples/s over all steps", all->second, "1/s", FigureSource::measured);
  if (trained > 0.0) add("wait for input share of training", 100.0 * waited / trained, "%", FigureSource::measured);
}

void add_learning_figures(RunReport& run, const RunFiles& files) {
  const auto hit = std::find_if(run.epochs.begin(), run.epochs.end(),
                                [&run](const auto& each) { return each.metric && reaches(run, *each.metric); });
  const bool succeeded = run.status.empty() || run.status == "success";
  run.target_met = run.finished && succeeded && hit != run.epochs.end();
  add_time_figures(run, files);
  add_rate_figures(run, files);
  if (run.target) run.figures.push_back({"target metric", *run.target, "", FigureSource::logged});
  if (hit != run.epochs.end())
    run.figures.push_back({"epochs to target", static_cast<double>(hit->number), "", FigureSource::logged});
  for (auto epoch = run.epochs.rbegin(); epoch != run.epochs.rend(); ++epoch) {
    if (!epoch->metric) continue;
    run.figures.push_back({"last metric", *epoch->metric, "", FigureSource::logged});
    break;
  }
}

/// The config that our own logs carry; its seed and folders say nothing about speed.
nlohmann::json config_of(const RunFiles& files) {
  nlohmann::json config = nlohmann::json::parse(report::text_of(files.records, "trainmark_config"), nullptr, false);
  return config.is_object() ? config : nlohmann::json::object();
}

void set_comparability(RunReport& run, const RunFiles& files) {
  const nlohmann::json config = config_of(files);
  for (const LogRecord& record : files.records) {
    const auto* note = std::get_if<std::string>(&record.value);
    const bool generated = note != nullptr && note->starts_with("generated data");
    run.generated_data = run.generated_data || (record.key == "trainmark_note" && generated);
  }
  if (run.benchmark != "cosmoflow") {
    run.incomparable.push_back(fmt::format("the published results kept here are of cosmoflow, this is {}",
                                           run.benchmark.empty() ? "of no named benchmark" : run.benchmark));
    return;
  }
  if (run.division != "closed") run.incomparable.push_back("not of the closed division");
  const auto model = config.find("model");
  if (model != config.end() && model->is_object()) {
    const auto extent = model->find("extent");
    if (extent != model->end() && extent->is_number() && extent->get<double>() != 128.0)
      run.incomparable.push_back(fmt::format("samples of extent {}, not 128", extent->get<double>()));
  }
  const double samples = number_of(files.records, "train_samples").value_or(0.0);
  if (samples < 262144) run.incomparable.push_back(fmt::format("{} training samples, not 524288", samples));
}

void set_configuration(RunReport& run, const RunFiles& files) {
  nlohmann::json config = config_of(files);
  for (const char* key : {"seed", "results", "watchdog"})
    config.erase(key);
  nlohmann::json signature = {run.benchmark, run.division, run.organisation, run.platform, processes_of(files)};
  for (const char* key :
       {"number_of_nodes", "accelerators_per_node", "global_batch_size", "train_samples", "precision"})
    signature.push_back(
        fmt::format("{} {}", number_of(files.records, key).value_or(0.0), report::text_of(files.records, key)));
  signature.push_back(std::move(config));
  run.configuration = signature.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void add_notes(RunReport& run, const RunFiles& files) {
  run.notes = files.notes;
  if (!run.finished)
    run.notes.push_back("the log has no run_stop: times end at its last record, there is no time to train");
  if (run.status == "aborted") run.notes.push_back("the run was aborted: there is no time to train");
  if (run.status == "fixed_work_done") run.notes.push_back("a run for fixed work: it has rates, but no time to train");
  if (std::count_if(run.epochs.begin(), run.epochs.end(), [](const auto& each) { return each.whole; }) < 3)
    run.notes.push_back("fewer than three whole epochs: no cold first epoch can be told");
  for (const EpochReport& epoch : run.epochs)
    if (epoch.slow) run.notes.push_back(fmt::format("epoch {} is slow: more than 1.5 x the median", epoch.number));
  if (run.staging_outside_s > 0.0)
    run.notes.push_back("staging stood outside the clock; compare with earlier rounds only with it added");
  if (run.generated_data) run.labels.push_back("generated data: not an MLPerf result");
  run.labels.push_back("Result not verified by MLCommons Association");
}

}  // namespace

RunReport report_run(const std::filesystem::path& log) {
  const RunFiles files = report::read_run_files(log);
  const Phases phases = report::cut_into_phases(files.records);
  if (!phases.started)
    throw Error(ExitCode::usage, Complaint{log.string(), "has no run_start record", "without it nothing is timed",
                                           "name the log of a run that began to train"});
  RunReport run;
  set_identity(run, files, phases);
  set_epochs(run, files, phases);
  set_terms(run, phases);
  add_learning_figures(run, files);
  set_comparability(run, files);
  set_configuration(run, files);
  add_notes(run, files);
  return run;
}

}  // namespace trainmark
