// An epoch's rate is what the run measured; else all training samples over the epoch's time, where an epoch is one pass
// over them. Where its number says that it is not, the log's own throughput, or the samples that the numbers count.
#include "report/analyse/rates.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace trainmark::report {
namespace {

/// What epochs.csv knows is measured by the run's own steady clock and counts the samples that were really trained.
void add_measured(RunReport& run, const Companions& beside) {
  for (EpochReport& epoch : run.epochs) {
    for (const Row& row : beside.epochs) {
      if (row.at("epoch") != epoch.number) continue;
      const auto take = [&row](const char* name, std::optional<double>& into) {
        const auto found = row.find(name);
        if (found != row.end()) into = found->second;
        return found != row.end();
      };
      take("wait_for_input_s", epoch.wait_for_input_s);
      if (take("samples_per_s", epoch.samples_per_s)) epoch.rate_source = FigureSource::measured;
      if (!epoch.metric && take("eval_metric", epoch.metric)) epoch.metric_source = FigureSource::measured;
    }
  }
}

/// The throughput that the log itself holds of each epoch: of the epoch named, else of the latest begun; the median of
/// several. tracked_stats is what published logs have.
std::vector<std::optional<double>> logged_rates(const RunReport& run, const RunFiles& files) {
  std::vector<std::vector<double>> values(run.epochs.size());
  std::size_t begun = 0;
  for (const LogRecord& record : files.log.records) {
    begun += record.key == "epoch_start";
    std::optional<double> rate;
    if (record.key == "tracked_stats") rate = number_of(record.fields, "throughput");
    if (record.key == "throughput") rate = number_of(record.value);
    if (!rate || !std::isfinite(*rate) || *rate <= 0.0) continue;
    std::size_t epoch = std::min(begun, run.epochs.size());
    for (std::size_t i = 0; i < run.epochs.size(); ++i)
      if (number_of(record.metadata, "epoch_num") == run.epochs[i].number) epoch = i + 1;
    if (epoch > 0) values[epoch - 1].push_back(*rate);
  }
  std::vector<std::optional<double>> rates;
  for (std::vector<double>& of_epoch : values)
    rates.push_back(of_epoch.empty() ? std::nullopt : std::optional(median_of(std::move(of_epoch))));
  return rates;
}

/// Samples of one epoch by the log's own words: those of the set, unless epochs are numbered by something else.
struct EpochSize {
  std::optional<double> samples;
  FigureSource source = FigureSource::logged;
};

EpochSize size_of_epochs(RunReport& run, const RunFiles& files, const Phases& phases) {
  const auto [numbers, step] = numbering_of(phases, files);
  if (numbers == EpochNumbers::samples) {
    run.notes.push_back(fmt::format("epochs are numbered by samples, {} each: train_samples is no epoch's size", step));
    return {step, FigureSource::modelled};
  }
  if (numbers == EpochNumbers::unknown) {
    run.notes.push_back(fmt::format(
        "epochs are numbered in {}, and nothing tells how many samples one has: there are no "
        "epochs to target, and no rates but the log's own",
        step > 1 ? fmt::format("steps of {}, of samples or of iterations", step) : "fractions, or several alike"));
    return {};
  }
  if (step == 1) return {files.count("train_samples"), FigureSource::logged};
  run.notes.push_back(fmt::format("epochs are numbered in steps of {}: how many samples one has is not known", step));
  return {};
}

/// Whether what the log says of its throughput and what its epochs' times say are of different things.
bool contradict(const RunReport& run, const EpochSize& size, const std::vector<std::optional<double>>& logged) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < run.epochs.size(); ++i) {
    const EpochReport& epoch = run.epochs[i];
    if (epoch.whole && logged[i] && epoch.train_s > 0.0)
      ratios.push_back(*size.samples * epoch.epochs / epoch.train_s / *logged[i]);
  }
  const double ratio = median_of(ratios);
  return !ratios.empty() && (ratio > 2.0 || ratio < 0.5);
}

void add_derived(RunReport& run, const RunFiles& files, const Phases& phases) {
  EpochSize size = size_of_epochs(run, files, phases);
  const std::vector<std::optional<double>> logged = logged_rates(run, files);
  const bool told = std::ranges::any_of(logged, [](const auto& each) { return each.has_value(); });
  // Ours counts the samples that were trained by the steady clock; epochs may leave some out or take some twice.
  const bool ours = !files.text("trainmark_config").empty();
  bool use_logged = told && (ours || !size.samples || size.source == FigureSource::modelled);
  if (size.samples && !use_logged && contradict(run, size, logged)) {
    run.notes.push_back(
        "train_samples over the epochs' times is not the throughput that the log states, by more than a "
        "factor of 2: the epochs are not whole passes, rates are the log's");
    use_logged = true;
  }
  for (std::size_t i = 0; i < run.epochs.size(); ++i) {
    EpochReport& epoch = run.epochs[i];
    if (!epoch.whole || epoch.samples_per_s) continue;
    if (use_logged) {
      epoch.samples_per_s = logged[i];
    } else if (size.samples && epoch.train_s > 0.0) {
      epoch.samples_per_s = *size.samples * epoch.epochs / epoch.train_s;
      epoch.rate_source = size.source;
    }
  }
}

}  // namespace

int epoch_step(const std::vector<EpochReport>& epochs) {
  int step = 0;
  for (std::size_t i = 1; i < epochs.size(); ++i) {
    const int grown = epochs[i].number - epochs[i - 1].number;
    if (epochs[i].epochs > 1 || epochs[i - 1].epochs > 1 || grown < 1) return 1;
    step = step == 0 ? grown : std::min(step, grown);
  }
  return std::max(1, step);
}

EpochNumbering numbering_of(const Phases& phases, const RunFiles& files) {
  const int step = epoch_step(phases.epochs);
  if (phases.uncountable) return {EpochNumbers::unknown, step};
  const double batch = files.count("global_batch_size").value_or(0.0);
  const auto of_batches = [batch](int number) { return number > 1 && batch > 1.0 && std::fmod(number, batch) == 0.0; };
  const bool openfold = files.text("submission_benchmark") == "openfold";
  const bool only_one = phases.epochs.size() == 1 && phases.epochs[0].epochs == 1;
  if (openfold && only_one && of_batches(phases.epochs[0].number))
    return {EpochNumbers::samples, phases.epochs[0].number};
  if (!of_batches(step)) return {EpochNumbers::passes, step};
  return {openfold ? EpochNumbers::samples : EpochNumbers::unknown, step};
}

double processes_of(const RunFiles& files) {
  if (const auto ranks = files.count("number_of_ranks")) return *ranks;
  const auto ranks = files.beside.figures.find("ranks");
  if (ranks != files.beside.figures.end()) return ranks->second;
  if (files.log.of_many) return 0.0;  // published instances name the whole machine's nodes
  return files.count("number_of_nodes").value_or(0.0) * files.count("accelerators_per_node").value_or(0.0);
}

void set_rates(RunReport& run, const RunFiles& files, const Phases& phases) {
  add_measured(run, files.beside);
  const bool succeeded = run.finished && (run.status.empty() || run.status == word(Ending::success));
  // Programs close what is open when they end early, and fixed work may end within an epoch.
  if (!succeeded && !run.epochs.empty())
    run.epochs.back().whole = run.epochs.back().rate_source == FigureSource::measured;
  add_derived(run, files, phases);
  std::vector<double> times;
  for (const EpochReport& epoch : run.epochs)
    if (epoch.whole) times.push_back(epoch.train_s / epoch.epochs);
  const double median = median_of(times);
  for (EpochReport& epoch : run.epochs)
    epoch.slow = times.size() >= 3 && epoch.train_s / epoch.epochs > 1.5 * median;
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
  const auto logged = files.count("number_of_ranks");
  const double processes = processes_of(files);
  if (!rates.empty()) {
    add("samples/s median epoch", median_of(rates), "1/s", source);
    add("samples/s slowest epoch", *std::min_element(rates.begin(), rates.end()), "1/s", source);
    add("samples/s fastest epoch", *std::max_element(rates.begin(), rates.end()), "1/s", source);
  }
  if (!rates.empty() && processes > 0.0) {
    const bool ranks = logged || files.beside.figures.contains("ranks");
    add(ranks ? "ranks" : "accelerators", processes, "",
        ranks && !logged ? FigureSource::measured : FigureSource::logged);
    add(ranks ? "samples/s a rank" : "samples/s an accelerator", median_of(rates) / processes, "1/s", source);
    const double batch = files.count("global_batch_size").value_or(processes);
    if (batch < processes)
      run.notes.push_back(
          fmt::format("a batch of {} samples on {} {}: not each trains a sample of its own, or the count "
                      "is of more than this run",
                      batch, processes, ranks ? "ranks" : "accelerators"));
  }
  const double machine =
      files.count("number_of_nodes").value_or(0.0) * files.count("accelerators_per_node").value_or(0.0);
  if (logged && machine > 0.0 && machine != *logged)
    run.notes.push_back(
        fmt::format("number_of_ranks says {}, nodes x accelerators {}: an instance of several may name "
                    "the whole machine; rates a rank are over the ranks",
                    *logged, machine));
  const auto all = files.beside.figures.find("samples_per_s");
  if (all != files.beside.figures.end()) add("samples/s over all steps", all->second, "1/s", FigureSource::measured);
  if (trained > 0.0) add("wait for input share of training", 100.0 * waited / trained, "%", FigureSource::measured);
}

}  // namespace trainmark::report
