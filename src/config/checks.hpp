// Combinations of keys that cannot work, whatever the machine and the data.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "trainmark/run.hpp"

namespace trainmark::config {

struct Conflict {
  std::string pointer;
  std::string text;
};
/// `wrong`: pointers already complained of, whose values (and all below them) are defaults and say nothing.
[[nodiscard]] std::vector<Conflict> conflicts(const RunOptions& options, const std::set<std::string>& wrong);

}  // namespace trainmark::config
