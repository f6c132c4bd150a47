// A stream that runs inline, on the thread that asks: the CPU's compute stream, and all there is of a backend that
// computes nothing. What takes time has ended when it returns, so events are points of the host's clock.
#pragma once

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "trainmark/backend.hpp"

namespace trainmark {

class InlineStream final : public Stream {
 public:
  void synchronize() override {}
};
class InlineEvent final : public StreamEvent {
 public:
  void record(Stream&) override { reached_ = std::chrono::steady_clock::now(); }
  void make_wait(Stream&) override {}
  [[nodiscard]] std::optional<double> seconds_since(const StreamEvent& earlier) const override {
    const auto& before = static_cast<const InlineEvent&>(earlier).reached_;
    if (!reached_ || !before) return std::nullopt;
    return std::chrono::duration<double>(*reached_ - *before).count();
  }

 private:
  std::optional<std::chrono::steady_clock::time_point> reached_;
};

/// Launches one after the other: nothing hides a sum over ranks.
class InlineReplay final : public Replay {
 public:
  InlineReplay(std::vector<Launch> launches, Stream& stream) : launches_(std::move(launches)), stream_(stream) {}
  void launch() override {
    exposed_seconds_ = 0.0;
    for (const Launch& launch : launches_) {
      if (launch.lane != Lane::communication) {
        launch.plan->execute(stream_, launch.args);
        continue;
      }
      const Clock clock;
      launch.plan->execute(stream_, launch.args);
      exposed_seconds_ += clock.seconds();
    }
  }
  [[nodiscard]] std::optional<double> exposed_seconds() const override { return exposed_seconds_; }

 private:
  std::vector<Launch> launches_;
  Stream& stream_;
  double exposed_seconds_ = 0.0;
};

}  // namespace trainmark
