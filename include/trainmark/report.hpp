// From a run's log and the files beside it to numbers and pictures. Reads anyone's MLPerf log; needs neither MPI nor a
// device. Every figure says where it comes from, and a run that is no MLPerf result says so wherever it is shown.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark {

/// measured: by the run's own clocks and counters; logged: from the times and values of log records, and nothing else;
/// modelled: computed from either under an assumption; assumed: stated by whoever asks, or taken from other machines;
/// given: by the rules or the config.
enum class FigureSource : std::uint8_t { measured, logged, modelled, assumed, given };
[[nodiscard]] std::string_view name_of(FigureSource source) noexcept;

struct Figure {
  std::string name;
  double value = 0.0;
  std::string unit;  ///< empty for counts
  FigureSource source = FigureSource::logged;
  std::optional<double> at_most =
      std::nullopt;  ///< where the log leaves more possible than `value`, which is the least
};

/// What the clock from run_start to run_stop was spent on; the terms add up to it.
struct TimeTerms {
  double staging_s = 0.0;           ///< inside the clock
  double training_s = 0.0;          ///< all epochs, without the excess of the first
  double cold_first_epoch_s = 0.0;  ///< by how much the first epoch exceeds the median of the others
  double evaluation_s = 0.0;
  double rest_s = 0.0;
  double undecided_s = 0.0;  ///< of two terms or more: the record that would tell is missing
  [[nodiscard]] double sum() const noexcept {
    return staging_s + training_s + cold_first_epoch_s + evaluation_s + rest_s + undecided_s;
  }
};

/// One epoch, or one block of a ResNet log.
struct EpochReport {
  int number = 0;        ///< of its last epoch, where it is a block
  int epochs = 1;        ///< more in a block
  double train_s = 0.0;  ///< without evaluation
  double evaluation_s = 0.0;
  std::optional<double> metric, wait_for_input_s, samples_per_s;
  FigureSource rate_source = FigureSource::logged, metric_source = FigureSource::logged;
  bool whole = false;  ///< logged from start to stop without a gap, in a run that did not break off in it
  bool slow = false;   ///< takes more than 1.5 x the median epoch
};

/// What a run was of, as far as its log and the files beside it say.
struct RunFacts {
  std::optional<double> batch_samples;  ///< global
  std::optional<double> processes;      ///< ranks or accelerators
  std::optional<double> nodes;
  std::optional<double> train_samples, evaluation_samples;
  std::optional<double> memory_bytes;           ///< of a node (env.json)
  std::optional<double> node_cpus;              ///< that the job may use on a node (env.json)
  std::optional<double> sample_bytes;           ///< stored raw, by the shape of the workload's samples
  std::string precision, seed;                  ///< empty where not logged
  std::string device;                           ///< the text that may name it: env.json's backend, else the platform
  bool instance = false;                        ///< one of several that trained at the same time
  std::string stage_strategy, stage_transport;  ///< of our own configs; empty where not known
  bool found_staged = false;                    ///< some or all was there already: its staging is no whole one
  bool staged_beside = false;                   ///< while it trained: staging has no time of its own
  std::string network;                          ///< options of the model, of our own configs; empty where not known
  std::optional<double> threads;                ///< of a rank, by config or env.json
  std::string wire;                             ///< in which gradients travel between ranks; empty where not known
  std::optional<double> parameters;             ///< of the network, as the run counted them
  std::optional<double> stage_group;            ///< nodes that hold the same part, with strategy group
  /// Samples a step on one process.
  [[nodiscard]] std::optional<double> local_batch() const {
    if (!batch_samples || !processes) return std::nullopt;
    return *batch_samples / *processes;
  }
  /// Of the busiest node; above 1 ranks take turns.
  [[nodiscard]] std::optional<double> ranks_a_cpu() const {
    if (!processes || !nodes || !node_cpus) return std::nullopt;
    return std::ceil(*processes / *nodes) / *node_cpus;
  }
};

/// A rate of one rank as it was probed, while all ranks worked.
struct Ceiling {
  std::string name;  ///< with its unit, as in probe.json
  double n = 0.0, median = 0.0, least = 0.0, most = 0.0;
  std::string cache = {};  ///< of a read: "cold" or "warm"
};
/// One of the resources that a step uses side by side: computing, or moving bytes of one kind.
struct RoofTier {
  std::string name;
  double work = 0.0;  ///< of a step on a rank: FLOP or bytes
  bool computes = false;
  std::optional<Ceiling> ceiling = std::nullopt;  ///< none where it was not measured, or is not above 0
  bool binds = true;                              ///< false for files that come from memory after the first epoch
  /// Seconds that the work takes at the least.
  [[nodiscard]] std::optional<double> bound_s() const {
    return ceiling ? std::optional(work / ceiling->median) : std::nullopt;
  }
};
/// A node of the step's graph as it was timed by itself, and the least that it could take.
struct RoofNode {
  std::string node, op;
  double seconds = 0.0, flops = 0.0, bytes = 0.0;
  std::optional<double> bound_s;  ///< none without ceilings
  std::string bound_by;
};
/// A sum over ranks that a step makes.
struct StepMessage {
  std::string name;
  double ranks = 0.0, bytes = 0.0;
  Ceiling seconds, bus_bytes_per_s;
};
/// What a step asks for against what the machine gives: a roofline with a roof for each tier. All of one rank.
struct Roofline {
  std::string workload, precision, backend;  ///< as probed
  double ranks = 0.0, samples = 0.0;         ///< samples of a step on a rank
  std::vector<RoofTier> tiers;               ///< empty: not probed
  std::vector<RoofNode> nodes;               ///< of a step, all its batches, in their order; empty: not timed
  std::vector<StepMessage> messages;
  std::vector<Ceiling> ceilings;  ///< all that were probed
  double step_s = 0.0;            ///< measured; 0: not known
  std::string step_of;            ///< what that is
  double bound_s = 0.0;           ///< of the slowest tier; 0: not known
  std::string binding;            ///< that tier, or those; empty: not known
  std::string largest, remedy;    ///< what takes most beyond its own bound, and what to do
  std::vector<std::string> remarks;
  [[nodiscard]] std::optional<double> gap() const {
    return step_s > 0.0 && bound_s > 0.0 ? std::optional(step_s / bound_s) : std::nullopt;
  }
};

/// A stretch of the run that went to one thing. Stretches follow each other without a gap from run_start on and add up
/// to the terms of the clock; before it there is staging alone, where that stands outside.
struct TimeStretch {
  std::string_view term;              ///< "staging", "training", "evaluation", "rest" or "undecided"
  double begin_s = 0.0, end_s = 0.0;  ///< from run_start on
};
/// The terms of a step in their order: as run.json and ranks.csv key them, and as figures are called.
struct StepTermName {
  std::string_view key, name;
};
inline constexpr std::array<StepTermName, 5> step_terms = {{{"exposed_input", "exposed input"},
                                                            {"exposed_upload", "exposed upload"},
                                                            {"compute", "compute"},
                                                            {"exposed_all_reduce", "exposed all-reduce"},
                                                            {"host", "host"}}};
/// A term of a step as each rank measured it.
struct RankTerm {
  std::string name;
  std::vector<double> median_s, p99_s;  ///< by rank, over its steps
};
/// What ranks differ in, of a results folder's ranks.csv.
struct RankSpread {
  std::vector<std::string> hosts;  ///< by rank; empty: not known
  std::vector<double> step_s;      ///< by rank, median
  std::vector<RankTerm> terms;     ///< in the order of a step
};

struct RunReport {
  std::string path;
  std::string part;  ///< of the file at `path`: "attempt 2 of 3", "instance 7"; empty where it is one run's
  int attempt = 1, attempts = 1;                                    ///< one after the other in the file
  double start_ms = 0.0, stop_ms = 0.0;                             ///< of the clock, in log time
  std::string benchmark, division, organisation, platform, status;  ///< as logged; empty where not
  bool finished = false;                                            ///< has a run_stop
  bool broke_off = false;  ///< ended by a signal or a failure, or has no end yet: it neither met nor missed its target
  bool target_met = false;
  bool generated_data = false;
  bool emulated_device = false;  ///< whose steps took a stated time
  bool lower_is_better = true;
  std::optional<double> target;
  double run_s = 0.0;              ///< run_stop - run_start
  double staging_outside_s = 0.0;  ///< before the clock
  TimeTerms terms;
  RunFacts facts;
  Roofline roofline;
  std::vector<EpochReport> epochs;
  std::vector<TimeStretch> stretches;
  RankSpread ranks;
  std::vector<Figure> figures;
  std::vector<std::string> notes;         ///< what a reader must know to trust the figures
  std::vector<std::string> labels;        ///< what the run is not
  std::vector<std::string> incomparable;  ///< why published results may not stand beside it; empty: they may
  std::string configuration;              ///< equal for runs whose times may be averaged
  [[nodiscard]] std::string name() const { return part.empty() ? path : path + " (" + part + ")"; }
  [[nodiscard]] const Figure* find(std::string_view name) const noexcept;
};

/// The logs that `path` stands for: itself, a results folder's mlperf.log, or those of all runs in the folders below,
/// and result_*.txt, as submissions name them; in the order of their paths. Links to folders are not followed. Packed
/// logs and folders that may not be read are among them: reading them says so. Raises Error{usage} where there is none.
[[nodiscard]] std::vector<std::filesystem::path> find_logs(const std::filesystem::path& path);
/// Reads one log, and run.json, epochs.csv and staging.json beside it where they are: those are of its last attempt.
/// One report for each attempt and instance that came to run_start, those that met their target first. Raises
/// Error{usage} for a log that cannot be read, has no record, no run_start, or the records of several runs with nothing
/// to tell them by.
[[nodiscard]] std::vector<RunReport> report_runs(const std::filesystem::path& log);

/// Takes copies out: what has start, end, settings, seed and metrics of an earlier run of another path, or of the same
/// path named twice. Returns a sentence for each.
[[nodiscard]] std::vector<std::string> leave_out_copies(std::vector<RunReport>& runs);

/// Mean without the fastest and the slowest, in minutes. None below three runs, for runs of different configurations,
/// for instances that ran at the same time, or where more than one missed its target (one that did counts as the
/// slowest).
struct OlympicScore {
  std::optional<double> minutes = {}, at_most = {};  ///< the second where clocks went back
  std::string why_not = {};
  std::size_t runs = 0;  ///< that count: those on target and those that missed it
};
/// `instances`: as in Questions.
[[nodiscard]] OlympicScore olympic_score(std::span<const RunReport> runs, bool instances = false);

/// What a node holds, as somebody states it.
struct Tier {
  std::string name;                        ///< hbm, dram and nvme are known by their speed
  double bytes = 0.0;                      ///< of a node
  std::optional<double> bytes_per_s = {};  ///< that a node reads from it
};
/// "hbm=640GiB,dram=2TiB,nvme=28TB@25GB": sizes in B, kB, MB, GB, TB or KiB, MiB, GiB, TiB; behind an @ what a node
/// reads in a second. Raises Error{usage}.
[[nodiscard]] std::vector<Tier> parse_tiers(std::string_view text);
/// Of those that hold so much, the first by speed: hbm, dram, nvme, then as stated.
[[nodiscard]] std::optional<Tier> fastest_tier_for(double bytes, std::span<const Tier> tiers);

/// Another scale, as somebody asks for it.
struct WhatIf {
  std::optional<double> nodes, ranks;   ///< one of them or both
  std::optional<double> batch_samples;  ///< global; the base's local batch where it is not asked for
  enum class Staging : std::uint8_t { as_logged, shard, group, replicate, none } staging = Staging::as_logged;
  double stage_group = 1.0;                   ///< nodes that hold the same part, with group
  std::optional<double> network_bytes_per_s;  ///< through one rank
  double latency_s = 0.0, hidden_s = 0.0;     ///< of a message; of an all-reduce, behind computation
};
/// "nodes=1024,batch=2048,staging=shard,network=25GB,latency_us=5,hidden_ms=2"; staging=group:4 for groups of four
/// nodes. Raises Error{usage}.
[[nodiscard]] WhatIf parse_what_if(std::string_view text);

/// What is asked of all runs together.
struct Questions {
  bool details = false;    ///< a block for each run, however many there are
  bool instances = false;  ///< runs of one configuration are instances of one job, even where they do not say so
  std::vector<Tier> tiers;
  std::optional<WhatIf> what_if;
};

/// All three raise Error{usage} for a what-if that the runs do not answer.
[[nodiscard]] std::string render_text(std::span<const RunReport> runs, const Questions& questions = {});
[[nodiscard]] std::string render_json(std::span<const RunReport> runs, const Questions& questions = {});
[[nodiscard]] std::string render_csv(std::span<const RunReport> runs);
/// What a step of each run computes and moves, its messages and the ceilings, for the models of others.
[[nodiscard]] std::string render_model(std::span<const RunReport> runs);
/// One page without anything from elsewhere.
[[nodiscard]] std::string render_html(std::span<const RunReport> runs, const Questions& questions = {});
/// Runs against those of before a change.
struct Comparison {
  std::string text;   ///< a line for each figure: "fom: <name> = <value> <unit> (base ..., tolerance ...) ok"
  std::string json;   ///< one document
  std::string junit;  ///< a test case for each figure; those without a tolerance are skipped
  int failures = 0;   ///< figures that are worse than their tolerance, or that the base has and the new runs lack
};
/// `tolerances`: by how many percent a figure may be worse. Configurations pair with their like; one on each side pair
/// whatever they are. Raises Error{usage} for runs of different workloads and where nothing pairs.
[[nodiscard]] Comparison compare_runs(std::span<const RunReport> base, std::span<const RunReport> now,
                                      const std::map<std::string, double>& tolerances);
/// {"samples_per_s_median_epoch": 5, ...}: percent by figure. Raises Error{usage} with `where`.
[[nodiscard]] std::map<std::string, double> parse_tolerances(std::string_view text, std::string_view where);

/// Readers see the old file or the new one, never a part. Raises Error{environment}.
void write_report(const std::filesystem::path& path, std::string_view text);

}  // namespace trainmark
