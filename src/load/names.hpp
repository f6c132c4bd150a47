// Help with misspelt names in messages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark {

/// The candidate nearest to `word`, or nothing where none is near (more than half of the word would change).
[[nodiscard]] inline std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  int least = static_cast<int>(word.size()) / 2 + 1;
  for (const std::string& candidate : candidates) {
    const int distance = edit_distance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace trainmark
