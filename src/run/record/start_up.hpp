// What a run does before its first step, by scope, and how long each takes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark {

/// mpi: MPI_Init; dataset: finding and counting files; backend: the device and its libraries; planning: graphs, plans,
/// memory and initial weights; warm_up: steps on synthetic data; staging: where it stands before training; rest: all
/// else.
enum class Scope : std::uint8_t { mpi, dataset, backend, planning, warm_up, staging, first_step, rest };
template <>
struct Words<Scope> {
  static constexpr std::array<std::string_view, 8> all = {"mpi",     "dataset", "backend",    "planning",
                                                          "warm_up", "staging", "first_step", "rest"};
};

/// A clock whose time goes to one scope after the other, so that scopes add up to the whole.
class StartUp {
 public:
  /// By clock().
  struct Part {
    Scope scope = Scope::rest;
    double begin = 0.0, end = 0.0;
  };
  explicit StartUp(double mpi_seconds) : parts_{{Scope::mpi, -mpi_seconds, 0.0}} {
    seconds_[static_cast<std::size_t>(Scope::mpi)] = mpi_seconds;
  }
  /// The time since the last call, or since it was made, was of this scope.
  void was(Scope scope) {
    const double now = clock_.seconds();
    add(scope, now - last_);
    parts_.push_back({scope, last_, now});
    last_ = now;
  }
  void add(Scope scope, double seconds) { seconds_.at(static_cast<std::size_t>(scope)) += seconds; }
  [[nodiscard]] double of(Scope scope) const { return seconds_.at(static_cast<std::size_t>(scope)); }
  [[nodiscard]] const std::vector<Part>& parts() const noexcept { return parts_; }
  [[nodiscard]] const Clock& clock() const noexcept { return clock_; }

 private:
  Clock clock_;
  std::vector<Part> parts_;
  double last_ = 0.0;
  std::array<double, Words<Scope>::all.size()> seconds_{};
};

}  // namespace trainmark
