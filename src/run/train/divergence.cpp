#include "run/train/divergence.hpp"

#include <fmt/core.h>

#include <cmath>

namespace trainmark {
namespace {

constexpr std::int32_t patience = 20;  // skipped steps in a row; 16 take the scale from its start to its end

}  // namespace

void Divergence::look_at_loss(std::int64_t step, std::int64_t epoch, double loss) {
  if (std::isfinite(loss)) return;
  if (++losses_not_finite_ == 1) first_loss_not_finite_ = step;
  if (then_ == OnDivergence::proceed) return;
  fail(fmt::format("step {} (epoch {})", step, epoch + 1), fmt::format("the loss is {}", loss), "");
}

void Divergence::look_at_metric(std::int64_t epoch, const std::string& key, double metric) {
  if (std::isfinite(metric)) return;
  ++metrics_not_finite_;
  if (then_ == OnDivergence::proceed) return;
  fail(fmt::format("evaluation of epoch {}", epoch + 1), fmt::format("{} is {}", key, metric),
       " or look at the validation samples");
}

void Divergence::look_at_updates(std::int64_t step, const std::optional<LossScale>& now) const {
  if (then_ == OnDivergence::proceed || !now || !is_hopeless(LossScaling{}, *now, patience)) return;
  fail(fmt::format("step {}", step),
       fmt::format("the last {} updates were skipped: gradients are not finite even at a loss scale of {}",
                   now->skipped_in_a_row, now->scale),
       ", or use \"bf16\" or \"fp32\" as /train/precision");
}

void Divergence::fail(std::string where, std::string what, const std::string& remedy) const {
  const char* rate = std::holds_alternative<PiecewiseSchedule>(schedule_) ? "/schedule/peak_rate" : "/schedule/rate";
  throw AgreedError(
      ExitCode::target_missed,
      to_string(Complaint{std::move(where), std::move(what), "the run has diverged, and no later step will change that",
                          fmt::format("lower {}, warm up longer{}", rate, remedy)}));
}

}  // namespace trainmark
