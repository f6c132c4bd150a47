#include "run/record/distribution.hpp"

#include <algorithm>
#include <cmath>

namespace trainmark {
namespace {

constexpr double least = 1e-7, most = 1e5;  // seconds
const double log_width = std::log(1.01);

}  // namespace

Distribution::Distribution() : classes_(static_cast<std::size_t>(std::log(most / least) / log_width) + 2) {}

void Distribution::add(double seconds) {
  std::size_t at = 0;
  if (seconds >= least)
    at = std::min(classes_.size() - 1, 1 + static_cast<std::size_t>(std::log(seconds / least) / log_width));
  ++classes_[at];
  ++count_;
  max_ = std::max(max_, seconds);
}

double Distribution::quantile(double share) const {
  const auto wanted = static_cast<std::int64_t>(std::ceil(share * static_cast<double>(count_)));
  std::int64_t seen = 0;
  for (std::size_t at = 0; at < classes_.size(); ++at) {
    seen += classes_[at];
    if (seen < wanted || seen == 0) continue;
    const double middle = at == 0 ? 0.0 : least * std::exp((static_cast<double>(at) - 0.5) * log_width);
    return std::min(middle, max_);
  }
  return 0.0;
}

}  // namespace trainmark
