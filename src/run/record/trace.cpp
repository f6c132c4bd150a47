#include "run/record/trace.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <limits>
#include <variant>

namespace trainmark {
namespace {

constexpr std::array<std::string_view, 3> own_names = {"wait for input", "upload", "recording"};
constexpr std::int32_t wait_name = 0, upload_name = 1, recording_name = 2;

/// The epoch that a record is of, or the first of those of a block.
std::optional<std::int64_t> epoch_of(const Metadata& metadata) {
  for (const auto& [key, value] : metadata)
    if (key == "epoch_num" || key == "first_epoch_num")
      if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
  return std::nullopt;
}

}  // namespace

/// Under the lock of the log's own sink: a signal may close what is open.
class Trace::Sink final : public EventSink {
 public:
  Sink(Trace& trace, std::unique_ptr<EventSink> inner) : trace_(trace), inner_(std::move(inner)) {}
  void write(const Event& event) override {
    inner_->write(event);
    trace_.phase(event);
  }
  void close() override { inner_->close(); }

 private:
  Trace& trace_;
  std::unique_ptr<EventSink> inner_;
};

Trace::Trace(const World& world, const Clock& clock)
    : on_(true), rank_(world.all().rank()), host_(world.host()), clock_(clock) {
  spans_.reserve(most_spans);
  steps_.reserve(most_spans / 2);
  for (const std::string_view name : own_names)
    names_.push_back({std::string(name), "step"});
}

std::unique_ptr<EventSink> Trace::watched(std::unique_ptr<EventSink> inner) {
  if (!on_) return inner;
  return std::make_unique<Sink>(*this, std::move(inner));
}

void Trace::phase(const Event& event) {
  const double now = clock_.seconds();
  const std::optional<std::int64_t> epoch = epoch_of(event.metadata);
  if (event.type == EventType::interval_end) {
    if (open_.empty()) return;
    if (open_.back() < phases_.size()) phases_[open_.back()].end = now;
    open_.pop_back();
  } else if (event.type == EventType::interval_start) {
    open_.push_back(phases_.size() < most_phases ? phases_.size() : most_phases);
    if (phases_.size() == most_phases) {
      ++phases_lost_;
      return;
    }
    const std::string name = event.key.substr(0, event.key.rfind("_start"));
    phases_.push_back({epoch ? fmt::format("{} {}", name, *epoch) : name, now});
  } else if (const auto* value = std::get_if<double>(&event.value); value != nullptr && epoch) {
    if (metrics_.size() < most_phases) metrics_.push_back({event.key, *value, now});
  }
}

void Trace::started(const StartUp& start_up, const World& world) {
  if (!on_) return;
  start_up_ = start_up.parts();
  world.all().barrier();
  const double now = clock_.seconds();
  const double to_first = world.all().all_gather(now).front() - now;
  double earliest = 0.0;
  for (const StartUp::Part& part : start_up_)
    earliest = std::min(earliest, part.begin);
  const std::vector<double> all = world.all().all_gather(earliest + to_first);
  shift_ = to_first - *std::ranges::min_element(all);
  started_ = true;
}

void Trace::epoch_begins() {
  if (!on_) return;
  const std::size_t left = most_spans - spans_.size();
  epoch_room_ = spans_.size() + std::min(left, std::max(left / 2, least_steps * largest_step_));
}

void Trace::step_begins(double begin) {
  if (!on_) return;
  step_from_ = spans_.size();
  traces_step_ = step_from_ + std::max(largest_step_, std::size_t{1}) <= epoch_room_ && steps_.size() < most_spans / 2;
  step_begin_ = begin;
}

void Trace::step_ended(std::int64_t step, std::int64_t epoch, std::optional<double> loss, double seconds,
                       const StepTerms& terms) {
  if (!on_) return;
  const double known = loss.value_or(std::numeric_limits<double>::quiet_NaN());  // of which nothing is written
  if (traces_step_) {
    largest_step_ = std::max(largest_step_, spans_.size() - step_from_);
    steps_.push_back({step, step, epoch, step_begin_, seconds, known, terms, true});
  } else if (!steps_.empty() && !steps_.back().traced) {
    steps_.back().last = step;
    steps_.back().seconds = step_begin_ + seconds - steps_.back().begin;
  } else if (steps_.size() < steps_.capacity()) {
    steps_.push_back({step, step, epoch, step_begin_, seconds, known, terms, false});
  }
  traces_step_ = false;
}

void Trace::add(Track track, std::int32_t name, double begin, double end) {
  if (spans_.size() < most_spans) spans_.push_back({begin, end, name, track});
}

void Trace::waited(double begin, double end) { add(Track::input, wait_name, begin, end); }
void Trace::uploaded(double begin, double end) { add(Track::input, upload_name, begin, end); }

const Trace::Known& Trace::known(const Program& program, int slot) {
  const auto found = std::ranges::find(programs_, &program, &Known::program);
  if (found != programs_.end()) return *found;
  const std::span<const Launch> launches = program.launches(slot);
  Known made{&program, static_cast<std::int32_t>(names_.size()), std::vector<std::int32_t>(launches.size(), -1)};
  for (std::size_t at = 0; at < launches.size(); ++at)
    names_.push_back({launches[at].name, std::string(name_of(program.graph().nodes[at].op))});
  for (std::size_t at = 0; at < launches.size(); ++at) {
    if (launches[at].lane == Lane::communication) continue;
    int last = -1;
    for (const int awaited : launches[at].waits)
      if (launches[static_cast<std::size_t>(awaited)].lane == Lane::communication) last = std::max(last, awaited);
    if (last < 0) continue;
    made.waits_for[at] = static_cast<std::int32_t>(names_.size());
    names_.push_back({"wait for " + launches[static_cast<std::size_t>(last)].name, "exposed_all_reduce"});
  }
  return programs_.emplace_back(std::move(made));
}

void Trace::ran(const Program& program, int slot, double begin, const StepTimes& times) {
  const Known& names = known(program, slot);
  add(Track::compute, recording_name, begin, begin + times.seconds);
  const std::span<const Launch> launches = program.launches(slot);
  double computed_until = begin;
  for (std::size_t at = 0; at < launches.size(); ++at) {
    const std::optional<LaunchTimes> launch = program.times(slot, at);
    if (!launch) return;
    const auto name = names.first_name + static_cast<std::int32_t>(at);
    if (launches[at].lane == Lane::communication) {
      add(Track::communication, name, begin + launch->begin, begin + launch->end);
      continue;
    }
    if (names.waits_for[at] >= 0) add(Track::compute, names.waits_for[at], computed_until, begin + launch->begin);
    add(Track::compute, name, begin + launch->begin, begin + launch->end);
    computed_until = begin + launch->end;
  }
}

}  // namespace trainmark
