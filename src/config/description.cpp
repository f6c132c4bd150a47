// Every key a config may hold, section by section. Defaults are those of the structs, so they do not stand here.
#include "config/description.hpp"

namespace trainmark::config {
namespace {

// Far beyond any launch, and small enough that products of counts stay within 64 bits.
constexpr double most_samples = 1ULL << 40U;

void describe_data(Visitor& visitor, DataOptions& data) {
  visitor.open("data", "Where the samples are and how many of them are used.");
  visitor.field({.name = "train",
                 .doc = "Folder of the training files (.hdf5 and .h5 files, at any depth).",
                 .path = true,
                 .required = true},
                &data.train);
  visitor.field({.name = "validation", .doc = "Folder of the validation files.", .path = true, .required = true},
                &data.validation);
  visitor.field({.name = "train_samples",
                 .doc = "Training samples to use, the first in file order; 0 takes all that are there.",
                 .unit = "samples",
                 .minimum = 0},
                &data.train_samples);
  visitor.field({.name = "validation_samples",
                 .doc = "Validation samples to use; 0 takes all that are there.",
                 .unit = "samples",
                 .minimum = 0},
                &data.validation_samples);
  visitor.field(
      {.name = "stats",
       .doc = "What the channels of images range over, which are mapped to [0, 1] (deepcam); empty: stats.h5 in "
              "the folder of the training folder.",
       .path = true},
      &data.stats);
  visitor.words({.name = "manifest",
                 .doc = "require: where a manifest stands beside the data, the files must be those that it lists; "
                        "ignore: it is not looked at."},
                data.manifest);
  visitor.open("format", "How a dataset lies in its HDF5 files.");
  visitor.words({.name = "layout",
                 .doc = "universe: a large cube a file, cut into blocks while reading; block: one sample a file; "
                        "packed: many samples a file ([N, ...]); auto: each file tells, and all files of a folder must "
                        "tell the same."},
                data.format.layout, static_cast<std::size_t>(DatasetLayout::jpeg));
  visitor.field({.name = "input",
                 .doc = "Name of the HDF5 dataset of the samples; auto: the workload's (cosmoflow: x, then full).",
                 .required = true},
                &data.format.input);
  visitor.field({.name = "target",
                 .doc = "Name of the HDF5 dataset of the targets; auto: the workload's (cosmoflow: y, then unitPar).",
                 .required = true},
                &data.format.target);
  visitor.close();
  visitor.close();
}

/// The first and those after it.
Texts targets_of(StageOptions& stage) {
  return {[&stage] {
            std::vector<std::string> all = stage.other_targets;
            if (!stage.target.empty()) all.insert(all.begin(), stage.target);
            return all;
          },
          [&stage](std::vector<std::string> all) {
            stage.target = all.empty() ? "" : std::move(all.front());
            if (!all.empty()) all.erase(all.begin());
            stage.other_targets = std::move(all);
          }};
}

void describe_staging(Visitor& visitor, StageOptions& stage, LoadOptions& load) {
  visitor.open("stage", "Copying the dataset to node-local storage before training.");
  visitor.words({.name = "strategy",
                 .doc = "none: read where the data are; replicate: every node gets the whole set; shard: each node "
                        "gets its part, in whole files; group: /stage/group nodes in a row hold one part."},
                stage.strategy);
  visitor.words({.name = "mode",
                 .doc = "before: training begins once all is staged; overlap: it begins at once and reads the source "
                        "while each node copies what it lacks."},
                stage.mode);
  visitor.words({.name = "form",
                 .doc = "files: at the target as at the source; packed: small ones one behind the other in a few large "
                        "files, for sets of very many."},
                stage.form);
  visitor.field({.name = "inflate",
                 .doc = "Stage compressed files (HDF5's deflate) inflated: more space and bytes to write, and no epoch "
                        "inflates them again."},
                &stage.inflate);
  visitor.field({.name = "group",
                 .doc = "Nodes that hold the same part, with strategy group; divides the nodes. 1 is shard, all nodes "
                        "replicate.",
                 .unit = "nodes",
                 .minimum = 1},
                &stage.group);
  visitor.field({.name = "deal_seed",
                 .doc = "Which files make up a part, where several have as many samples. Another one wants other files "
                        "on each node.",
                 .minimum = 0},
                &stage.deal_seed);
  visitor.words(
      {.name = "transport",
       .doc = "How files that several nodes hold are read. copy: by each node; exchange: each block by one of "
              "them, which sends it to the others; auto: exchange where several nodes want the same."},
      stage.transport);
  visitor.field({.name = "inflight_mib",
                 .doc = "Memory of a rank for blocks on their way to other nodes.",
                 .unit = "MiB",
                 .minimum = 8,
                 .maximum = 16384},
                &stage.inflight_mib);
  visitor.field({.name = "target",
                 .doc = "Folder on node-local storage; required unless the strategy is none. Of several in a list the "
                        "first is taken in which every node's part fits.",
                 .path = true},
                targets_of(stage));
  visitor.field({.name = "reuse", .doc = "Keep files that are already in the target and right."}, &stage.reuse);
  visitor.words({.name = "verify",
                 .doc = "copy: hash what is copied and what is reused, and compare with what is known; readback: also "
                        "what the device holds then, past the page cache; none: neither.",
                 .no_and_yes = {"none", "copy"}},
                stage.verify);
  visitor.field({.name = "reserve_percent",
                 .doc = "Free space to leave on the target's file system.",
                 .unit = "percent",
                 .minimum = 0,
                 .below = 100},
                &stage.reserve_percent);
  visitor.field(
      {.name = "wait_seconds",
       .doc = "How long to wait for another run that holds the target; counted anew whenever one that fills it "
              "makes progress.",
       .unit = "seconds",
       .minimum = 0},
      &stage.wait_seconds);
  visitor.close();
  visitor.open("load", "Reading samples ahead of need.");
  visitor.field(
      {.name = "threads",
       .doc = "Reader threads per rank and split. auto: one, and more where steps turn out to wait for input, as "
              "many as bring a step's samples in the time that it takes without.",
       .minimum = 1,
       .maximum = 1024,
       .or_word = "auto"},
      &load.threads);
  visitor.field(
      {.name = "prefetch", .doc = "Batches read ahead, at most.", .unit = "batches", .minimum = 1, .maximum = 4096},
      &load.prefetch);
  visitor.field(
      {.name = "memory_mib",
       .doc = "Memory of a rank for samples, which later epochs and evaluations take from there, inflated and "
              "decoded: first evaluation's, then training's in the order in which they come until it is full. "
              "0: none are kept; auto: half of what the job may still use on a node, shared by its ranks.",
       .unit = "MiB",
       .minimum = 0,
       .maximum = 16777216,
       .or_word = "auto",
       .word_value = LoadOptions::memory_auto},
      &load.memory_mib);
  visitor.close();
}

void describe_train(Visitor& visitor, TrainOptions& train) {
  visitor.open("train", "How training proceeds and when it ends.");
  visitor.field({.name = "global_batch",
                 .doc = "Samples of one step over all ranks; divisible by the number of ranks.",
                 .unit = "samples",
                 .minimum = 1,
                 .maximum = most_samples},
                &train.global_batch);
  visitor.field(
      {.name = "gradient_accumulation_steps",
       .doc = "Parts in which each rank computes its share of a step, one after the other, for a global batch "
              "that does not fit in memory; their gradients are summed before they leave.",
       .minimum = 1,
       .maximum = most_parts},
      &train.gradient_accumulation_steps);
  visitor.words({.name = "until",
                 .doc = "target: the validation error is reached (a time to train); epochs, steps, seconds: fixed "
                        "work, which reports rates only."},
                train.until);
  visitor.field({.name = "epochs",
                 .doc = "With until epochs: how many; with until target: at most so many.",
                 .unit = "epochs",
                 .minimum = 1},
                &train.epochs);
  visitor.field({.name = "steps", .doc = "With until steps: how many.", .unit = "steps", .minimum = 1}, &train.steps);
  visitor.field({.name = "seconds", .doc = "With until seconds: for how long.", .unit = "s", .above = 0},
                &train.seconds);
  visitor.field({.name = "target",
                 .doc = "Validation figure to reach (cosmoflow: mean absolute error); 0: the benchmark's (0.124).",
                 .minimum = 0},
                &train.target);
  visitor.words({.name = "precision",
                 .doc = "Element type of activations; weights, gradients and updates are always fp32. tf32: fp32 whose "
                        "matrix work rounds its operands on a GPU (a CPU computes in fp32); fp16: with a dynamic loss "
                        "scale, on a GPU only."},
                train.precision);
  visitor.words(
      {.name = "loss_scaling",
       .doc = "A dynamic loss scale: steps whose gradients overflow are skipped and halve it. auto: with fp16 "
              "(precision or wire); on: with every precision."},
      train.loss_scaling);
  visitor.words(
      {.name = "on_divergence",
       .doc = "Once a loss or the metric is not finite, or no update happens any more. stop: the run ends with "
              "code 6; continue: it goes on and says so in its last lines and in run.json (for speed alone)."},
      train.on_divergence);
  visitor.field(
      {.name = "eval_every",
       .doc = "Epochs from one evaluation to the next (resnet50, closed: 4; the others' rules ask for one an epoch). "
              "There is always one behind the last epoch.",
       .unit = "epochs",
       .minimum = 1},
      &train.eval_every);
  visitor.field({.name = "eval_first",
                 .doc = "Epochs before the first evaluation, at most eval_every; 0: as many.",
                 .unit = "epochs",
                 .minimum = 0},
                &train.eval_first);
  visitor.words(
      {.name = "eval_statistics",
       .doc = "With which running statistics of norms a rank evaluates: their means over ranks, or its own, as "
              "MLPerf submissions did."},
      train.eval_statistics);
  visitor.words(
      {.name = "buckets",
       .doc = "Which gradients are summed over ranks together. sized: neighbours of bucket_mib or more; cubic: "
              "3, then 21, 57, 111 ... tensors from the output on (Fujitsu); listed: bucket_ends."},
      train.buckets);
  visitor.field(
      {.name = "norms_last",
       .doc = "Norms' gradients, which are small and many, wait for a bucket of their own behind all others."},
      &train.norms_last);
  visitor.words({.name = "wire",
                 .doc = "In which gradients travel between ranks: each rank's are rounded to it, and so is their sum "
                        "(which is fp32 on a CPU, and rounded at each hop by NCCL). fp16 needs a loss scale, which "
                        "comes with it. The loss, and norms that wait for a bucket of their own, stay in fp32; a rank "
                        "alone sends nothing."},
                train.wire);
  visitor.field({.name = "bucket_mib",
                 .doc = "Least size of a sized bucket; smaller ones leave earlier, larger ones cost less.",
                 .unit = "MiB",
                 .maximum = 1048576,
                 .above = 0},
                &train.bucket_mib);
  ElementList ends(train.bucket_ends, [](Visitor& to, TrainOptions::BucketEnd& end) {
    to.field({.name = "tensors",
              .doc = "A bucket ends behind so many tensors of parameters, counted from the output.",
              .unit = "tensors",
              .minimum = 1,
              .required = true},
             &end.tensors);
  });
  visitor.list("bucket_ends", "Of listed buckets, in ascending order; a last bucket takes what is left.", ends);
  visitor.close();
}

void describe_backend(Visitor& visitor, BackendOptions& backend) {
  visitor.open("backend", "What computes.");
  visitor.words({.name = "device",
                 .doc = "auto takes a GPU where one is usable; emulated: none computes, steps take the time that "
                        "`emulated` states, around true reading, uploads and sums over ranks."},
                backend.device);
  visitor.field({.name = "threads",
                 .doc = "Compute threads per rank; 0: the rank's usable cores less the communication thread.",
                 .minimum = 0,
                 .maximum = 4096},
                &backend.threads);
  visitor.words(
      {.name = "overlap", .doc = "All-reduce beside the backward pass; auto: where each rank has a core to spare."},
      backend.overlap);
  visitor.field(
      {.name = "deterministic",
       .doc = "Leave out algorithms whose results vary from run to run; all ranks take rank 0's plans (GPU; a "
              "CPU repeats itself anyway)."},
      &backend.deterministic);
  visitor.field({.name = "autotune",
                 .doc = "Choose plans by timing candidates before the clock starts, not by heuristics (GPU; no effect "
                        "on a CPU)."},
                &backend.autotune);
  visitor.field({.name = "plan_cache",
                 .doc = "Folder that keeps plans from one run to the next; empty: none (GPU; no effect on a CPU).",
                 .path = true},
                &backend.plan_cache);
  visitor.field(
      {.name = "capture", .doc = "Launch a step as one recording; false: launch by launch (GPU; no effect on a CPU)."},
      &backend.capture);
  visitor.field(
      {.name = "accept_known_faults",
       .doc = "Compute even what this version of cuDNN is known to compute wrongly (GPU; no effect on a CPU)."},
      &backend.accept_known_faults);
  visitor.field({.name = "nccl_alone",
                 .doc = "Sum through NCCL even where there is but one rank, to see what its calls cost (GPU; no effect "
                        "on a CPU)."},
                &backend.nccl_alone);
  visitor.open("emulated", "How long a device that is not there takes: like a known one, or as stated.");
  visitor.field(
      {.name = "like", .doc = "Device of `plan --device` whose floor a step takes, from the graph; empty: as stated."},
      &backend.emulated.like);
  visitor.field({.name = "train_ms",
                 .doc = "Time of a training step of a rank, where nothing has to be waited for.",
                 .unit = "ms",
                 .minimum = 0,
                 .maximum = 3.6e6},
                &backend.emulated.train_ms);
  visitor.field(
      {.name = "eval_ms", .doc = "Time of an evaluation step of a rank.", .unit = "ms", .minimum = 0, .maximum = 3.6e6},
      &backend.emulated.eval_ms);
  visitor.close();
  visitor.close();
}

void describe_submission(Visitor& visitor, SubmissionOptions& submission) {
  visitor.open("submission", "Who runs, as the header of the MLPerf log says it.");
  visitor.words(
      {.name = "division",
       .doc = "closed is refused unless data, network, momentum, target and sample counts are the reference's."},
      submission.division);
  visitor.field({.name = "org", .doc = "Submitting organisation.", .required = true}, &submission.org);
  visitor.field({.name = "platform", .doc = "Name of the system.", .required = true}, &submission.platform);
  visitor.words({.name = "status", .doc = "Availability of the system."}, submission.status);
  visitor.words(
      {.name = "ruleset",
       .doc = "Rules the log is judged by: 1.0.0, 2.0.0 and 3.0.0 are MLPerf HPC's (cosmoflow, deepcam; 3.0.0 "
              "lets staging to durable storage stand before the clock), 4.0.0 is MLPerf Training's (resnet50); "
              "auto: the latest of the workload."},
      submission.ruleset);
  visitor.field({.name = "generated_data",
                 .doc = "The data are generated: the run is no MLPerf result whatever the verdict, and says so."},
                &submission.generated_data);
  visitor.close();
}

void describe_outputs(Visitor& visitor, ResultsOptions& results, WatchdogOptions& watchdog) {
  visitor.open("results", "What a run leaves behind.");
  visitor.field(
      {.name = "folder", .doc = "Results go to <folder>/<name>/<job or time>/.", .path = true, .required = true},
      &results.folder);
  visitor.field({.name = "progress_seconds",
                 .doc = "Interval of progress lines where there is no terminal.",
                 .unit = "s",
                 .minimum = 1},
                &results.progress_seconds);
  visitor.close();
  visitor.open("watchdog", "A phase without progress for this long ends the job with exit code 124.");
  visitor.field({.name = "init_seconds", .doc = "Limit of initialisation.", .unit = "s", .above = 0},
                &watchdog.init_seconds);
  visitor.field({.name = "stage_seconds", .doc = "Limit of staging.", .unit = "s", .above = 0},
                &watchdog.stage_seconds);
  visitor.field({.name = "step_seconds", .doc = "Limit of one training or evaluation step.", .unit = "s", .above = 0},
                &watchdog.step_seconds);
  visitor.close();
}

}  // namespace

void describe(Visitor& visitor, RunOptions& options) {
  visitor.open("", "A trainmark run.");
  visitor.field({.name = "name",
                 .doc = "Name of the results folder.",
                 .pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$",
                 .pattern_text = "up to 100 letters, digits, '.', '_' and '-', not starting with '.'",
                 .longest = 100},
                &options.name);
  VariantChoice workload(options.recipe.model,
                         {.name = "workload",
                          .doc = "The benchmark.",
                          .words = {Words<Workload>::all.begin(), Words<Workload>::all.end()}},
                         [](Visitor& to, auto& model) { describe_model(to, model); });
  visitor.select(workload);
  visitor.field({.name = "seed",
                 .doc = "Of initial weights, sample order and dropout; 0: drawn from the system's entropy and logged.",
                 .minimum = 0},
                &options.seed);
  visitor.field({.name = "clear_cache",
                 .doc = "Drop each node's page cache before init_start (needs root); logged only if it was done."},
                &options.clear_cache);
  describe_data(visitor, options.data);
  describe_staging(visitor, options.stage, options.load);
  visitor.alternatives(workload);
  describe_optimizer(visitor, options.recipe.rule);
  describe_schedules(visitor, options.recipe.schedule, options.recipe.scaling);
  describe_train(visitor, options.train);
  describe_backend(visitor, options.backend);
  describe_submission(visitor, options.submission);
  describe_outputs(visitor, options.results, options.watchdog);
  visitor.close();
}

}  // namespace trainmark::config
