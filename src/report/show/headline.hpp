// What a reader wants to know first: how fast, by the rules?, what binds, what next.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "trainmark/report.hpp"

namespace trainmark::report {

struct Headline {
  std::string question, answer;
};
/// In the order in which they are asked; without an answer, why there is none. Reads up to 50 logs again, to judge
/// them.
[[nodiscard]] std::vector<Headline> headlines_of(std::span<const RunReport> runs, bool instances = false);

}  // namespace trainmark::report
