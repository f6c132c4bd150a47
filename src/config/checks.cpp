// What needs ranks or the dataset is checked by the run itself (check_options); here is what the config alone tells.
#include "config/checks.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <limits>
#include <utility>

namespace trainmark::config {
namespace {

class Checker {
 public:
  Checker(const RunOptions& options, const std::set<std::string>& wrong) : options_(options), wrong_(wrong) {}

  std::vector<Conflict> all() {
    staging();
    schedule();
    counts();
    buckets();
    rules();
    division();
    emulation();
    return std::move(found_);
  }

 private:
  /// The key or a section around it was complained of.
  [[nodiscard]] bool doubtful(std::string_view pointer) const {
    for (; !pointer.empty(); pointer = pointer.substr(0, pointer.rfind('/')))
      if (wrong_.contains(std::string(pointer))) return true;
    return false;
  }
  void add(std::string pointer, std::string text) {
    if (!doubtful(pointer)) found_.push_back({std::move(pointer), std::move(text)});
  }

  void overlap() {
    const StageOptions& stage = options_.stage;
    if (stage.mode != StageMode::overlap) return;
    if (stage.strategy == Strategy::none)
      add("/stage/mode",
          "\"overlap\" has no effect with /stage/strategy none (nothing is staged); choose another strategy, or "
          "\"before\"");
    if (stage.transport == Transport::exchange)
      add("/stage/transport",
          "\"exchange\" does not go with /stage/mode \"overlap\" (nodes would have to wait for each other in the midst "
          "of training); set it to \"auto\" or \"copy\"");
  }
  void form() {
    const StageOptions& stage = options_.stage;
    if (stage.form != StageForm::packed) return;
    if (stage.strategy == Strategy::none)
      add("/stage/form",
          "\"packed\" has no effect with /stage/strategy none (nothing is staged); choose another strategy, or "
          "\"files\"");
    else if (stage.mode == StageMode::overlap)
      add("/stage/form",
          "\"packed\" does not go with /stage/mode \"overlap\" (each file is to be read from the target as soon as it "
          "is "
          "there, by its name); set it to \"files\", or /stage/mode to \"before\"");
    if (stage.verify == Verify::readback)
      add("/stage/verify",
          "\"readback\" does not go with /stage/form \"packed\" (containers are not read back); set it to \"copy\", or "
          "/stage/form to \"files\"");
  }
  void inflate() {
    const StageOptions& stage = options_.stage;
    if (!stage.inflate) return;
    if (stage.strategy == Strategy::none)
      add("/stage/inflate",
          "has no effect with /stage/strategy none (nothing is staged); choose another strategy, or false");
    else if (stage.mode == StageMode::overlap)
      add("/stage/inflate",
          "does not go with /stage/mode \"overlap\" (a file is read at its source or at the target, by one layout); "
          "set "
          "it to false, or /stage/mode to \"before\"");
    if (stage.transport == Transport::exchange)
      add("/stage/transport",
          "\"exchange\" does not go with /stage/inflate (nodes inflate what they read themselves); set it to \"auto\" "
          "or "
          "\"copy\"");
  }
  void staging() {
    overlap();
    form();
    inflate();
    if (options_.stage.strategy == Strategy::none) return;
    if (options_.stage.target.empty()) {
      add("/stage/target", fmt::format("is missing, /stage/strategy {} needs it; name a folder on node-local storage",
                                       word(options_.stage.strategy)));
      return;
    }
    stays_apart(options_.stage.target);
    for (std::size_t at = 0; at < options_.stage.other_targets.size(); ++at) {
      const std::string& other = options_.stage.other_targets[at];
      stays_apart(other);
      const auto same = [&](const std::string& before) {
        return std::filesystem::path(before).lexically_normal() == std::filesystem::path(other).lexically_normal();
      };
      const std::span before = std::span(options_.stage.other_targets).first(at);
      if (same(options_.stage.target) || std::ranges::any_of(before, same))
        add("/stage/target", fmt::format("names \"{}\" twice; name each folder once, the fastest first", other));
    }
  }
  void stays_apart(const std::string& named) {
    // Splits are staged below the target under names of their own, and a source is read at any depth.
    const auto clean = [](const std::filesystem::path& path) { return (path / "").lexically_normal(); };
    const std::filesystem::path target(named);
    const std::pair<const std::string&, const char*> splits[] = {{options_.data.train, "train"},
                                                                 {options_.data.validation, "validation"}};
    const auto lies_in = [](const std::filesystem::path& path, const std::filesystem::path& folder) {
      const auto last = std::prev(folder.end());  // the empty name behind the last slash
      return std::mismatch(folder.begin(), last, path.begin(), path.end()).first == last;
    };
    for (const auto& [source, name] : splits) {
      if (source.empty()) continue;
      const std::filesystem::path from = clean(source), to = clean(target);
      const auto overwritten =
          std::ranges::find_if(splits, [&](const auto& split) { return lies_in(from, clean(target / split.second)); });
      if (from == to || from == clean(target / name)) {
        add("/stage/target",
            fmt::format("\"{}\" is the source itself (staging would overwrite it); name another folder", source));
      } else if (overwritten != std::end(splits)) {
        add("/stage/target", fmt::format("\"{}\" is where the {} samples are staged to (staging would overwrite the "
                                         "source); name another folder",
                                         source, overwritten->second));
      } else if (lies_in(to, from)) {
        add("/stage/target", fmt::format("\"{}\" lies within \"{}\" (the copies would be taken for samples); name a "
                                         "folder outside of it",
                                         named, source));
      }
    }
  }

  struct Ordered {
    std::string_view list, key, one, several;
  };
  /// `value` gives what stands in ascending order, under `key` of each element of `list`.
  template <class Element, class Value>
  void ascending(const std::vector<Element>& elements, const Ordered& what, const Value& value) {
    for (std::size_t i = 1; i < elements.size(); ++i) {
      if (value(elements[i]) > value(elements[i - 1])) continue;
      add(fmt::format("{}/{}/{}", what.list, i, what.key),
          fmt::format("{} does not come after the {} {} before it; write {} in ascending order", value(elements[i]),
                      what.one, value(elements[i - 1]), what.several));
    }
  }
  template <class Falling>
  void falling(const Falling& schedule) {
    if (schedule.end_rate <= schedule.rate) return;
    add("/schedule/end_rate",
        fmt::format("{} is above /schedule/rate {}{} (the rate falls after the warm-up); lower it, or raise the rate",
                    schedule.end_rate, schedule.rate,
                    options_.recipe.scaling.base_batch > 0 ? ", as it is at this batch" : ""));
  }
  /// The key of the rate that a warm-up reaches.
  [[nodiscard]] static const char* peak_key(const Schedule& schedule) {
    return std::holds_alternative<PiecewiseSchedule>(schedule) ? "/schedule/peak_rate" : "/schedule/rate";
  }
  /// Devices compute with rates in fp32.
  void peak(const Schedule& scheduled) {
    const double rate = peak_rate_of(scheduled);
    if (rate <= static_cast<double>(std::numeric_limits<float>::max()) && static_cast<float>(rate) > 0.0F) return;
    add(peak_key(scheduled),
        fmt::format("comes to {:.6g} at this batch, which is no rate in fp32 ({}); choose another, or another "
                    "/schedule/base_batch",
                    rate, rate < 1.0 ? "nothing would be learnt" : "the first update would be infinite"));
  }
  void schedule() {
    const BatchScaling& scaling = options_.recipe.scaling;
    if (scaling.law != BatchLaw::linear && scaling.base_batch == 0) {
      add("/schedule/batch_scaling", fmt::format("{} has no effect without /schedule/base_batch (there is nothing to "
                                                 "scale from); name the batch that the rates are for",
                                                 word(scaling.law)));
    }
    const Schedule scheduled = schedule_of(options_.recipe, options_.train.global_batch);
    const auto* by_step = std::get_if<StepSchedule>(&scheduled);
    const bool ends_at_0 = by_step != nullptr && by_step->warmup_steps == 1 && by_step->warmup_factor == 1.0;
    if (ends_at_0) {
      add("/schedule/warmup_steps",
          "1 leaves a rate of 0 (the warm-up ends one step short); use 0 for none, or 2 or more");
    } else {
      peak(scheduled);
    }
    if (const auto* by_epoch = std::get_if<PiecewiseSchedule>(&scheduled)) {
      ascending(by_epoch->decay, {"/schedule/decay", "epoch", "boundary", "boundaries"},
                [](const auto& decay) { return decay.epoch; });
      const double written = std::get<PiecewiseSchedule>(options_.recipe.schedule).peak_rate;
      const bool turned = by_epoch->base_rate <= written && by_epoch->base_rate > by_epoch->peak_rate;
      if (turned && by_epoch->warmup_epochs > 0)
        add("/schedule/base_rate",
            fmt::format(
                "{} is above /schedule/peak_rate {}, as it is at this batch (the warm-up would fall); lower it, "
                "or leave the warm-up out",
                by_epoch->base_rate, by_epoch->peak_rate));
    }
    if (const auto* polynomial = std::get_if<PolynomialSchedule>(&scheduled)) falling(*polynomial);
    if (const auto* tanh = std::get_if<TanhSchedule>(&scheduled)) {
      falling(*tanh);
      if (tanh->lower >= tanh->upper) {
        add("/schedule/lower", fmt::format("{} is not below /schedule/upper {} (the rate would not fall); -6 and 3 are "
                                           "HTD's own",
                                           tanh->lower, tanh->upper));
      }
    }
    if (by_step == nullptr) return;
    ascending(by_step->decay, {"/schedule/decay", "step", "boundary", "boundaries"},
              [](const auto& decay) { return decay.step; });
    if (by_step->cosine_steps > 0 && !by_step->decay.empty()) {
      add("/schedule/cosine_steps",
          fmt::format("{} steps of a cosine and {} boundaries exclude each other; leave one of them out",
                      by_step->cosine_steps, by_step->decay.size()));
    }
  }

  void counts() {
    const std::int64_t batch = options_.train.global_batch;
    const std::int64_t parts = options_.train.gradient_accumulation_steps;
    if (batch % parts != 0 && !doubtful("/train/global_batch")) {
      add("/train/gradient_accumulation_steps",
          fmt::format(
              "{} parts do not divide /train/global_batch {} (each part takes the same number of samples); use a "
              "divisor of {}",
              parts, batch, batch));
    }
    const std::int64_t samples = options_.data.train_samples;
    if (samples == 0 || samples % batch == 0 || doubtful("/train/global_batch")) return;
    if (remainder_of(options_.recipe.model) != Remainder::refused && samples > batch) return;
    const std::int64_t fewer = samples / batch * batch;
    add("/data/train_samples",
        fmt::format(
            "{} is not a multiple of /train/global_batch {} (each sample is visited exactly once an epoch, in whole "
            "batches); use {}",
            samples, batch, fewer > 0 ? fewer : batch));
  }

  void buckets() {
    const std::vector<TrainOptions::BucketEnd>& ends = options_.train.bucket_ends;
    const bool listed = options_.train.buckets == Buckets::listed;
    if (listed == ends.empty()) {
      add("/train/bucket_ends",
          listed
              ? "is missing, /train/buckets listed needs it; name the ends of buckets, or choose sized or cubic"
              : fmt::format("has {} ends, of which /train/buckets {} takes no notice; choose listed, or leave them out",
                            ends.size(), word(options_.train.buckets)));
    }
    ascending(ends, {"/train/bucket_ends", "tensors", "end", "ends"}, [](const auto& end) { return end.tensors; });
  }

  /// The rules of a log follow from the benchmark; a version is one of theirs.
  void rules() {
    const Ruleset version = options_.submission.ruleset;
    const bool training = rules_of(options_).usage == Usage::training;
    if (version != Ruleset::latest && (version == Ruleset::v4_0_0) != training && !doubtful("/submission/ruleset")) {
      add("/submission/ruleset",
          fmt::format("{} are no rules of {} (logs of this workload are judged by MLPerf {}'s); use \"auto\" or {}",
                      word(version), benchmark_of(options_.recipe.model), training ? "Training" : "HPC",
                      training ? "\"4.0.0\"" : "\"3.0.0\""));
    }
    if (!training && options_.train.eval_every != 1 && !doubtful("/train/eval_every")) {
      add("/train/eval_every",
          fmt::format("{} epochs lie between evaluations (the rules of {} ask for one behind each epoch); use 1",
                      options_.train.eval_every, benchmark_of(options_.recipe.model)));
    }
    if (options_.train.eval_first > options_.train.eval_every && !doubtful("/train/eval_first")) {
      add("/train/eval_first",
          fmt::format("{} is more than /train/eval_every {} (evaluations are at most so far apart); use {} or less",
                      options_.train.eval_first, options_.train.eval_every, options_.train.eval_every));
    }
  }

  void division() {
    if (options_.submission.division != Division::closed || doubtful("/submission/division")) return;
    const DatasetFacts facts{options_.data.train_samples, options_.data.validation_samples,
                             options_.submission.generated_data};
    for (const RuleBreach& breach : closed_breaches(options_.recipe, facts, train_facts(options_))) {
      // 0 means all that are there: only the dataset can tell.
      if (breach.found == "0" && breach.subject.starts_with("/data/")) continue;
      add(breach.subject,
          fmt::format("{} is not what the closed division asks for: {}; set /submission/division to \"open\"",
                      breach.found, breach.required));
    }
    const double asked = quality_target(benchmark_of(options_.recipe.model)).value().value;
    if (options_.train.until == Until::target && !doubtful("/train/until") && target_of(options_).value != asked) {
      add("/train/target",
          fmt::format("{} is not what the closed division asks for: {}; set /submission/division to \"open\"",
                      options_.train.target, asked));
    }
  }

  /// What is emulated computes nothing, and never leaves a figure that could be taken for training's.
  void emulation() {
    const EmulatedDevice& device = options_.backend.emulated;
    const bool stated = device.train_ms > 0.0 || device.eval_ms > 0.0;
    if (options_.backend.device != DeviceChoice::emulated) {
      if (stated || !device.like.empty()) {
        add("/backend/emulated",
            fmt::format("has no effect with /backend/device {}; set that to \"emulated\", or leave "
                        "this section out",
                        word(options_.backend.device)));
      }
      return;
    }
    if (device.like.empty() && (device.train_ms <= 0.0 || device.eval_ms <= 0.0)) {
      add(device.train_ms <= 0.0 ? "/backend/emulated/train_ms" : "/backend/emulated/eval_ms",
          "is missing, /backend/device emulated needs it; state the milliseconds of a step, or name a device as "
          "/backend/emulated/like");
    }
    if (!device.like.empty() && stated) {
      add("/backend/emulated/like",
          fmt::format("{} and stated times exclude each other; leave one of them out", device.like));
    }
    if (options_.train.until == Until::target && !doubtful("/train/until")) {
      add("/train/until",
          "target cannot be reached with /backend/device emulated (nothing is computed, so there is no time to train); "
          "use \"epochs\", \"steps\" or \"seconds\"");
    }
    if (options_.submission.division == Division::closed && !doubtful("/submission/division")) {
      add("/submission/division",
          "closed is not for /backend/device emulated (nothing is computed); set it to \"open\"");
    }
  }

  const RunOptions& options_;
  const std::set<std::string>& wrong_;
  std::vector<Conflict> found_;
};

}  // namespace

std::vector<Conflict> conflicts(const RunOptions& options, const std::set<std::string>& wrong) {
  return Checker(options, wrong).all();
}

}  // namespace trainmark::config
