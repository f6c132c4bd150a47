#include "cli/rates.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "run/launch/warm_up.hpp"

namespace trainmark::cli {
namespace {

constexpr std::int64_t even_points = 20;
constexpr double bar_width = 50.0;

struct Points {
  std::string unit;  ///< epoch, step
  std::set<std::int64_t> at;
};

/// `end` is past the last change; where nothing changes any more the points may end.
void add_evenly(Points& points, std::int64_t end) {
  for (std::int64_t at = 0; at <= even_points; ++at)
    points.at.insert(end * at / even_points);
}
/// A change shows in two lines: before and after it.
void add_change(Points& points, std::int64_t at) {
  points.at.insert(std::max<std::int64_t>(at - 1, 0));
  points.at.insert(at);
}

Points points_of(const PiecewiseSchedule& schedule, std::int64_t epochs) {
  Points points{"epoch", {}};
  add_evenly(points, epochs - 1);
  add_change(points, schedule.warmup_epochs);
  for (const auto& decay : schedule.decay)
    add_change(points, decay.epoch + 1);
  std::erase_if(points.at, [&](std::int64_t at) { return at >= epochs; });
  return points;
}
Points points_of(const StepSchedule& schedule, std::int64_t) {
  Points points{"step", {}};
  // Of a schedule by steps the config does not say how long it is in epochs: shown is all of its changes, and a tail.
  std::int64_t last = schedule.warmup_steps + schedule.cosine_steps;
  if (!schedule.decay.empty()) last += schedule.decay.back().step;
  add_evenly(points, std::max<std::int64_t>(last * 5 / 4, even_points));
  if (schedule.cosine_steps > 0) add_evenly(points, last);
  add_change(points, schedule.warmup_steps);
  for (const auto& decay : schedule.decay)
    add_change(points, schedule.warmup_steps > 0 ? schedule.warmup_steps + decay.step : decay.step - 1);
  if (schedule.cosine_steps > 0) std::erase_if(points.at, [&](std::int64_t at) { return at > last; });
  return points;
}

template <class Falling>
Points points_of(const Falling& schedule, std::int64_t) {
  Points points{"step", {}};
  const std::int64_t end = schedule.warmup_steps + schedule.decay_steps;
  add_evenly(points, end);
  if (schedule.warmup_steps > 0) add_change(points, schedule.warmup_steps);
  add_change(points, end);
  return points;
}

Points points_of(const RunOptions& options) {
  return std::visit([&](const auto& schedule) { return points_of(schedule, options.train.epochs); },
                    options.recipe.schedule);
}
double rate_of(const RunOptions& options, const Points& points, std::int64_t at) {
  return rate_at(schedule_of(options.recipe, options.train.global_batch),
                 points.unit == "epoch" ? Position{.epoch = at, .step = 0} : Position{.epoch = 0, .step = at});
}

/// A line where rates are not as the config writes them.
std::string scaling_text(const RunOptions& options) {
  const BatchScaling& scaling = options.recipe.scaling;
  if (scaling.base_batch == 0) return {};
  return fmt::format("the peak, {:.6g} as written for a batch of {}, is {:.6g} at {} ({})\n",
                     peak_rate_of(options.recipe.schedule), scaling.base_batch,
                     peak_rate_of(schedule_of(options.recipe, options.train.global_batch)), options.train.global_batch,
                     word(scaling.law));
}

}  // namespace

std::string rates_text(const RunOptions& options) {
  const Points points = points_of(options);
  double largest = 1e-300;  // a rate of 0 throughout has bars of length 0
  for (const std::int64_t at : points.at)
    largest = std::max(largest, rate_of(options, points, at));
  std::string text = fmt::format("{:>10}  {:<12}\n", points.unit, "rate");
  for (const std::int64_t at : points.at) {
    const double rate = rate_of(options, points, at);
    const auto length = static_cast<std::size_t>(bar_width * rate / largest + 0.5);
    text += fmt::format("{:>10}  {:<12.6g}{}\n", at, rate, std::string(length, '#'));
  }
  const std::string warning = unfinished_warm_up(options, 0);
  return text + fmt::format("{}s are counted from 0\n", points.unit) + scaling_text(options) +
         (warning.empty() ? "" : "warning: " + warning + "\n");
}

nlohmann::ordered_json rates_json(const RunOptions& options) {
  const Points points = points_of(options);
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const std::int64_t at : points.at)
    list.push_back({{points.unit, at}, {"rate", rate_of(options, points, at)}});
  return list;
}

}  // namespace trainmark::cli
