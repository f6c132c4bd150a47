// Time to train = staging + epochs x (steps x t_step + evaluation) + what else the clock holds, each at the other
// scale.
#include "report/analyse/what_if.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "report/analyse/convergence.hpp"
#include "report/analyse/gradients.hpp"
#include "report/analyse/staging_model.hpp"

namespace trainmark::report {
namespace {

using enum FigureSource;
constexpr std::string_view option = "--what-if";

[[noreturn]] void refuse(std::string what, std::string why, std::string remedy) {
  throw Error(ExitCode::usage, Complaint{std::string(option), std::move(what), std::move(why), std::move(remedy)});
}

class Scaling {
 public:
  Scaling(const WhatIf& question, std::span<const ScaleRow> rows, std::span<const Tier> tiers)
      : question_(question), rows_(rows), tiers_(tiers), experience_(published_experience()) {}

  WhatIfAnswer result() {
    choose_base();
    find_target();
    set_network();
    set_groups();
    const StepAnswer step = predict_step(seen_, processes_, local_batch_, experience_, network_);
    if (!step.prediction) refuse(step.why_not, {}, "or ask for what the runs hold");
    step_ = *step.prediction;
    add_asked();
    if (const double crowding = ranks_a_cpu(); crowding > 1.0) {
      add_crowded_rates(crowding);
      add_data();
    } else {
      add_rates();
      add_data();
      add_epochs();
      add_time();
      add_curve();
    }
    answer_.base = base_->group->name;
    return std::move(answer_);
  }

 private:
  [[nodiscard]] const RunFacts& facts() const { return base_->group->first().facts; }

  void choose_base() {
    std::set<std::string> workloads;
    std::set<Traits> series;
    for (const ScaleRow& row : rows_) {
      workloads.insert(row.group->first().benchmark);
      series.insert(series_traits(row.group->first()));
    }
    if (workloads.size() > 1)
      refuse(fmt::format("runs of {} workloads", workloads.size()), "their steps are no series",
             "name runs of one workload");
    const std::vector<Traits> all(series.begin(), series.end());
    std::string differ;
    for (const std::string& name : differing(all)) {
      std::set<std::string> values;
      for (const Traits& each : all)
        values.insert(value_in(each, name));
      differ += fmt::format("{}{} ({})", differ.empty() ? "" : ", ", name, fmt::join(values, "; "));
    }
    if (!differ.empty())
      refuse("the runs differ in " + differ, "their steps are no series",
             "name runs that differ in nodes, ranks and batch alone");
    seen_ = observations_of(rows_);
    if (seen_.empty())
      refuse("no run tells batch, rate and number of ranks", "a step's time follows from them",
             "name runs whose logs have global_batch_size, number_of_ranks and whole epochs");
    for (const ScaleRow& row : rows_)
      if (row.step_s && row.local_batch && (base_ == nullptr || row.processes > base_->processes)) base_ = &row;
  }

  void find_target() {
    nodes_ = question_.nodes;
    if (nodes_ && !base_->nodes)
      refuse("the runs do not tell their number of nodes", {}, "ask for ranks= instead of nodes=");
    if (!question_.ranks) {
      processes_ = *nodes_ * ranks_a_node();
    } else {
      processes_ = *question_.ranks;
      if (!nodes_ && base_->nodes)
        nodes_ = grows_within_nodes() ? std::min(*base_->nodes, processes_) : std::ceil(processes_ / ranks_a_node());
    }
    batch_ = question_.batch_samples.value_or(*base_->local_batch * processes_);
    local_batch_ = batch_ / processes_;
    const double samples = facts().train_samples.value_or(HUGE_VAL);
    if (batch_ > samples)
      refuse(fmt::format("a batch of {} is more than the {} training samples", batch_, samples), {},
             "ask for fewer nodes or a smaller batch");
    if (local_batch_ < 1.0 && *base_->local_batch >= 1.0)
      refuse(fmt::format("a batch of {} leaves some of {} ranks without a sample", batch_, processes_),
             "in the runs each rank trains whole samples", "ask for fewer nodes or a larger batch");
  }

  [[nodiscard]] double ranks_a_node() const { return base_->processes / *base_->nodes; }

  /// Whether the runs have several numbers of ranks on the same nodes: then more ranks are taken to be there too.
  [[nodiscard]] bool grows_within_nodes() const {
    return std::ranges::any_of(rows_, [this](const ScaleRow& row) {
      return row.step_s && row.nodes == base_->nodes && row.processes != base_->processes;
    });
  }

  void set_network() {
    if (!question_.network_bytes_per_s) return;
    gradients_ = gradients_of(base_->group->first());
    if (!gradients_)
      refuse("the runs do not tell how many parameters their network has, and it is none of the reference's",
             "an all-reduce's time follows from its gradients", "leave out network=");
    network_ =
        StatedNetwork{*question_.network_bytes_per_s, question_.latency_s, *gradients_->then * 1e6, question_.hidden_s};
  }

  /// How many nodes hold the same part, now and then.
  void set_groups() {
    using enum WhatIf::Staging;
    const std::optional<double> known = group_of(facts());
    replicates_ = question_.staging == replicate ||
                  (question_.staging == as_logged && known && facts().stage_strategy == "replicate");
    // Entries of others stage shards as a rule, and where the whole set is asked for it is taken to be on each node.
    group_now_ = known.value_or(question_.staging == replicate ? base_->nodes.value_or(base_->processes) : 1.0);
    if (replicates_)
      group_then_ = nodes_.value_or(processes_);
    else if (question_.staging == group)
      group_then_ = question_.stage_group;
    else if (question_.staging == as_logged)
      group_then_ = group_now_;
    if (question_.staging == group && !nodes_)
      refuse("the runs do not tell their number of nodes", "groups are of nodes", "ask for staging=shard or replicate");
    if (nodes_ && !replicates_ && group_then_ > 1.0 && std::fmod(*nodes_, group_then_) != 0.0)
      refuse(fmt::format("groups of {} nodes do not divide {} nodes", group_then_, *nodes_),
             "each group holds the whole set, in parts of one size",
             "ask for staging=group:M with an M that divides them, or staging=shard");
  }

  void add(Predicted figure) { answer_.figures.push_back(std::move(figure)); }

  void add_asked() {
    const bool asked = question_.nodes.has_value();
    add({"nodes",
         "",
         base_->nodes,
         nodes_,
         {},
         {},
         assumed,
         asked                  ? "asked for"
         : !nodes_              ? "the runs do not tell"
         : grows_within_nodes() ? "more ranks on the same nodes, as in the runs; ranks=,nodes= asks for others"
                                : "as many ranks a node as in the runs; ranks=,nodes= asks for others"});
    add({"ranks", "", base_->processes, processes_, {}, {}, assumed, "asked for"});
    add({"batch", "samples", facts().batch_samples, batch_, {}, {}, assumed, "asked for"});
    add({"local batch", "samples", base_->local_batch, local_batch_, {}, {}, assumed, "asked for"});
  }

  /// Ranks of the busiest node over its CPUs, as the runs had them; 0 where that is not known, and where the runs had
  /// as many ranks a node: then their steps hold what it costs.
  [[nodiscard]] double ranks_a_cpu() const {
    RunFacts asked = facts();
    asked.processes = processes_;
    asked.nodes = nodes_;
    const double now = facts().ranks_a_cpu().value_or(0.0), then = asked.ranks_a_cpu().value_or(0.0);
    return then > now ? then : 0.0;
  }

  /// Of ranks that take turns on a node's CPUs nothing promises how well they do so. But each has to compute what it
  /// did, so a step takes at least the sum of that over the CPUs.
  void add_crowded_rates(double crowding) {
    const bool computes = facts().device.starts_with("cpu");
    const std::optional<double> share = share_of_step(*base_->group, "mean step, compute");
    std::optional<double> least;
    if (computes && share && facts().ranks_a_cpu() <= 1.0)
      least = crowding * *share * std::min(*base_->step_s, step_.step_s);
    const std::string who = fmt::format("oversubscribed: {:g} ranks on the {:g} CPUs of a node",
                                        std::ceil(processes_ / *nodes_), *facts().node_cpus);
    Predicted step{"step", "ms", *base_->step_s * 1e3, {}, {}, {}, modelled, who + "; no step is known"};
    Predicted rate{"rate", "samples/s", base_->rate, {}, {}, {}, modelled, "batch over step"};
    if (least) {
      step.low = *least * 1e3;
      step.basis = fmt::format("{}: at least {:g} times what a rank computes in a step now", who, crowding);
      rate.high = batch_ / *least;
    }
    add(std::move(step));
    add(std::move(rate));
    answer_.remarks.push_back(who + ", which take turns there: no step, epochs or time to train can be told" +
                              (least ? ", but the least that a step takes" : ""));
  }

  void add_rates() {
    if (gradients_) add(*gradients_);
    add({"step", "ms", *base_->step_s * 1e3, step_.step_s * 1e3, step_.low_s * 1e3, step_.high_s * 1e3, modelled,
         step_.basis});
    add({"rate", "samples/s", base_->rate, batch_ / step_.step_s, batch_ / step_.high_s, batch_ / step_.low_s, modelled,
         "batch over step"});
    if (network_ && !step_.of_network)
      answer_.remarks.push_back("the stated network is not in the step, which rests on " + step_.basis);
    if (!network_ && processes_ > 1.0 &&
        std::ranges::all_of(seen_, [](const StepObservation& each) { return each.processes < 2.0; }))
      answer_.remarks.push_back(
          "all runs were on one rank, which sums over no others: what that costs is not in the step; network= states "
          "it");
    else if (!network_ && nodes_ > 1.0 && std::ranges::all_of(rows_, [](const auto& row) { return row.nodes == 1.0; }))
      answer_.remarks.push_back(
          "all runs were on one node: their sums over ranks went through it, and no network between nodes is in the "
          "step");
    if (step_.extrapolated)
      answer_.remarks.push_back(
          fmt::format("extrapolated: {:.0f} times away from the nearest run", std::exp2(step_.doublings)));
    if (experience_.errors > 0 && step_.doublings > 0.0)
      answer_.remarks.push_back(
          fmt::format("band: 80 % of {} published entries, each predicted from the others of its series, were within "
                      "{:.0f} % a root "
                      "of doublings",
                      experience_.errors, 100.0 * experience_.error_a_root_doubling));
    if (std::ranges::all_of(seen_, [](const StepObservation& each) { return each.deviation == 0.0; }))
      answer_.remarks.push_back(
          "fewer than three runs of each configuration: how steps differ between runs is not in the "
          "band");
  }

  /// Of the whole set, of which a node of the runs holds a share.
  [[nodiscard]] std::optional<double> set_bytes() const {
    return base_->bytes_per_node ? std::optional(*base_->bytes_per_node / *base_->share_of_node) : std::nullopt;
  }

  void add_data() {
    if (!base_->bytes_per_node || !nodes_) return;
    const double now_bytes = *set_bytes() * group_now_ / *base_->nodes,
                 then_bytes = *set_bytes() * group_then_ / *nodes_;
    const bool shared = group_now_ > 1.0 || group_then_ > 1.0;
    add({"data set's part of a node",
         "GiB",
         now_bytes / 0x1p30,
         then_bytes / 0x1p30,
         {},
         {},
         modelled,
         shared ? fmt::format("samples as stored raw, over the nodes; {:g} of them hold the same now, {:g} then",
                              group_now_, group_then_)
                : "samples as stored raw, over the nodes"});
    if (tiers_.empty()) return;
    const std::string now = fastest_tier(now_bytes, tiers_), then = fastest_tier(then_bytes, tiers_);
    answer_.remarks.push_back(fmt::format("fastest tier that holds a node's part: {} now, {} then", now, then));
    if (now != then)
      answer_.remarks.push_back(
          "the tier changes on the way: where runs waited for input, steps become faster than "
          "modelled");
  }

  void add_epochs() {
    const RunReport& run = base_->group->first();
    if (!base_->epochs) {
      const std::vector<double> all = outcomes_of(*base_->group, "epochs to target");
      const bool any = std::ranges::any_of(all, [](double each) { return std::isfinite(each); });
      answer_.remarks.push_back(fmt::format(
          "{}: no epochs and no time to train",
          all.empty() ? "no run at the largest scale aimed at a target, came to an end and counts its epochs"
          : any       ? "too many runs at the largest scale missed the target"
                      : "all runs at the largest scale missed the target"));
      return;
    }
    Predicted figure{"epochs", "", base_->epochs, {}, {}, {}, modelled, {}};
    const auto same = std::ranges::find_if(rows_, [&](const ScaleRow& row) {
      const RunReport& other = row.group->first();
      return row.epochs && other.facts.batch_samples == batch_ && task_of(other) == task_of(run);
    });
    if (same != rows_.end()) {
      const std::vector<double> own = outcomes_of(*same->group, "epochs to target");
      const auto missed = std::ranges::count_if(own, [](double each) { return std::isinf(each); });
      figure.then = same->epochs;
      if (own.size() < 2)
        answer_.remarks.push_back("one run at this batch: how epochs differ between runs is not in the band");
      else
        figure.low = quantile_of(own, 0.1);
      if (const double high = quantile_of(own, 0.9); figure.low && std::isfinite(high)) figure.high = high;
      figure.basis = fmt::format("those of {} runs at this batch{}", own.size(),
                                 missed > 0 ? ", of which one missed the target and counts as the slowest" : "");
      figure.source = logged;
    } else if (run.incomparable.empty() && !run.generated_data &&
               facts().train_samples == reference_samples(run.benchmark)) {
      const ExpectedEpochs here = reference_epochs(run.benchmark, facts().batch_samples.value_or(0.0));
      const ExpectedEpochs there = reference_epochs(run.benchmark, batch_);
      if (!here.point || !there.point) {
        answer_.remarks.push_back("no epochs and no time to train: " + (here.point ? there.how : here.how));
        return;
      }
      const double factor = *base_->epochs / here.point->epochs;
      figure.then = factor * there.point->epochs;
      figure.low = factor * there.point->fastest;
      figure.high = factor * there.point->slowest;
      figure.basis = fmt::format(
          "own epochs are {:.3f} of the reference's at batch {}; so at this batch ({}); bounds: "
          "the reference's fastest and slowest run",
          factor, here.point->batch_samples, there.how);
      figure.source = assumed;
    } else {
      answer_.remarks.push_back(
          "no epochs and no time to train: of another batch only the rules' convergence points "
          "tell, and they are of the benchmark's own network and training set");
      return;
    }
    epochs_ = figure;
    add(std::move(figure));
  }

  Predicted staging() {
    const double now = base_->staging_s.value_or(0.0);
    if (!base_->staging_s)
      answer_.remarks.push_back(
          "the runs found files staged already: what staging takes is not known, none is counted");
    Predicted figure{"staging", "s", base_->staging_s, 0.0, {}, {}, modelled, "none"};
    using enum WhatIf::Staging;
    if (question_.staging == none) return figure;
    if (facts().staged_beside) {
      answer_.remarks.push_back("staging went on beside training: its time is left out, and the steps have it in them");
      return figure;
    }
    if (now <= 0.0) {
      if (question_.staging != as_logged) answer_.remarks.push_back("no staging in the logs: its time is left out");
      return figure;
    }
    if (!group_of(facts()))
      answer_.remarks.push_back(fmt::format(
          "staging: the runs do not tell what their nodes held: taken to be {}",
          question_.staging == replicate ? "the whole set (staging=replicate)" : "its part each (staging=shard)"));
    const std::optional<bool> told = exchanges(facts());
    if (!told && question_.staging == group && group_then_ > 1.0)
      answer_.remarks.push_back("staging: the runs do not tell their transport: each node is taken to read its part");
    const bool once = told.value_or(false);
    const double now_nodes = base_->nodes.value_or(base_->processes), then_nodes = nodes_.value_or(processes_);
    const StagingTime then = predict_staging(now, shares_of(group_now_, now_nodes, once && group_now_ > 1.0),
                                             shares_of(group_then_, then_nodes, once && group_then_ > 1.0));
    figure.then = then.reading_s;
    figure.basis = "a node's part over the rate that a node had";
    if (std::abs(then.landing_s - then.reading_s) > 1e-9 * then.reading_s) {
      figure.low = std::min(then.reading_s, then.landing_s);
      figure.high = std::max(then.reading_s, then.landing_s);
      figure.basis =
          "what a node reads off the source over the rate that one had; the other bound: what it holds over the rate "
          "at which that landed";
    }
    return figure;
  }

  void add_time() {
    if (!epochs_.then || !base_->time_s || !facts().train_samples) return;
    const double shrink = base_->processes / processes_;
    const Predicted staged = this->staging();
    const double staging = *staged.then;
    const double evaluation = base_->evaluation_s.value_or(0.0) * shrink;
    const double now_train = *base_->epochs * *facts().train_samples / *base_->rate;
    const double now_evaluation = *base_->epochs * base_->evaluation_s.value_or(0.0);
    const double inside = staged_inside();
    const double besides = *base_->time_s - now_train - now_evaluation - inside;
    const auto total = [&](double step_s, double epochs) {
      return staging + epochs * (*facts().train_samples / batch_ * step_s + evaluation) + besides * shrink;
    };
    const double then = total(step_.step_s, *epochs_.then);
    const auto apart = [&](double step_s, double epochs, const std::optional<double>& staging_s) {
      const double of_step = total(step_s, *epochs_.then) - then, of_epochs = total(step_.step_s, epochs) - then;
      const double of_staging = staging_s.value_or(staging) - staging;
      return std::sqrt(of_step * of_step + of_epochs * of_epochs + of_staging * of_staging);
    };
    add(staged);
    add({"evaluation an epoch", "s", base_->evaluation_s, evaluation, {}, {}, modelled, "shared by more ranks"});
    Predicted time{"time to train with staging",
                   "min",
                   (*base_->time_s - inside + base_->staging_s.value_or(0.0)) / 60.0,
                   then / 60.0,
                   (then - apart(step_.low_s, epochs_.low.value_or(*epochs_.then), staged.low)) / 60.0,
                   {},
                   modelled,
                   "staging + epochs x (samples / batch x step + evaluation) + the rest, which shrinks with the ranks"};
    if (!epochs_.low || epochs_.high)  // where a run missed its target the bound lies nowhere
      time.high = (then + apart(step_.high_s, epochs_.high.value_or(*epochs_.then), staged.high)) / 60.0;
    if (nodes_) {
      const auto node_hours = [this](const std::optional<double>& minutes, double nodes) {
        return minutes ? std::optional(*minutes / 60.0 * nodes) : std::nullopt;
      };
      add({"node-hours", "h", node_hours(time.now, *base_->nodes), node_hours(time.then, *nodes_),
           node_hours(time.low, *nodes_), node_hours(time.high, *nodes_), modelled,
           "time to train with staging x nodes"});
    }
    add(std::move(time));
  }

  [[nodiscard]] double staged_inside() const {
    std::vector<double> inside;
    for (const RunReport* run : base_->group->runs)
      inside.push_back(run->terms.staging_s);
    return quantile_of(inside, 0.5);
  }

  void add_curve() {
    const double step = processes_ >= base_->processes ? 2.0 : 0.5;
    constexpr int most = 16;
    double processes = base_->processes;
    for (int i = 0; i <= most; ++i) {
      const StepAnswer at = predict_step(seen_, processes, *base_->local_batch, experience_, network_);
      if (!at.prediction) return;
      ScalePoint point{0.0, processes, *at.prediction, std::nullopt, {}};
      if (nodes_) point.nodes = i == 0 ? *base_->nodes : std::ceil(processes / processes_ * *nodes_);
      if (base_->bytes_per_node) {
        const double held = replicates_ ? point.nodes : std::min(group_then_, point.nodes);
        point.bytes_per_node = *set_bytes() / point.nodes * held;
        if (!tiers_.empty()) point.tier = fastest_tier(*point.bytes_per_node, tiers_);
      }
      answer_.curve.push_back(point);
      if (processes == processes_) return;
      processes = step > 1.0 ? std::min(processes * step, processes_) : std::max(processes * step, processes_);
    }
  }

  const WhatIf& question_;
  std::span<const ScaleRow> rows_;
  std::span<const Tier> tiers_;
  Experience experience_;
  std::optional<StatedNetwork> network_;
  std::optional<Predicted> gradients_;  // where a network is stated
  std::vector<StepObservation> seen_;
  const ScaleRow* base_ = nullptr;  // the largest scale that was run
  std::optional<double> nodes_;
  double group_now_ = 1.0, group_then_ = 1.0;  // nodes that hold the same part
  bool replicates_ = false;                    // then
  double processes_ = 0.0, batch_ = 0.0, local_batch_ = 0.0;
  StepPrediction step_;
  Predicted epochs_;
  WhatIfAnswer answer_;
};

}  // namespace

WhatIfAnswer answer(const WhatIf& question, std::span<const ScaleRow> rows, std::span<const Tier> tiers) {
  return Scaling(question, rows, tiers).result();
}

}  // namespace trainmark::report
