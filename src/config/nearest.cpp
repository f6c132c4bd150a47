// A word is near where little of it would have to change.
#include "config/nearest.hpp"

#include <algorithm>

#include "trainmark/core.hpp"

namespace trainmark::config {

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  if (word.size() > 64) return {};
  std::string best;
  int least = std::max(2, static_cast<int>(word.size()) / 3) + 1;
  for (const std::string& candidate : known) {
    const bool begins = word.size() >= 3 && candidate.starts_with(word);  // "val" for "validation"
    const int distance = begins ? 1 : edit_distance(word, candidate);
    if (distance < least && distance < static_cast<int>(candidate.size())) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace trainmark::config
