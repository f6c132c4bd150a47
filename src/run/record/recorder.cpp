#include "run/record/recorder.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <set>
#include <sstream>

#include "mllog/utf8.hpp"
#include "run/record/staging_told.hpp"
#include "run/record/steps_told.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace {

double peak_memory_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

/// Of ranks.csv; empty where a device has no sensors.
std::string sensor_columns(const SensorLog& sensors) {
  if (sensors.empty()) return ",,";
  return fmt::format("{:.1f},{},\"{}\"", sensors.mean_watts(), sensors.least_core_mhz(), sensors.throttled_by());
}

struct StagedBytes {
  std::int64_t copied = 0, reused = 0, read = 0;
};
StagedBytes bytes_of(const StagedDataset& dataset) {
  StagedBytes bytes;
  for (const Staged* split : {&dataset.train, &dataset.validation}) {
    for (const NodeStaging& node : split->nodes) {
      bytes.copied += node.bytes_copied;
      bytes.reused += node.bytes_reused;
      bytes.read += node.bytes_read;
    }
  }
  return bytes;
}

/// "the loss was not finite in 3 of 8 steps, first in step 6"; empty where all was finite.
std::string divergence_of(const TrainOutcome& trained, const std::string& metric) {
  std::string text;
  if (trained.losses_not_finite > 0) {
    text = fmt::format("the loss was not finite in {} of {} steps, first in step {}", trained.losses_not_finite,
                       trained.steps, trained.first_loss_not_finite);
  }
  if (trained.metrics_not_finite > 0) {
    text += fmt::format("{}{} was not finite in {} of {} evaluations", text.empty() ? "" : "; ", metric,
                        trained.metrics_not_finite, trained.epochs);
  }
  return text;
}

}  // namespace

Recorder::Recorder(const World& world, const RunOptions& options, Results& results, Timeline& timeline,
                   Progress& progress)
    : world_(world), options_(options), results_(results), timeline_(timeline), progress_(progress) {
  if (options.submission.generated_data) record_.labels.emplace_back(generated_label);
  for (std::string& label : labels_of(options))
    record_.labels.push_back(std::move(label));
  record_.labels.emplace_back(word(options.submission.division));
  record_.labels.emplace_back("Result not verified by MLCommons Association");
  record_.texts["precision"] = word(options.train.precision);
  record_.texts["until"] = word(options.train.until);
  record_.texts["metric"] = target_of(options).key;
  record_.figures["seed"] = options.seed;
  record_.figures["ranks"] = world.all().size();
  record_.figures["nodes"] = world.nodes();
  record_.figures["global_batch_samples"] = options.train.global_batch;
  record_.figures["mpi_init_s"] = world.init_seconds();
}

void Recorder::launch(const Backend& backend, const RunContext& context) {
  const Precision precision = computed_in(backend, options_.train.precision);
  record_.texts["backend"] = backend.description();
  record_.texts["precision"] = word(precision);
  Placement placement = placement_of(world_);
  placement.asked_cpus = context.job.cpus_a_rank;
  placement.cpus_cure = context.job.cpus_cure;
  results_.environment(context.environment_json, world_.all().gather(to_json_text(placement)), backend.description());
  diagnose(LogLevel::info, [&] {
    return fmt::format("process {} on {} CPUs{}{}; {}", getpid(), placement.cores.size(),
                       placement.share.quota_source.empty() ? "" : ", limited to ", placement.share.quota_source,
                       backend.description());
  });
  diagnose(LogLevel::debug, [&] {
    return fmt::format("may run on CPUs {} of NUMA nodes {}; its share of the node is {} CPUs",
                       fmt::join(placement.cores, ","), fmt::join(placement.numa_nodes, ","), placement.share.cpus);
  });
  tell_of_threads(backend, placement);
  if (options_.backend.overlap == Overlap::on && world_.all().size() > 1 && !backend.overlaps()) {
    progress_.line(
        "warning: /backend/overlap is \"on\", but this MPI gives no MPI_THREAD_MULTIPLE: gradients are reduced inline");
  }
  if (options_.train.precision == Precision::bf16 && backend.description().find("bf16 emulated") != std::string::npos) {
    progress_.line("warning: this CPU has no bf16 instructions: they are emulated, and slower than fp32");
  }
  if (precision != options_.train.precision) {
    progress_.line("warning: /train/precision is \"tf32\", which is a GPU's: this run computes in fp32");
  }
  progress_.line(fmt::format("{}: {} on {} rank{}, {} node{}; global batch {}, {}, {}", options_.name,
                             benchmark_of(options_.recipe.model), world_.all().size(),
                             world_.all().size() == 1 ? "" : "s", world_.nodes(), world_.nodes() == 1 ? "" : "s",
                             options_.train.global_batch, word(precision), backend.description()));
  if (!context.order_of_sums.empty() && backend.name() != "cpu") {
    record_.texts["order_of_sums"] = context.order_of_sums;
    progress_.line("deterministic: sums over ranks with " + context.order_of_sums);
  }
  progress_.line(fmt::format("results in {}", results_.folder().string()));
  results_.conclude(record_);  // status "running": a job that is killed leaves at least this
}

void Recorder::tell_of_threads(const Backend& backend, const Placement& placement) {
  const int computing = backend.emulates() || backend.name() == "cuda" ? 0 : backend.threads();
  std::string mine = crowding(world_, placement, {computing, 2 * options_.load.threads, backend.overlaps()});
  if (!mine.empty()) diagnose(LogLevel::warn, [&] { return mine; });
  if (world_.node().rank() != 0) mine.clear();
  if (const std::string caveat = backend.caveat(); !caveat.empty()) mine += (mine.empty() ? "" : "\n") + caveat;
  std::set<std::string> told;  // what is wrong on every rank is said once
  for (const std::string& each : world_.all().gather(mine)) {
    std::istringstream lines(each);
    for (std::string line; std::getline(lines, line);) {
      if (told.insert(line).second) progress_.line("warning: " + line);
    }
  }
}

void Recorder::initialised(const Compiled& compiled, const Backend& backend) {
  // Only recording a step shows whether it can be captured.
  if (const std::string now = backend.description(); now != record_.texts["backend"]) {
    record_.texts["backend"] = now;
    progress_.line("warning: the backend is now " + now);
  }
  record_.figures["planning_s"] = compiled.planning_seconds;
  record_.figures["warm_up_s"] = compiled.warm_up_seconds;
  record_.figures["parameters"] = compiled.state->parameter_elements();
  record_.figures["activation_pool_mib"] = mib(compiled.train->memory().pool_bytes);
  record_.figures["scratch_mib"] = mib(compiled.train->scratch_bytes());
  Cost total = cost(compiled.train->graph());
  for (std::int64_t more = 1; more < options_.train.gradient_accumulation_steps; ++more)
    total += cost(compiled.accumulate->graph());
  record_.figures["training_step_gflop_per_rank"] = static_cast<double>(total.flops) * 1e-9;
  if (!compiled.nodes.empty()) timed(compiled.nodes);
}

void Recorder::timed(const std::vector<NodeTime>& nodes) {
  double total = 0.0, updates = 0.0, sums = 0.0;
  for (const NodeTime& node : nodes) {
    total += node.seconds;
    if (node.op == "AllReduce") sums += node.seconds;
    if (node.op == "Update" || node.op == "GradientCheck" || node.op == "AdjustLossScale") updates += node.seconds;
  }
  std::string rows;
  const NodeTime* longest = &nodes.front();
  for (const NodeTime& node : nodes) {
    rows += fmt::format("{},{},{:.9f},{:.6f},{},{}\n", node.node, node.op, node.seconds, node.seconds / total,
                        node.cost.flops, node.cost.bytes);
    if (node.seconds > longest->seconds) longest = &node;
  }
  results_.nodes(rows);
  record_.figures["nodes_s"] = total;
  record_.figures["nodes_update_share"] = updates / total;
  record_.figures["nodes_all_reduce_share"] = sums / total;
  progress_.line(fmt::format(
      "node by node a step takes {:.3f} ms: optimizer {:.1f} %, all-reduce {:.1f} %, the longest, "
      "{}, {:.1f} % (nodes.csv)",
      1e3 * total, 100.0 * updates / total, 100.0 * sums / total, longest->node, 100.0 * longest->seconds / total));
}

void Recorder::staged(const StagedDataset& dataset, bool before_clock) {
  if (dataset.wait_seconds > 0.0) record_.figures["waiting_for_another_run_s"] = dataset.wait_seconds;
  if (options_.stage.strategy == Strategy::none) return;
  results_.staging(dataset, options_.stage, !before_clock);
  tell_of_target();
  const auto [bytes, reused, read] = bytes_of(dataset);
  record_.texts["stage_mode"] = word(StageMode::before);
  record_.texts["stage_form"] =
      fmt::format("{}{}", word(options_.stage.form), dataset.inflated_files > 0 ? ", inflated" : "");
  staging_s_ = dataset.seconds;
  staged_inside_clock_ = !before_clock;
  record_.figures["staging_s"] = staging_s_;
  record_.figures["waiting_for_another_run_s"] = dataset.wait_seconds;
  record_.figures["staging_inside_clock"] = std::int64_t{staged_inside_clock_};
  record_.figures["staged_mib"] = mib(bytes);
  record_.figures["staging_read_mib"] = mib(read);
  std::string kept = reused > 0 ? fmt::format("; {:.1f} MiB were there already", mib(reused)) : "";
  if (dataset.wait_seconds > 0.0)
    kept += fmt::format("; {} of it waiting for another run", duration_text(dataset.wait_seconds));
  progress_.line(fmt::format("staged {:.1f} MiB to {} in {} ({} the clock{})", mib(bytes), options_.stage.target,
                             duration_text(staging_s_), before_clock ? "before" : "inside", kept));
  tell_of_nodes(dataset);
}

/// Where it was staged to, and what of it was read back.
void Recorder::tell_of_target() {
  record_.texts["stage_target"] = options_.stage.target;
  if (!options_.stage.target_why.empty()) record_.texts["stage_target_why"] = options_.stage.target_why;
  record_.texts["stage_verify"] = word(options_.stage.verify);
}

void Recorder::tell_of_nodes(const StagedDataset& dataset) {
  if (const auto line = read_back_line(dataset, options_.stage)) progress_.line(*line);
  for (const std::string& line : stragglers(dataset))
    progress_.line(line);
}

void Recorder::stages_beside(bool all_there) {
  record_.texts["stage_mode"] = word(StageMode::overlap);
  staged_beside_ = true;
  progress_.line(all_there ? fmt::format("all is in {} already", options_.stage.target)
                           : fmt::format("training begins from the source; what {} lacks is copied meanwhile",
                                         options_.stage.target));
}

void Recorder::staged_beside(StagedDataset dataset, PlaceStats mine) {
  std::array<std::int64_t, 2> samples = {mine.at_source, mine.at_target};
  world_.all().sum(samples);
  dataset.reads = {samples[0], samples[1], mine.sample_bytes};
  results_.staging(dataset, options_.stage, true);
  tell_of_target();
  const StagedBytes bytes = bytes_of(dataset);
  auto& figures = record_.figures;
  figures["staging_preparation_s"] = dataset.seconds;
  figures["waiting_for_another_run_s"] = dataset.wait_seconds;
  figures["staging_inside_clock"] = std::int64_t{1};
  figures["staging_complete"] = std::int64_t{dataset.complete()};
  figures["staged_mib"] = mib(bytes.copied);
  figures["staging_read_mib"] = mib(bytes.read);
  figures["samples_read_from_source"] = samples[0];
  figures["samples_read_from_target"] = samples[1];
  if (dataset.complete()) figures["staging_copy_s"] = dataset.copied_after();
  const std::string how = dataset.complete()
                              ? fmt::format("all was there after {}", duration_text(dataset.copied_after()))
                              : "training ended before all was there: the next run goes on";
  progress_.line(fmt::format("staged {:.1f} MiB to {} beside training: {}; {} of {} samples came from the source",
                             mib(bytes.copied), options_.stage.target, how, samples[0], samples[0] + samples[1]));
  tell_of_nodes(dataset);
}

void Recorder::keeps(const KeptMemory& kept) {
  record_.figures["load_memory_mib"] = kept.mib;
  if (!kept.why.empty()) record_.texts["load_memory_why"] = kept.why;
  progress_.line(fmt::format("samples are kept in memory for later epochs, up to {} MiB a rank{}", kept.mib,
                             kept.why.empty() ? "" : " (" + kept.why + ")"));
}

/// Whoever measures storage must know that an epoch may never come to it.
void Recorder::reads(const Dataset& found) {
  std::int64_t bytes = 0;
  for (const Split* split : {&found.train, &found.validation})
    for (const std::size_t entry : split->plan.part_of(world_.node_index()))
      bytes += split->staged().entries[entry].bytes;
  const MemoryRoom room = memory_room();
  const double kept = static_cast<double>(options_.load.memory_mib) * 1048576.0 * world_.node().size();
  const bool fits = static_cast<double>(bytes) < room.bytes - kept;  // no page cache has what samples are kept in
  record_.figures["node_dataset_mib"] = mib(bytes);
  record_.figures["node_dataset_fits_memory"] = std::int64_t{fits};
  if (!fits) return;
  progress_.line(
      fmt::format("note: what this node reads ({:.1f} MiB) fits its free memory ({:.1f} GiB): once read, it comes "
                  "from memory and not from storage (epochs.csv: from_storage_mib)",
                  mib(bytes), room.bytes / 1073741824.0));
}

void Recorder::started(const StartUp& start_up) {
  for (std::size_t at = 0; at < Words<Scope>::all.size(); ++at) {
    const auto scope = static_cast<Scope>(at);
    record_.figures[fmt::format("startup_{}_s", word(scope))] = start_up.of(scope);
  }
  record_.figures.erase(fmt::format("startup_{}_s", word(Scope::first_step)));  // is still to come
}

RunOutcome Recorder::completed(const TrainOutcome& trained, const LoaderStats& input) {
  diagnose(LogLevel::info, [&] {
    return fmt::format("{} steps in {} epochs; {:.3f} s in steps, {:.3f} s of it waiting for input", trained.steps,
                       trained.epochs, trained.train_seconds, trained.wait_seconds);
  });
  RunOutcome outcome;
  outcome.results = results_.folder();
  outcome.target_met = trained.target_met;
  outcome.epochs = trained.epochs;
  outcome.steps = trained.steps;
  outcome.final_metric = trained.metric;
  outcome.staging_s = staging_s_;
  outcome.samples_per_s =
      trained.train_seconds > 0.0 ? static_cast<double>(trained.samples) / trained.train_seconds : 0.0;
  const bool wants_target = options_.train.until == Until::target;
  if (wants_target) {
    outcome.time_to_train_s = trained.target_met ? timeline_.run_seconds() : 0.0;
    outcome.code = trained.target_met ? ExitCode::success : ExitCode::target_missed;
  }
  auto& figures = record_.figures;
  if (outcome.time_to_train_s > 0.0) {
    figures["time_to_train_s"] = outcome.time_to_train_s;
    figures["time_to_train_with_staging_s"] = outcome.time_to_train_s + (staged_inside_clock_ ? 0.0 : staging_s_);
    if (!staged_beside_)  // its cost is within training
      figures["time_to_train_without_staging_s"] = outcome.time_to_train_s - (staged_inside_clock_ ? staging_s_ : 0.0);
  }
  figures["run_s"] = timeline_.run_seconds();
  figures["epochs"] = trained.epochs;
  figures["steps"] = trained.steps;
  figures["train_s"] = trained.train_seconds;
  figures["evaluation_s"] = trained.eval_seconds;
  figures["first_step_s"] = trained.first_step_seconds;
  figures["startup_first_step_s"] = trained.first_step_seconds;
  figures["step_median_s"] = median_of(trained.step_seconds);
  add_step_figures(figures, trained.log);
  figures["wait_for_input_s"] = trained.wait_seconds;
  figures["upload_s"] = trained.uploads.seconds;
  figures["upload_exposed_s"] = trained.uploads.exposed_seconds;
  figures["read_s"] = input.read_seconds;
  const std::int64_t from_files = input.samples - input.samples_from_memory;
  const double from_files_s = input.read_seconds - input.seconds_from_memory;
  if (from_files > 0 && from_files_s > 0.0)
    figures["samples_per_s_a_reader"] = static_cast<double>(from_files) / from_files_s;
  figures["read_mib"] = mib(input.bytes);
  figures["reader_threads"] = std::int64_t{trained.readers};
  figures["eval_reader_threads"] = std::int64_t{trained.eval_readers};
  if (!trained.readers_why.empty()) record_.texts["reader_threads_why"] = trained.readers_why;
  if (!trained.eval_readers_why.empty()) record_.texts["eval_reader_threads_why"] = trained.eval_readers_why;
  if (figures.contains("load_memory_mib")) {
    figures["kept_mib"] = mib(input.kept.bytes);
    figures["kept_samples"] = input.kept.samples;
    figures["read_from_memory_mib"] = mib(input.bytes_from_memory());
  }
  if (trained.from_storage_bytes) figures["read_from_storage_mib"] = mib(*trained.from_storage_bytes);
  figures["samples_per_s"] = outcome.samples_per_s;
  figures["target_metric"] = target_of(options_).value;
  if (emulates()) {
    figures["emulated_train_step_s"] = 1e-3 * options_.backend.emulated.train_ms;
    figures["emulated_eval_step_s"] = 1e-3 * options_.backend.emulated.eval_ms;
  } else if (trained.epochs > 0) {
    figures["final_metric"] = trained.metric;
    figures["best_metric"] = trained.best_metric;
  }
  if (trained.loss_scale) {
    figures["skipped_steps"] = trained.loss_scale->skipped;
    figures["loss_scale"] = trained.loss_scale->scale;
  }
  figures["peak_memory_rank0_mib"] = peak_memory_mib();
  tell_of_device(trained);
  tell_of_energy(trained);
  record_.code = outcome.code;
  record_.status = ending_of(options_.train, trained.target_met);
  record_.message = outcome.divergence = divergence_of(trained, target_of(options_).key);
  if (!record_.message.empty()) {
    figures["losses_not_finite"] = trained.losses_not_finite;
    figures["metrics_not_finite"] = trained.metrics_not_finite;
    progress_.line("warning: the run diverged: " + record_.message);
  }
  // Which rank was slow, waited or grew: what averages hide.
  results_.ranks(world_.all().gather(fmt::format(
      "{},{},{:.6f},{:.6f},{:.6f},{:.6f},{:.3f},{:.1f},{},{},{:.3f},{},{},{}\n", world_.all().rank(),
      to_utf8(world_.host()), trained.first_step_seconds, median_of(trained.step_seconds), trained.wait_seconds,
      input.read_seconds, mib(input.bytes), peak_memory_mib(), sensor_columns(trained.sensors),
      trained.from_storage_bytes ? fmt::format("{:.3f}", mib(*trained.from_storage_bytes)) : "",
      mib(input.bytes_from_memory()), trained.readers, trained.eval_readers,
      step_cells(trained.log, trained.sensors))));
  tell_of_last_rank(trained);
  judge(outcome);
  record_.texts["verdict"] = outcome.verdict;
  results_.conclude(record_);
  return outcome;
}

/// Whoever tunes must know of one rank that all others wait for.
void Recorder::tell_of_last_rank(const TrainOutcome& trained) {
  const std::optional<LastRank> last = last_rank(world_, trained.log, trained.sensors);
  if (!last) return;
  record_.figures["last_rank"] = std::int64_t{last->rank};
  record_.figures["last_rank_steps"] = last->steps;
  record_.figures["last_rank_cost_s"] = last->seconds;
  record_.texts["last_rank_host"] = last->host;
  record_.texts["last_rank_by"] = last->by;
  constexpr double worth_telling = 0.02;  // of the time in steps
  if (last->seconds < worth_telling * trained.train_seconds) return;
  progress_.line(
      fmt::format("rank {} on {} came last to the sums in {} of {} steps, by {}: the others waited {} for it",
                  last->rank, last->host, last->steps, trained.steps, last->by, duration_text(last->seconds)));
}

void Recorder::consumed(const std::optional<NodeEnergy>& node, const std::optional<double>& device_joules) {
  energy_ = node;
  device_joules_ = device_joules;
}

/// Totals only where every node, or every device, was read: a part of the energy would pass for all of it.
void Recorder::tell_of_energy(const TrainOutcome& trained) {
  if (emulates()) return;  // what is not there draws no power
  const bool cray = energy_ && energy_->source == EnergySource::cray, sensed = !trained.sensors.empty();
  std::array<double, 7> sums = {energy_ && !cray ? 1.0 : 0.0,
                                cray ? 1.0 : 0.0,
                                energy_ ? energy_->joules : 0.0,
                                device_joules_ ? 1.0 : 0.0,
                                device_joules_.value_or(0.0),
                                sensed ? 1.0 : 0.0,
                                sensed ? trained.sensors.mean_watts() * timeline_.run_seconds() : 0.0};
  world_.all().sum(sums);
  const auto& [packages, whole, joules, counting, counted_joules, devices, device_joules] = sums;
  const double nodes = world_.nodes(), ranks = world_.all().size();
  if (packages + whole > 0.0 && packages != nodes && whole != nodes)
    progress_.line(fmt::format("note: energy can be read on {} of {} nodes: no sum is told", packages + whole, nodes));
  auto& figures = record_.figures;
  double total = 0.0;
  std::string source;
  const auto add = [&](const char* name, double part, std::string_view by) {
    figures[name] = part;
    total += part;
    source += fmt::format("{}{}", source.empty() ? "" : " and ", by);
  };
  if (whole == nodes) add("energy_nodes_j", joules, word(EnergySource::cray));
  if (packages == nodes) add("energy_packages_j", joules, word(EnergySource::rapl));
  // A node's counter holds its devices.
  if (whole != nodes && counting == ranks)
    add("energy_devices_j", counted_joules, "the devices' own counters");
  else if (whole != nodes && devices == ranks)
    add("energy_devices_j", device_joules, "the devices' mean power in training x time");
  if (source.empty()) return;
  figures["energy_j"] = total;
  figures["energy_sampling_s"] = static_cast<double>(EnergyMeter::interval.count());
  if (trained.samples > 0) figures["energy_per_sample_j"] = total / static_cast<double>(trained.samples);
  if (trained.target_met) figures["energy_to_target_j"] = total;
  record_.texts["energy_source"] = source;
}

void Recorder::tell_of_device(const TrainOutcome& trained) {
  if (trained.profiled_steps > 0) record_.figures["profiled_steps"] = trained.profiled_steps;
  if (trained.sensors.empty()) return;
  auto& figures = record_.figures;
  figures["device_sensor_readings"] = trained.sensors.readings();
  figures["device_power_mean_rank0_w"] = trained.sensors.mean_watts();
  figures["device_power_max_rank0_w"] = trained.sensors.most_watts();
  figures["device_clock_mean_rank0_mhz"] = trained.sensors.mean_core_mhz();
  figures["device_clock_min_rank0_mhz"] = trained.sensors.least_core_mhz();
  figures["device_memory_clock_rank0_mhz"] = trained.sensors.memory_mhz();
  record_.texts["device_throttled_by_rank0"] = trained.sensors.throttled_by();
}

void Recorder::judge(RunOutcome& outcome) {
  if (emulates()) {
    outcome.verdict = "not judged (emulated device)";
    return;
  }
  // Fixed work is not asked to reach the target, so the official rule for it cannot hold.
  if (options_.train.until != Until::target && !outcome.target_met) {
    outcome.verdict = "not judged (fixed work)";
    return;
  }
  std::string verdict;
  int failed = 0;
  if (results_.writes()) {
    const Rules rules = rules_of(options_);
    const Verdict own = judge_file(results_.log(), word(rules.usage), word(rules.version));
    for (const auto* findings : {&own.official, &own.semantic}) {
      for (const Finding& finding : *findings) {
        progress_.line(fmt::format("mlperf.log:{}: {}: {}", finding.line, finding.rule, finding.message));
      }
    }
    const std::size_t findings = own.official.size() + own.semantic.size();
    verdict =
        own.sound() ? "compliant" : fmt::format("not compliant ({} finding{})", findings, findings == 1 ? "" : "s");
    failed = own.sound() ? 0 : 1;
  }
  std::array<double, 1> any = {static_cast<double>(failed)};
  world_.all().max(any);
  outcome.verdict = world_.all().broadcast(verdict);
  // A missed target is the more useful code, and makes the log fail by itself.
  if (any[0] != 0.0 && outcome.code == ExitCode::success) outcome.code = ExitCode::compliance;
  record_.code = outcome.code;
}

void Recorder::failed(const std::exception& error) {
  const Failure failure = failure_of(error);
  record_.code = failure.code;
  record_.status =
      record_.code == ExitCode::target_missed ? Ending::diverged : Ending::failed;  // no other error has that code
  record_.message = failure.message;
  diagnose(LogLevel::error, [&] { return failure.message; });
  try {
    if (dynamic_cast<const AgreedError*>(&error) == nullptr) {
      results_.leave_word(world_, record_);
      results_.wait_for_rank_0();
    }
    results_.conclude(record_);
  } catch (const std::exception& second) {
    progress_.line(fmt::format("warning: run.json could not be written: {}", second.what()));
  }
}

}  // namespace trainmark
