// How sure a mean of few paired differences is.
#pragma once

#include <span>

namespace trainmark {

/// A mean with its 95 % interval by Student's t.
struct Interval {
  double mean = 0.0, low = 0.0, high = 0.0;
  /// Whether the interval leaves zero out.
  [[nodiscard]] bool is_certain() const noexcept { return low > 0.0 || high < 0.0; }
};
/// Contract: two values or more.
[[nodiscard]] Interval interval_of(std::span<const double> values);

}  // namespace trainmark
