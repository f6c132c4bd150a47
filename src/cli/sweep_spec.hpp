// What a sweep is asked to vary: a JSON document with a base config and lists of values.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace trainmark::cli {

/// One key of the config that is varied.
struct SweepAxis {
  std::string key;  ///< as the spec has it: "train.precision" or "/train/precision"
  std::vector<nlohmann::ordered_json> values;
  /// JSON pointer into a config.
  [[nodiscard]] nlohmann::json::json_pointer pointer() const;
  /// Into the spec, of value `at`.
  [[nodiscard]] std::string place(std::size_t at) const;
};
struct SweepSpec {
  std::string base;              ///< path of a config
  std::vector<int> nodes = {1};  ///< one job for each
  int repeats = 1;               ///< of each combination; with a seed of its own where the base has one
  std::vector<SweepAxis> axes;   ///< every combination of their values is a run
};
/// Comments are allowed. Raises Error{usage} with the pointer of what is wrong, and the key that was probably meant.
[[nodiscard]] SweepSpec parse_sweep(std::string_view text, const std::string& source_name);

}  // namespace trainmark::cli
