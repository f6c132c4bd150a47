// A run from start to end: its options, and `run` itself.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/backend.hpp"
#include "trainmark/load.hpp"
#include "trainmark/mllog.hpp"
#include "trainmark/models.hpp"
#include "trainmark/stage.hpp"

namespace trainmark {

/// What a manifest beside the data is: required to list the very files that are there, or not looked at.
enum class ManifestBeside : std::uint8_t { required, ignored };
template <>
struct Words<ManifestBeside> {
  static constexpr std::array<std::string_view, 2> all = {"require", "ignore"};
};

struct DataOptions {
  std::string train;                    ///< folder of the training files
  std::string validation;               ///< folder of the validation files
  std::int64_t train_samples = 0;       ///< 0: all that are there
  std::int64_t validation_samples = 0;  ///< 0: all that are there
  std::string stats = {};               ///< what channels range over; empty: stats.h5 beside the training folder
  ManifestBeside manifest = ManifestBeside::required;
  FormatOptions format;
  bool operator==(const DataOptions&) const = default;
};

enum class Until : std::uint8_t { target, epochs, steps, seconds };
template <>
struct Words<Until> {
  static constexpr std::array<std::string_view, 4> all = {"target", "epochs", "steps", "seconds"};
};
enum class Precision : std::uint8_t { fp32, tf32, bf16, fp16 };
template <>
struct Words<Precision> {
  static constexpr std::array<std::string_view, 4> all = {"fp32", "tf32", "bf16", "fp16"};
};
enum class ScaleLoss : std::uint8_t { automatic, always };
template <>
struct Words<ScaleLoss> {
  static constexpr std::array<std::string_view, 2> all = {"auto", "on"};
};
enum class OnDivergence : std::uint8_t { stop, proceed };
template <>
struct Words<OnDivergence> {
  static constexpr std::array<std::string_view, 2> all = {"stop", "continue"};
};

enum class Buckets : std::uint8_t { sized, cubic, listed };
template <>
struct Words<Buckets> {
  static constexpr std::array<std::string_view, 3> all = {"sized", "cubic", "listed"};
};

/// In which gradients travel between ranks.
enum class Wire : std::uint8_t { fp32, bf16, fp16 };
template <>
struct Words<Wire> {
  static constexpr std::array<std::string_view, 3> all = {"fp32", "bf16", "fp16"};
};

/// With which running statistics of norms a rank evaluates.
enum class EvaluationStatistics : std::uint8_t {
  averaged,  ///< their means over ranks
  local      ///< its own: its shard is judged by what it has seen
};
template <>
struct Words<EvaluationStatistics> {
  static constexpr std::array<std::string_view, 2> all = {"averaged", "local"};
};
struct TrainOptions {
  std::int64_t global_batch = 64;
  std::int64_t gradient_accumulation_steps = 1;  ///< batches of a rank in one step, one after the other
  Until until = Until::target;
  std::int64_t epochs = 128;  ///< until=epochs: how many; until=target: at most
  std::int64_t steps = 100;   ///< until=steps
  double seconds = 60.0;      ///< until=seconds
  double target = 0.0;        ///< figure to reach; 0: the benchmark's
  Precision precision = Precision::fp32;
  ScaleLoss loss_scaling = ScaleLoss::automatic;    ///< automatic: with fp16, as precision or on the wire
  OnDivergence on_divergence = OnDivergence::stop;  ///< once a loss or metric is not finite
  Buckets buckets = Buckets::sized;                 ///< which gradients travel together
  double bucket_mib = 4.0;                          ///< sized: least size of an all-reduce bucket
  struct BucketEnd {
    std::int64_t tensors = 0;  ///< counted from the output
    bool operator==(const BucketEnd&) const = default;
  };
  std::vector<BucketEnd> bucket_ends = {};  ///< listed: ascending
  bool norms_last = false;                  ///< norms' gradients travel together behind all others
  Wire wire = Wire::fp32;
  std::int64_t eval_every = 1;  ///< epochs from one evaluation to the next; there is one behind the last epoch, too
  std::int64_t eval_first = 0;  ///< epochs before the first evaluation; 0: as many as between others
  EvaluationStatistics eval_statistics = EvaluationStatistics::averaged;

  /// Samples that all ranks compute at a time.
  [[nodiscard]] std::int64_t batch() const noexcept { return global_batch / gradient_accumulation_steps; }
  /// Whether so many ranks can share a step evenly.
  [[nodiscard]] bool divides(std::int64_t ranks) const noexcept {
    return global_batch % gradient_accumulation_steps == 0 && batch() % ranks == 0;
  }
  bool operator==(const TrainOptions&) const = default;
};

enum class Division : std::uint8_t { closed, open };
template <>
struct Words<Division> {
  static constexpr std::array<std::string_view, 2> all = {"closed", "open"};
};
/// Of the system that runs.
enum class Availability : std::uint8_t { onprem, cloud, preview, research };
template <>
struct Words<Availability> {
  static constexpr std::array<std::string_view, 4> all = {"onprem", "cloud", "preview", "research"};
};
/// Who runs, as the log's header says it.
struct SubmissionOptions {
  Division division = Division::open;
  std::string org = "none";
  std::string platform = "unnamed";
  Availability status = Availability::research;
  Ruleset ruleset = Ruleset::latest;
  bool generated_data = false;  ///< the data are generated: no result of MLPerf whatever the verdict
  bool operator==(const SubmissionOptions&) const = default;
};

struct ResultsOptions {
  std::string folder = "results";  ///< results/<name>/<job or time>/
  int progress_seconds = 10;       ///< interval of progress lines where there is no terminal
  bool operator==(const ResultsOptions&) const = default;
};

/// A phase without progress for this long ends the job with code 124.
struct WatchdogOptions {
  double init_seconds = 1800;
  double stage_seconds = 3600;  ///< however long staging takes as a whole
  double step_seconds = 300;
  bool operator==(const WatchdogOptions&) const = default;
};

struct RunOptions {
  std::string name = "run";  ///< of the results folder: letters, digits, '.', '_', '-'
  Recipe recipe;             ///< whose model decides which workload it is
  std::int64_t seed = 0;     ///< 0: drawn from the operating system's entropy and logged
  bool clear_cache = false;  ///< drop this node's page cache before init_start (needs root); logged only if done
  DataOptions data;
  StageOptions stage;
  LoadOptions load;
  TrainOptions train;
  BackendOptions backend;
  SubmissionOptions submission;
  ResultsOptions results;
  WatchdogOptions watchdog;
};

/// Whatever ends a process, taken by one thread. Make it first in main, before MPI and any other thread: every signal
/// whose default is to end the process (TERM, INT, HUP, QUIT, USR1, USR2, XCPU ...) is blocked from then on in every
/// thread. Those that are ignored (HUP under nohup) or that somebody handles, then or later, are left alone. A library
/// that calls exit() is an ending with the code `environment`.
class Interrupts {
 public:
  /// Blocks the signals and starts the thread that waits. Raises Error{environment} where that cannot be started.
  Interrupts();
  ~Interrupts();  ///< stops it, and signals have their former meaning
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  /// From now on faults of this process (SEGV, BUS, ABRT, an uncaught exception ...) run the closers too, before they
  /// do what they did when this was called. After MPI is up, which has handlers of its own.
  void watch_faults();
  /// While the returned guard lives, a signal runs `closer(128 + signal)` before the process leaves with that code.
  /// Closers run newest first, in the waiting thread, and must neither call MPI nor take longer than half a second.
  class Guard;
  [[nodiscard]] Guard on_signal(std::function<void(int code)> closer);
  /// "ended by signal 2 (Interrupt)" for 130; for a code below 128 that a library called exit().
  [[nodiscard]] static std::string describe(int code);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};
class [[nodiscard]] Interrupts::Guard {
 public:
  Guard() = default;
  Guard(std::weak_ptr<Impl> impl, int id) noexcept : impl_(std::move(impl)), id_(id) {}
  Guard(Guard&& other) noexcept : impl_(std::move(other.impl_)), id_(other.id_) {}
  Guard& operator=(Guard&&) = delete;
  Guard(const Guard&) = delete;
  ~Guard();

 private:
  std::weak_ptr<Impl> impl_;
  int id_ = 0;
};

/// Training steps from `first` to `last`, counted from 1 as in steps.csv.
struct StepRange {
  std::int64_t first = 1;
  std::int64_t last = 1;
};

/// The job that a run is part of, as the batch system and the launcher tell it; what neither tells is empty.
struct JobFacts {
  std::string launcher;                 ///< that started the ranks
  std::string system;                   ///< "Slurm"
  std::string id;                       ///< as the system writes it
  std::string array;                    ///< the id that all tasks of an array have in common
  std::optional<std::int64_t> task;     ///< its number in the array
  std::int64_t restarts = 0;            ///< how often the job was started before
  std::string nodes;                    ///< in the system's own form, e.g. "n[0-3]"
  std::optional<std::int64_t> ends_at;  ///< when the job's time is up: seconds since 1970, UTC
  int cpus_a_rank = 0;                  ///< that were asked for; 0: not known
  std::string cpus_cure;                ///< what gives ranks more CPUs with this launcher
};

/// With what the backend is compared.
enum class Check : std::uint8_t { cpu, self };
template <>
struct Words<Check> {
  static constexpr std::array<std::string_view, 2> all = {"cpu", "self"};
};

/// What the caller knows and the run must not ask the environment for.
struct RunContext {
  std::string resolved_config;  ///< JSON text, goes into the results as it is
  std::string command_line;
  std::string job_id;  ///< of the batch system, fit for a folder's name; empty: none
  JobFacts job;
  std::string environment_json;  ///< env.json's content from cli (build features, versions, selected variables)
  std::string order_of_sums;     ///< what fixes it in a deterministic run on devices, for the record; empty elsewhere
  /// Called on rank 0 with what run.json was concluded with where a signal, the watchdog or a device that hangs ends
  /// the run, which then never returns; from another thread, at most half a second long.
  std::function<void(const Failure& failure)> ended_from_outside = {};
  Interrupts* interrupts = nullptr;     ///< may be null (tests): then signals keep their default meaning
  LogLevel log_level = LogLevel::info;  ///< least of what each rank's diagnostics keep
  bool quiet = false;
  bool terminal = false;                   ///< stderr is one
  bool dry_run = false;                    ///< stops before staging, after everything was planned
  std::optional<Check> check = {};         ///< compares on random data instead of running
  bool measure_nodes = false;              ///< times each node of a step before the clock starts
  std::optional<StepRange> profile_steps;  ///< for an outer profiler: a device streams them instead of replaying
  bool traces = false;                     ///< leaves a time line of each rank in trace/
  double probe_seconds = 0.0;              ///< of a probe behind run_stop, which leaves probe.json; 0: none
};

struct RunOutcome {
  ExitCode code = ExitCode::success;
  std::filesystem::path results;
  double time_to_train_s = 0.0;  ///< run_start to run_stop; 0 where no target was asked for
  double staging_s = 0.0;
  std::int64_t epochs = 0;
  std::int64_t steps = 0;
  double samples_per_s = 0.0;  ///< training steps only, evaluation excluded
  double final_metric = 0.0;
  bool target_met = false;
  std::string verdict;     ///< of the run's own log
  std::string divergence;  ///< what was not finite in a run that went on all the same; empty: nothing
};

/// The complaint about a group of norms that so many ranks cannot form; empty if they can.
[[nodiscard]] std::string ungroupable(const RunOptions& options, int ranks);
/// What the run is to reach: the benchmark's target, with the config's value if it has one.
[[nodiscard]] QualityTarget target_of(const RunOptions& options);
/// Whether a run trains while it stages.
[[nodiscard]] inline bool stages_beside(const RunOptions& options) {
  return options.stage.mode == StageMode::overlap && options.stage.strategy != Strategy::none;
}
/// What its results have to be told of that is not a breach of rules: a target of its own, a batch without reference.
[[nodiscard]] std::vector<std::string> labels_of(const RunOptions& options);
/// What the closed division's rules look at beside recipe and data.
[[nodiscard]] constexpr TrainFacts train_facts(const RunOptions& options) {
  return {.global_batch = options.train.global_batch, .eval_every = options.train.eval_every};
}
/// Rules that its log is judged by.
[[nodiscard]] Rules rules_of(const RunOptions& options);
/// The step that a rank of so many launches.
[[nodiscard]] StepOptions step_options(const RunOptions& options, std::int64_t ranks);
/// Training steps in an epoch of so many samples, as the workload's rules have their tail.
[[nodiscard]] std::int64_t steps_per_epoch(const RunOptions& options, std::int64_t train_samples);
/// Training steps after which a run on so many samples ends at the latest; nothing where it ends by time.
[[nodiscard]] std::optional<std::int64_t> most_steps(const RunOptions& options, std::int64_t train_samples);

/// Element type of activations for a train.precision.
[[nodiscard]] DType compute_type(Precision precision);

/// For complaints: "64 is not divisible by 3 ranks", and in how many parts each takes its share, if in several.
[[nodiscard]] std::string indivisible(const TrainOptions& train, std::int64_t ranks);
/// " in 4 parts" where a rank computes its share of a step so, else nothing.
[[nodiscard]] std::string in_parts(const TrainOptions& train);

/// Cross-field checks that need the world or the dataset's counts: batch against ranks, samples against batch and
/// shards, closed division. All complaints at once, one line each, with the JSON pointer of the key.
[[nodiscard]] std::vector<std::string> check_options(const RunOptions& options, int ranks, int nodes,
                                                     const DatasetFacts& facts);

/// What is to be done with the dataset of a run apart from the run: before it (prologs, burst buffers) or after.
enum class StageTask : std::uint8_t {
  bring,  ///< stage it, as a run would
  look,   ///< find out what is missing or not right, and copy nothing
  clean   ///< remove what staging put there
};
struct StageOnlyOutcome {
  std::string json;                ///< as staging.json, without the clock
  std::vector<std::string> lines;  ///< for people
  bool complete = true;            ///< everything is there; false only after a look
};
/// Collective, on any number of ranks that has as many on each node where a set is staged in parts: brings (looks at,
/// removes) what a run of these options would have on each node. With `writes_manifest` the hashes that were found out
/// go into a manifest beside the source. Raises Error: as run() until its staging is done.
[[nodiscard]] StageOnlyOutcome stage_only(const World& world, const RunOptions& options, StageTask task,
                                          bool writes_manifest, const RunContext& context);

/// How long the variants of a step are compared.
struct AblateOptions {
  int rounds = 10;  ///< in each of which every variant has its turn; at least 2
  int steps = 20;   ///< of a variant in a round
};
struct Ablation {
  std::string text;  ///< tables for people; on rank 0, as `json`
  std::string json;
};
/// Collective: the training step of these options with one thing off at a time, in alternating rounds on the same data
/// and model. Trains nothing that is kept and writes neither log nor results. Raises Error as run() does until its
/// first step.
[[nodiscard]] Ablation ablate(const World& world, const RunOptions& options, const AblateOptions& how,
                              const RunContext& context);

/// How long a screening takes.
struct ScreenOptions {
  int rounds = 10;
  int steps = 20;  ///< of each kind in a round
};
struct ScreenOutcome {
  std::string text;  ///< for people; on rank 0, as `json`
  std::string json;
  bool all_alike = true;  ///< nobody is out of line; the same on all ranks
};
/// Collective: the training step of these options on random samples, on every node by itself and at the same time, and
/// which nodes and ranks are slower than the others. Reads no data set, keeps nothing. Raises Error as run() does until
/// its data set is looked for.
[[nodiscard]] ScreenOutcome screen(const World& world, const RunOptions& options, const ScreenOptions& how,
                                   const RunContext& context);

/// The ceilings of this machine in the shapes of a workload.
struct ProbeOutcome {
  std::string json;  ///< as probe.json of a run (docs/cli.md)
  std::string text;  ///< for people
};
/// Collective: measures for at most `seconds` how fast this launch computes (per precision, in products of matrices and
/// the step's largest convolutions), copies memory, uploads a batch, sums buckets over ranks and reads samples. Raises
/// Error: as run() until its dataset is found; Error{environment} where nothing could be measured.
[[nodiscard]] ProbeOutcome probe(const World& world, const RunOptions& options, double seconds,
                                 const RunContext& context);

/// Collective. Raises Error, on every rank the same, for what was agreed upon.
[[nodiscard]] RunOutcome run(const World& world, const RunOptions& options, const RunContext& context);

}  // namespace trainmark
