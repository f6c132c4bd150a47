#include "run/ablate/variants.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <thread>
#include <utility>

namespace trainmark {

StepPrograms StepShelf::add(const StepGraphs& graphs, const Collectives& collectives, Program::Options how) {
  const auto made = [&](const Graph& graph) {
    owned_.push_back(std::make_unique<Program>(backend_, graph, state_, collectives, slots_, how));
    return owned_.back().get();
  };
  StepPrograms step;
  step.train = made(graphs.last);
  if (graphs.earlier) step.accumulate = made(*graphs.earlier);
  return step;
}

StepPrograms StepShelf::try_to_add(const Group& ranks, const StepGraphs& graphs, const Collectives& collectives,
                                   Program::Options how) {
  const std::size_t before = owned_.size();
  SlotTrial trial(slots_);
  StepPrograms step;
  try {
    agree_on(ranks, [&] {
      step = add(graphs, collectives, how);
      trial.allocate();
    });
  } catch (const AgreedError&) {
    owned_.resize(before);
    throw;
  }
  trial.keep();
  return step;
}

bool may_be_left_out(const Error& error) {
  return error.code() == ExitCode::environment || error.code() == ExitCode::communication;
}

namespace {

/// Whether all ranks come here within `limit` of this one. Where they do not, they may be in a sum that it will never
/// join, and the group can be used no more.
bool all_come(const Group& ranks, std::chrono::seconds limit) {
  const auto met = std::make_shared<std::promise<void>>();
  const std::future<void> here = met->get_future();
  std::thread([ranks, met] {
    if (status_of([&] { ranks.barrier(); }).ok()) met->set_value();
  }).detach();
  return here.wait_for(limit) == std::future_status::ready;
}

}  // namespace

Turns::Turns(const Bench& bench, const Batch& first)
    : bench_(bench),
      meeting_(bench.world.all().duplicate()),
      before_(bench.state.snapshot()),
      feed_(bench.backend, bench.local_batch) {
  const auto keep = [this](std::span<const std::byte> bytes) {
    batch_.emplace_back(bytes.begin(), bytes.end(), &bench_.backend.pinned_memory());
  };
  for (const auto& field : first.fields)
    keep(field);
  StepState state;
  state.valid = static_cast<std::int32_t>(first.valid);
  std::vector<std::byte> told(step_state_bytes(bench.local_batch));
  std::memcpy(told.data(), &state, sizeof state);
  std::ranges::copy(std::as_bytes(first.ids), told.begin() + sizeof state);
  keep(told);
  inputs_.assign(batch_.begin(), batch_.end());
}

void Turns::upload_batch(const Variant& variant) {
  for (const int slot : {0, 1})
    variant.programs.train->upload(slot, inputs_);
}

void Turns::settle(const Variant& variant) {
  bench_.state.restore(before_);
  upload_batch(variant);
  fixed_steps(variant, 2 * bench_.backend.warm_up_launches());
  static_cast<void>(bench_.state.loss());
}

std::string Turns::refusal(const Variant& variant) {
  constexpr std::chrono::seconds patience{60};
  const Status mine = status_of([&] { settle(variant); });
  if (mine.ok())
    meeting_.barrier();
  else if (!all_come(meeting_, patience))
    throw Error(mine.code, fmt::format("{}: {}", variant.name, mine.message), mine.complaint);
  try {
    agree(meeting_, mine);
  } catch (const AgreedError& error) {
    if (!may_be_left_out(error)) throw;
    for (const Lane lane : {Lane::compute, Lane::communication, Lane::copy})
      bench_.backend.stream(lane).synchronize();  // raises where the device is lost to all variants
    return error.what();
  }
  return {};
}

std::vector<double> Turns::take(const Variant& variant, int steps) {
  bench_.state.restore(before_);
  const Group& ranks = bench_.world.all();
  const bool loaded = variant.feeding == Feeding::loaded;
  if (!loaded) upload_batch(variant);
  const auto go = [&](int count, bool timed) {
    loaded ? loaded_steps(variant, count, timed) : fixed_steps(variant, count);
    static_cast<void>(bench_.state.loss());  // waits for the last step
  };
  go(bench_.lead_steps, false);
  ranks.barrier();
  const Clock clock;
  go(steps, true);
  const double seconds = clock.seconds() / steps;
  log_.settle(ranks);
  return ranks.all_gather(seconds);
}

/// As Trainer::step does it: a step is looked at when the next one was launched, or when it had ended at once. A batch
/// always waits, so that the first of these steps is like all others; the one that is left in the end is launched in
/// the untimed steps of the next turn.
void Turns::loaded_steps(const Variant& variant, int steps, bool timed) {
  Program& train = *variant.programs.train;
  struct InFlight {
    int slot = 0;
    double input = 0.0, upload = 0.0;
    void add(const Feed::Brought& brought) {
      input += brought.exposed_seconds;
      upload += brought.upload.exposed_seconds;
    }
  };
  std::optional<InFlight> in_flight;
  static_cast<void>(feed_.take_ended(feed_.last_launched(), false));
  brought_ = {};  // before these steps
  double began = feed_.clock().seconds();
  const auto settle = [&] {
    if (!in_flight) return;
    const InFlight step = *std::exchange(in_flight, {});
    const bool runs = !train.times(step.slot);
    static_cast<void>(train.result(step.slot));
    const auto [times, ended_at] = feed_.take_ended(step.slot, runs);
    const double seconds = ended_at - std::exchange(began, ended_at);
    if (timed) log_.add(seconds, StepTerms(seconds, step.input, step.upload, times.seconds, times.exposed_seconds));
    if (log_.is_full()) log_.settle(bench_.world.all());
  };
  for (int step = 0; step < steps; ++step) {
    InFlight own;
    const auto bring = [&] {
      brought_ = feed_.bring(train, *variant.loader, {}, 0);
      waiting_ = brought_.slot;
    };
    if (!waiting_) bring();
    bool ended = false;
    for (std::int64_t left = bench_.batches_a_step - 1; left >= 0; --left) {
      own.add(std::exchange(brought_, {}));
      feed_.launch(left > 0 ? *variant.programs.accumulate : train, *std::exchange(waiting_, {}));
      ended = train.times(feed_.last_launched()).has_value();
      settle();
      bring();
    }
    own.slot = feed_.last_launched();
    in_flight = own;
    if (ended) settle();
    bench_.alive();
  }
  settle();
}

void Turns::fixed_steps(const Variant& variant, int steps) {
  Program& train = *variant.programs.train;
  int slot = 0;
  std::optional<int> in_flight;  // the slot of a step that is to be looked at
  for (int step = 0; step < steps; ++step) {
    for (std::int64_t left = bench_.batches_a_step - 1; left >= 0; --left) {
      (left > 0 ? *variant.programs.accumulate : train).step(slot);
      if (in_flight) static_cast<void>(train.result(*std::exchange(in_flight, {})));
      if (left == 0 && variant.looks) in_flight = slot;
      slot ^= 1;
      if (variant.feeding == Feeding::uploaded) train.upload(slot, inputs_);
    }
    bench_.alive();
  }
}

}  // namespace trainmark
