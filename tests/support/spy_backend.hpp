// A backend that notes what it is told, for tests of what programs say to one. Everything else it hands to a null
// backend.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <set>
#include <utility>

#include "trainmark/backend.hpp"

namespace trainmark::testing {

class SpyBackend : public Backend {
 public:
  std::vector<std::vector<Launch>> recordings;
  std::vector<std::pair<std::string, Operands>> planned;   // by operation
  bool foresees = false;                                   // whether it asks what will be planned
  std::vector<std::pair<std::string, Operands>> foreseen;  // what it was told then
  std::function<std::string(const Op&)> refuse = [](const Op&) { return std::string(); };
  std::set<std::string> wants_scratch;  // operations that ask for 256 bytes
  int warm_up = 1;                      // launches that it asks for before the clock
  Layout layout = logical_layout;       // of every activation that a plan writes
  mutable int fused = 0;
  std::vector<std::string> calls;  // events, copies, launches in order
  std::deque<double> times;        // at which the next records are reached
  static constexpr double still_running = 1e9;
  bool clocked = false;  // records beyond those are reached when they are made
  /// Launches return before they have ended, as a device's do: they end where the host waits for them, which is noted.
  bool ahead = false;
  /// What a launched plan does, if anything.
  std::function<void(const Op&, std::span<void* const> args)> execute;
  /// Called at each launch of a step that is to be streamed.
  std::function<void()> streams;
  /// What a sum of several ranks does, if anything; asked before execute.
  std::function<void(const Group&)> sum;

  [[nodiscard]] std::string name() const override { return "spy"; }
  [[nodiscard]] std::string description() const override { return "spy"; }
  [[nodiscard]] bool overlaps() const override { return true; }
  [[nodiscard]] int threads() const override { return 1; }
  [[nodiscard]] int warm_up_launches() const override { return warm_up; }
  [[nodiscard]] std::pmr::memory_resource& device_memory() override { return null_->device_memory(); }
  [[nodiscard]] std::pmr::memory_resource& pinned_memory() override { return null_->pinned_memory(); }
  [[nodiscard]] std::int64_t allocations() const override { return null_->allocations(); }
  void copy_to_device(Stream& stream, void* to, const void* from, std::size_t bytes) override {
    calls.emplace_back("copy");
    null_->copy_to_device(stream, to, from, bytes);
  }
  void copy_to_host(Stream& stream, void* to, const void* from, std::size_t bytes) override {
    null_->copy_to_host(stream, to, from, bytes);
  }
  void fill_zero(Stream& stream, void* to, std::size_t bytes) override { null_->fill_zero(stream, to, bytes); }
  [[nodiscard]] Stream& stream(Lane lane) override { return streams_[static_cast<std::size_t>(lane)]; }
  [[nodiscard]] std::unique_ptr<StreamEvent> make_event() override {
    return std::make_unique<SpyEvent>(*this, events_++);
  }
  [[nodiscard]] std::size_t bytes_of(const TensorDesc& desc) const override {
    return null_->bytes_of(desc) + (desc.layout == logical_layout ? 0 : 64);  // a private layout pads
  }
  [[nodiscard]] TensorDesc activation(const Shape& shape, DType dtype) const override { return {shape, dtype, layout}; }
  void to_logical(const TensorDesc& desc, const void* from, float* to) override { null_->to_logical(desc, from, to); }
  void from_logical(const TensorDesc& desc, const float* from, void* to) override {
    null_->from_logical(desc, from, to);
  }
  [[nodiscard]] std::string refusal(const Op& op, const Operands&) const override { return refuse(op); }
  [[nodiscard]] Graph fuse(Graph graph) const override {
    ++fused;
    return graph;
  }

  void foresee(const std::function<void()>& plan_all) override {
    if (!foresees) return;
    plan_all();
    foreseen = std::exchange(planned, {});
  }
  [[nodiscard]] Planned plan(const Op& op, const Operands& operands) override {
    const std::string operation(name_of(op));
    planned.emplace_back(operation, operands);
    Planned made{std::make_unique<SpyPlan>(*this, op, operands.collectives.all),
                 operands.outputs,
                 wants_scratch.contains(operation) ? 256U : 0U,
                 {}};
    if (operation.find("Weights") == std::string::npos && operation != "Loss" && operation != "Metric")
      for (TensorDesc& output : made.outputs)
        output.layout = layout;
    return made;
  }
  [[nodiscard]] std::unique_ptr<Collective> make_collective(const Group& group,
                                                            Lane lane = Lane::communication) override {
    if (sum && group.size() > 1) return std::make_unique<SpyCollective>(*this, group);
    return null_->make_collective(group, lane);
  }
  [[nodiscard]] std::unique_ptr<Replay> record(std::vector<Launch> launches) override {
    recordings.push_back(launches);
    return std::make_unique<SpyReplay>(*this, recordings.size() - 1);
  }
  [[nodiscard]] std::unique_ptr<Replay> record_streamed(std::vector<Launch> launches) override {
    recordings.push_back(std::move(launches));
    auto replay = std::make_unique<SpyReplay>(*this, recordings.size() - 1);
    replay->streamed = true;
    return replay;
  }
  Profile profile(const std::vector<Launch>& launches) override { return null_->profile(launches); }

  [[nodiscard]] std::string stream_name(const Stream& stream) const {
    return &stream == &streams_[static_cast<std::size_t>(Lane::copy)] ? "copy" : "compute";
  }

 private:
  struct SpyStream final : Stream {
    explicit SpyStream(SpyBackend& owner) : spy(owner) {}
    void synchronize() override {
      if (!spy.ahead) return;
      spy.ended_ = std::max(spy.ended_, spy.stream_name(*this) == "copy" ? spy.awaited_ : spy.launched_);
      spy.calls.push_back("host waits for launch " + std::to_string(spy.ended_) + " of " +
                          std::to_string(spy.launched_));
    }
    SpyBackend& spy;
  };
  struct SpyEvent final : StreamEvent {
    SpyEvent(SpyBackend& owner, int index) : spy(owner), number(index) {}
    void record(Stream& stream) override {
      note("record", stream);
      launched = spy.stream_name(stream) == "copy" ? 0 : spy.launched_;
      reached = spy.clocked ? std::optional(spy.clock.seconds()) : std::nullopt;
      if (spy.times.empty()) return;
      reached = spy.times.front();
      spy.times.pop_front();
    }
    [[nodiscard]] std::optional<double> seconds_since(const StreamEvent& earlier) const override {
      if (spy.ahead && std::max(launched, static_cast<const SpyEvent&>(earlier).launched) > spy.ended_) return {};
      const auto& before = static_cast<const SpyEvent&>(earlier).reached;
      return reached && before && *reached < still_running && *before < still_running
                 ? std::optional(*reached - *before)
                 : std::nullopt;
    }
    void make_wait(Stream& stream) override {
      note("wait", stream);
      if (spy.stream_name(stream) == "copy") spy.awaited_ = std::max(spy.awaited_, launched);
    }
    void note(const std::string& verb, const Stream& stream) {
      spy.calls.push_back(spy.stream_name(stream) + " " + verb + "s " + std::to_string(number));
    }
    SpyBackend& spy;
    int number;
    int launched = 0;  // before it, where it is on the compute lane
    std::optional<double> reached;
  };
  struct SpyReplay final : Replay {
    SpyReplay(SpyBackend& owner, std::size_t index) : spy(owner), number(index) {}
    void launch() override {
      if (streamed && spy.streams) spy.streams();
      spy.calls.push_back("launch " + std::to_string(number));
      ++spy.launched_;
      if (!spy.execute) return;
      exposed = 0.0;
      for (const Launch& each : spy.recordings[number]) {
        const Clock began;
        each.plan->execute(spy.stream(each.lane), each.args);
        if (each.lane == Lane::communication) exposed += began.seconds();
      }
    }
    [[nodiscard]] std::optional<double> exposed_seconds() const override { return exposed; }
    double exposed = 0.0;
    bool streamed = false;
    SpyBackend& spy;
    std::size_t number;
  };
  struct SpyCollective final : Collective {
    SpyCollective(SpyBackend& owner, const Group& of) : spy(owner), group(of) {}
    void all_reduce(Stream&, float*, std::int64_t) override { spy.sum(group); }
    void all_reduce(Stream&, double*, std::int64_t) override { spy.sum(group); }
    void all_reduce(Stream&, float*, std::int64_t, DType, void*) override { spy.sum(group); }
    [[nodiscard]] std::size_t wire_scratch_bytes(std::int64_t, DType) const override { return 0; }
    SpyBackend& spy;
    Group group;
  };
  struct SpyPlan final : Plan {
    SpyPlan(SpyBackend& owner, Op what, Collective* all) : spy(owner), op(std::move(what)), sums(all) {}
    void execute(Stream& stream, std::span<void* const> args) override {
      const auto* reduce = std::get_if<AllReduce>(&op);
      if (reduce != nullptr && spy.sum) sums->all_reduce(stream, static_cast<float*>(args[0]), reduce->range.size());
      if (spy.execute) spy.execute(op, args);
    }
    SpyBackend& spy;
    Op op;
    Collective* sums;
  };

  Clock clock;
  std::unique_ptr<Backend> null_ = make_null_backend();
  std::array<SpyStream, 3> streams_{SpyStream(*this), SpyStream(*this), SpyStream(*this)};
  int events_ = 0;
  int launched_ = 0, ended_ = 0;  // launches
  int awaited_ = 0;               // by the copy lane
};

}  // namespace trainmark::testing
