#include "run/screen/judge.hpp"

#include <algorithm>
#include <cmath>

#include "trainmark/core.hpp"

namespace trainmark {

std::vector<Judged> judge(std::span<const double> seconds) {
  constexpr double of_normal = 1.4826;  // a normal distribution's standard deviation over its median absolute one
  constexpr double most = 3.5, least_excess = 0.02;
  if (seconds.empty()) return {};
  const double median = median_of({seconds.begin(), seconds.end()});
  std::vector<double> away;
  for (const double each : seconds)
    away.push_back(std::abs(each - median));
  const double deviation = std::max(of_normal * median_of(away), least_excess / most * median);
  std::vector<Judged> judged;
  for (const double each : seconds) {
    const double deviations = (each - median) / deviation;
    judged.push_back({each / median - 1.0, deviations, seconds.size() >= least_judged && deviations > most});
  }
  return judged;
}

}  // namespace trainmark
