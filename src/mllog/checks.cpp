// The vocabulary of rules, with Python's notions of comparison and membership.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "mllog/rules.hpp"

namespace trainmark::mllog {

bool contains(const Json& metadata, const std::string& name) {
  if (metadata.is_object()) return metadata.contains(name);
  if (metadata.is_array()) return std::ranges::find(metadata, Json(name)) != metadata.end();
  if (metadata.is_string() && !is_number(metadata)) return metadata.get<std::string>().find(name) != std::string::npos;
  throw Raised("metadata is no object");
}

double compared(const Json& value) {
  if (!is_number(value)) throw Raised("is no number");
  return number_of(value);
}

namespace {

template <class Compare>
Check numeric(std::string text, Compare compare) {
  return {std::move(text), [compare](const Record& record, const State&) { return compare(compared(record.value)); }};
}

}  // namespace

Check above(double bound) {
  return numeric(fmt::format("> {}", bound), [bound](double v) { return v > bound; });
}
Check at_least(double bound) {
  return numeric(fmt::format(">= {}", bound), [bound](double v) { return v >= bound; });
}
Check at_most(double bound) {
  return numeric(fmt::format("<= {}", bound), [bound](double v) { return v <= bound; });
}
Check below(double bound) {
  return numeric(fmt::format("< {}", bound), [bound](double v) { return v < bound; });
}
Check equal_to(double wanted) {
  return {fmt::format("== {}", wanted), [wanted](const Record& record, const State&) {
            return is_number(record.value) && number_of(record.value) == wanted;
          }};
}
Check equal_to_text(std::string wanted) { return one_of({std::move(wanted)}); }
Check one_of(std::vector<std::string> allowed) {
  std::string text = fmt::format("one of {}", fmt::join(allowed, ", "));
  return {std::move(text), [allowed = std::move(allowed)](const Record& record, const State&) {
            return record.value.is_string() &&
                   std::ranges::find(allowed, record.value.get<std::string>()) != allowed.end();
          }};
}
Check not_empty() {
  return {"not an empty text", [](const Record& record, const State&) { return record.value != Json(""); }};
}
Check metadata_has(std::string name) {
  std::string text = fmt::format("metadata with {}", name);
  return {std::move(text),
          [name = std::move(name)](const Record& record, const State&) { return contains(record.metadata, name); }};
}
Check metadata_has_any(std::string one, std::string other) {
  std::string text = fmt::format("metadata with {} or {}", one, other);
  return {std::move(text), [one = std::move(one), other = std::move(other)](const Record& record, const State&) {
            return contains(record.metadata, one) || contains(record.metadata, other);
          }};
}

KeyRule once(std::string key, std::vector<Check> checks) {
  return {std::move(key), Count::exactly_one, std::move(checks), {}, {}, {}};
}
KeyRule optional(std::string key, std::vector<Check> checks) {
  return {std::move(key), Count::any, std::move(checks), {}, {}, {}};
}
KeyRule often(std::string key, std::vector<Check> checks) {
  return {std::move(key), Count::at_least_one, std::move(checks), {}, {}, {}};
}
KeyRule one_or(std::string key, std::string alternative, std::vector<Check> checks) {
  return {std::move(key), Count::any, std::move(checks), std::move(alternative), {}, {}};
}

std::vector<KeyRule> header_rules() {
  return {once("submission_org", {not_empty()}),
          once("submission_platform", {not_empty()}),
          once("submission_status", {one_of({"cloud", "onprem", "preview", "research"})}),
          often("cache_clear", {}),
          once("train_samples", {not_empty()}),
          once("eval_samples", {not_empty()})};
}

std::vector<KeyRule> phase_rules() {
  KeyRule init_start =
      often("init_start", {{"before init_stop", [](const Record&, const State& s) { return !s.init_stopped; }},
                           {"before run_start", [](const Record&, const State& s) { return !s.run_started; }}});
  init_start.after = [](const Record& record, State& s) {
    s.init_started = true;
    if (record.time_ms < s.first_init_start_ms) s.first_init_start_ms = record.time_ms;
  };
  KeyRule init_stop =
      once("init_stop",
           {{"after init_start", [](const Record&, const State& s) { return s.init_started; }},
            {"before run_start", [](const Record&, const State& s) { return !s.run_started; }},
            {"within the limit of the initialisation (30 minutes closed)", [](const Record& record, const State& s) {
               return record.time_ms - s.first_init_start_ms < s.init_limit_minutes * 60e3;
             }}});
  init_stop.after = [](const Record&, State& s) { s.init_stopped = true; };
  KeyRule run_start =
      once("run_start", {{"after init_stop", [](const Record&, const State& s) { return s.init_stopped; }}});
  run_start.after = [](const Record&, State& s) { s.run_started = true; };
  const Check running = {"after run_start", [](const Record&, const State& s) { return s.run_started; }};
  return {std::move(init_start),
          std::move(init_stop),
          std::move(run_start),
          once("run_stop", {running, metadata_has("status")}),
          one_or("epoch_start", "block_start", {metadata_has("epoch_num")}),
          one_or("epoch_stop", "block_stop", {metadata_has("epoch_num")})};
}

}  // namespace trainmark::mllog
