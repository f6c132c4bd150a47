// Where the time of a training step went on one rank.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <string_view>

#include "trainmark/core.hpp"

namespace trainmark {

/// Of a step's time, each moment in one of them. input, upload: nothing computes, for want of a batch, or of its copy
/// to the device; all_reduce: computation stands still for sums over ranks, those that come late included; host: the
/// rest, in which neither computes.
enum class Term : std::uint8_t { input, upload, compute, all_reduce, host };
template <>
struct Words<Term> {
  static constexpr std::array<std::string_view, 5> all = {"exposed_input", "exposed_upload", "compute",
                                                          "exposed_all_reduce", "host"};
};
inline constexpr std::size_t term_count = Words<Term>::all.size();

/// Seconds by term; they add up to the step.
class StepTerms {
 public:
  StepTerms() = default;
  /// `device_seconds`: of the compute lane, `all_reduce_seconds` of them waiting. Clocks of host and device differ:
  /// what is more than the step's `seconds` is taken off what computes.
  StepTerms(double seconds, double input_seconds, double upload_seconds, double device_seconds,
            double all_reduce_seconds);
  [[nodiscard]] double& operator[](Term term) { return seconds_.at(static_cast<std::size_t>(term)); }
  [[nodiscard]] double operator[](Term term) const { return seconds_.at(static_cast<std::size_t>(term)); }
  [[nodiscard]] double sum() const { return std::accumulate(seconds_.begin(), seconds_.end(), 0.0); }
  [[nodiscard]] std::array<double, term_count>& seconds() noexcept { return seconds_; }
  [[nodiscard]] const std::array<double, term_count>& seconds() const noexcept { return seconds_; }

 private:
  std::array<double, term_count> seconds_{};
};

}  // namespace trainmark
