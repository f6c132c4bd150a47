// The official rules as data: for each key how often it must occur and what must hold of each occurrence.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "mllog/parsed.hpp"

namespace trainmark::mllog {

/// Where the official checker's Python would raise; inside a check it counts as failed.
struct Raised : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What the checks of one rule set remember from line to line.
struct State {
  bool init_started = false, init_stopped = false, run_started = false, staging_started = false;
  double first_init_start_ms = 9e99;
  double init_limit_minutes = 30;
  std::vector<std::string> more;  ///< rule sets that a value asks for
};

struct Check {
  std::string text;  ///< what must hold, for the finding
  std::function<bool(const Record&, const State&)> holds;
};

enum class Count { any, exactly_one, at_least_one };

struct KeyRule {
  std::string key;
  Count count = Count::any;
  std::vector<Check> checks;
  std::string alternative;  ///< at least one of this key or of that
  std::function<void(const Record&, State&)> after;
  std::vector<Check> target;  ///< at least one occurrence must hold; raising ends the official checker
};

struct RuleSet {
  State initial;
  std::vector<KeyRule> keys;
};

/// "hpc_3.0.0/common", "hpc_3.0.0/closed_cosmoflow", "training_4.0.0/closed_resnet_lars" ...; nothing if there is no
/// such set.
[[nodiscard]] const RuleSet* find_rules(const std::string& name);

// --- the vocabulary of rules
// ------------------------------------------------------------------------------------------
[[nodiscard]] Check above(double bound);
[[nodiscard]] Check at_least(double bound);
[[nodiscard]] Check at_most(double bound);
[[nodiscard]] Check below(double bound);
[[nodiscard]] Check equal_to(double wanted);
[[nodiscard]] Check equal_to_text(std::string wanted);
[[nodiscard]] Check one_of(std::vector<std::string> allowed);
[[nodiscard]] Check not_empty();
[[nodiscard]] Check metadata_has(std::string name);
[[nodiscard]] Check metadata_has_any(std::string one, std::string other);
[[nodiscard]] KeyRule once(std::string key, std::vector<Check> checks = {});
[[nodiscard]] KeyRule optional(std::string key, std::vector<Check> checks);
[[nodiscard]] KeyRule often(std::string key, std::vector<Check> checks);
[[nodiscard]] KeyRule one_or(std::string key, std::string alternative, std::vector<Check> checks);

/// Python's `name in metadata`: of an object, a list or a text; raises for anything else.
[[nodiscard]] bool contains(const Json& metadata, const std::string& name);
/// The value as a number to compare with; raises where Python cannot compare.
[[nodiscard]] double compared(const Json& value);

[[nodiscard]] RuleSet hpc_rules(Ruleset version, const std::string& name);  ///< keys empty: no such set
[[nodiscard]] RuleSet openfold_rules();
[[nodiscard]] RuleSet training_rules(const std::string& name);

/// Rules that both families share: submission header, init, run, blocks, epochs.
[[nodiscard]] std::vector<KeyRule> header_rules();
[[nodiscard]] std::vector<KeyRule> phase_rules();

}  // namespace trainmark::mllog
