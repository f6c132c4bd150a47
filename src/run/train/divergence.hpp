// Whether training has gone astray: a loss or a metric that is not finite, or updates that are all skipped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "trainmark/optim.hpp"
#include "trainmark/run.hpp"

namespace trainmark {

/// What it looks at follows from sums over ranks: every rank sees the same, and raises the same
/// AgreedError{target_missed}, unless the run is to go on all the same. Then it counts.
class Divergence {
 public:
  Divergence(const Schedule& schedule, OnDivergence then) : schedule_(schedule), then_(then) {}
  /// Of a step, counted from 1, in an epoch counted from 0.
  void look_at_loss(std::int64_t step, std::int64_t epoch, double loss);
  void look_at_metric(std::int64_t epoch, const std::string& key, double metric);
  void look_at_updates(std::int64_t step, const std::optional<LossScale>& now) const;

  [[nodiscard]] std::int64_t losses_not_finite() const noexcept { return losses_not_finite_; }
  [[nodiscard]] std::int64_t metrics_not_finite() const noexcept { return metrics_not_finite_; }
  [[nodiscard]] std::int64_t first_loss_not_finite() const noexcept { return first_loss_not_finite_; }  ///< its step

 private:
  [[noreturn]] void fail(std::string where, std::string what, const std::string& remedy) const;

  Schedule schedule_;
  OnDivergence then_;
  std::int64_t losses_not_finite_ = 0, metrics_not_finite_ = 0, first_loss_not_finite_ = 0;
};

}  // namespace trainmark
