// Which of many values that should be equal are out of line.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace trainmark {

/// Fewer than so many members say nothing of each other: of two that differ nobody knows which is wrong.
inline constexpr std::size_t least_judged = 3;

/// A member's time beside those of all.
struct Judged {
  double excess = 0.0;      ///< over the median, as a part of it; negative: faster
  double deviations = 0.0;  ///< the same in robust standard deviations
  bool slow = false;        ///< never where fewer than least_judged are compared
};

/// One for each of `seconds`, all above 0. The standard deviation is 1.4826 times the median absolute deviation, taken
/// as at least a 175th of the median; who is more than 3.5 of them above the median, so 2 % at least, is slow.
/// Source: B. Iglewicz, D. C. Hoaglin, How to Detect and Handle Outliers, 1993, for the bound of 3.5.
[[nodiscard]] std::vector<Judged> judge(std::span<const double> seconds);

}  // namespace trainmark
