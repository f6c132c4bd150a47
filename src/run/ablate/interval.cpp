#include "run/ablate/interval.hpp"

#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>

#include "trainmark/core.hpp"

namespace trainmark {

Interval interval_of(std::span<const double> values) {
  TRAINMARK_CHECK(values.size() >= 2, "one value has no interval");
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0.0;
  for (const double value : values)
    squares += (value - mean) * (value - mean);
  const double error = std::sqrt(squares / (count - 1.0) / count);
  const double half = error * boost::math::quantile(boost::math::students_t(count - 1.0), 0.975);
  return {mean, mean - half, mean + half};
}

}  // namespace trainmark
