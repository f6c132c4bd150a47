#include "mllog/official.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

namespace trainmark::mllog {
namespace {

/// Findings by key: a later, more specific rule set replaces what an earlier one said of the same key.
class Messages {
 public:
  void add(const std::string& key, Finding finding) { by_key_[key].push_back(std::move(finding)); }
  void add(Finding finding) { fixed_.push_back(std::move(finding)); }
  void forget(const std::string& key) { by_key_.erase(key); }
  [[nodiscard]] std::vector<Finding> all() const {
    std::vector<Finding> findings = fixed_;
    for (const auto& [key, some] : by_key_)
      findings.insert(findings.end(), some.begin(), some.end());
    std::stable_sort(findings.begin(), findings.end(),
                     [](const Finding& a, const Finding& b) { return a.line < b.line; });
    return findings;
  }

 private:
  std::map<std::string, std::vector<Finding>> by_key_;
  std::vector<Finding> fixed_;
};

/// Applies one rule set to all records.
class Pass {
 public:
  Pass(const RuleSet& rules, Messages& messages) : state_(rules.initial), messages_(messages) {
    for (const KeyRule& rule : rules.keys) {
      rules_[rule.key] = &rule;
      messages_.forget(rule.key);
    }
  }

  /// False where the official checker would give up.
  [[nodiscard]] bool run(const std::vector<Record>& records) {
    for (const Record& record : records) {
      const auto found = rules_.find(record.key);
      if (found == rules_.end()) continue;
      seen_[record.key].push_back(record.line);
      if (!examine(record, *found->second)) return false;
    }
    finish();
    return true;
  }
  [[nodiscard]] const std::vector<std::string>& more() const { return state_.more; }

 private:
  bool examine(const Record& record, const KeyRule& rule) {
    // Of the submission's header, the checker looks at the first occurrence only.
    const bool header = record.key.find("submission_") != std::string::npos;
    if (!header || seen_[record.key].size() == 1) {
      for (const Check& check : rule.checks)
        test(record, check);
      if (rule.after) {
        try {
          rule.after(record, state_);
        } catch (const Raised& raised) {
          messages_.add(record.key, {record.line, "check", fmt::format("{} {}", record.key, raised.what())});
        }
      }
    }
    if (rule.target.empty()) return true;
    try {
      bool reached = true;
      for (const Check& check : rule.target)
        reached = reached && check.holds(record, state_);
      reached_[record.key] = reached_[record.key] || reached;
    } catch (const Raised& raised) {
      messages_.add(
          {record.line, "traceback", fmt::format("{} {}: the official checker ends here", record.key, raised.what())});
      return false;
    }
    return true;
  }

  void test(const Record& record, const Check& check) {
    std::string found = shown(record.value);
    try {
      if (check.holds(record, state_)) return;
    } catch (const Raised&) {
      found += " (not comparable)";
    }
    messages_.add(record.key,
                  {record.line, "check", fmt::format("{} must be {}; found {}", record.key, check.text, found)});
  }

  void finish() {
    for (const auto& [key, reached] : reached_) {
      if (!reached) messages_.add({0, "target", fmt::format("no {} reaches the quality target", key)});
    }
    std::set<std::pair<std::string, std::string>> alternatives;
    for (const auto& [key, rule] : rules_) {
      const std::size_t count = seen_.contains(key) ? seen_[key].size() : 0;
      if (rule->count == Count::exactly_one && count != 1) {
        messages_.add(key, {count > 1 ? seen_[key][1] : 0, "exactly_one",
                            fmt::format("{} must occur exactly once; found {}", key, count)});
      }
      if (rule->count == Count::at_least_one && count == 0) {
        messages_.add(key, {0, "at_least_one", fmt::format("{} must occur at least once", key)});
      }
      if (!rule->alternative.empty() && count == 0 && !seen_.contains(rule->alternative)) {
        alternatives.insert(std::minmax(key, rule->alternative));
      }
    }
    for (const auto& [one, other] : alternatives) {
      messages_.add({0, "at_least_one", fmt::format("{} or {} must occur at least once", one, other)});
    }
  }

  State state_;
  Messages& messages_;
  std::map<std::string, const KeyRule*> rules_;
  std::map<std::string, std::vector<int>> seen_;
  std::map<std::string, bool> reached_;
};

}  // namespace

const RuleSet* find_rules(const std::string& name) {
  static std::map<std::string, RuleSet> cache;  // made on first use; the rule sets never change
  const auto known = cache.find(name);
  if (known != cache.end()) return known->second.keys.empty() ? nullptr : &known->second;
  const std::size_t slash = name.find('/');
  const std::string family = name.substr(0, slash);
  const std::string set = name.substr(slash + 1);
  RuleSet rules;
  if (family.starts_with("hpc_"))
    rules = hpc_rules(from_word<Ruleset>(family.substr(4)).value_or(Ruleset::latest), set);
  if (family == "training_4.0.0") rules = training_rules(set);
  const RuleSet& kept = cache[name] = std::move(rules);
  return kept.keys.empty() ? nullptr : &kept;
}

namespace {

/// The official checker has rules for more benchmarks than we do: of those we cannot speak.
Finding missing_rules(const std::string& name) {
  static const std::set<std::string> elsewhere = {"bert", "dlrm_dcnv2",       "gnn",   "gpt3", "llama2_70b_lora",
                                                  "ssd",  "stable_diffusion", "unet3d"};
  for (const std::string prefix : {"training_4.0.0/closed_", "training_4.0.0/open_"}) {
    if (!name.starts_with(prefix) || !elsewhere.contains(name.substr(prefix.size()))) continue;
    return {0, "unsupported",
            fmt::format("the rules of {} are not part of this program; use the official checker",
                        name.substr(prefix.size()))};
  }
  return {0, "traceback", fmt::format("there are no rules \"{}\" (a value of the log asks for them)", name)};
}

}  // namespace

std::vector<Finding> official_findings(const Parsed& parsed, const std::string& usage, const std::string& ruleset) {
  Messages messages;
  for (const Finding& error : parsed.errors) {
    messages.add(error);
    if (error.rule == "traceback") return messages.all();
  }
  if (parsed.records.empty()) messages.add({0, "empty", "the file has no record"});
  std::deque<std::string> waiting = {usage + "_" + ruleset + "/common"};
  std::set<std::string> done;  // a second pass finds the same; the benchmark "common" would ask for itself for ever
  while (!waiting.empty()) {
    const std::string name = waiting.front();
    waiting.pop_front();
    if (!done.insert(name).second) continue;
    const RuleSet* rules = find_rules(name);
    if (rules == nullptr) {
      messages.add(missing_rules(name));
      break;
    }
    Pass pass(*rules, messages);
    if (!pass.run(parsed.records)) break;
    waiting.insert(waiting.end(), pass.more().begin(), pass.more().end());
  }
  return messages.all();
}

}  // namespace trainmark::mllog
