// One text, two verdicts.
#include <fmt/core.h>

#include <limits>
#include <optional>

#include "mllog/official.hpp"

namespace trainmark {
namespace {

using mllog::Json;

std::string text_of(const mllog::Parsed& parsed, const std::string& key) {
  for (const mllog::Record& record : parsed.records) {
    if (record.key == key && record.value.is_string() && !mllog::is_number(record.value))
      return record.value.get<std::string>();
  }
  return {};
}

/// A value of ours, where the types fit.
std::optional<EventValue> value_of(const Json& value) {
  if (value.is_null()) return EventValue{};
  if (value.is_boolean()) return EventValue{value.get<bool>()};
  constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > largest) return EventValue{value.get<double>()};
  if (value.is_number_integer()) return EventValue{value.get<std::int64_t>()};
  if (mllog::is_number(value)) return EventValue{mllog::number_of(value)};
  if (value.is_string()) return EventValue{value.get<std::string>()};
  if (!value.is_array()) return {};
  std::vector<double> numbers;
  for (const Json& each : value) {
    if (!mllog::is_number(each)) return {};
    numbers.push_back(mllog::number_of(each));
  }
  return EventValue{std::move(numbers)};
}

}  // namespace

std::vector<LogRecord> read_log(std::string_view text) {
  std::vector<LogRecord> records;
  for (const mllog::Record& found : mllog::parse(text).records) {
    LogRecord& record = records.emplace_back();
    record.line = found.line;
    record.time_ms = found.time_ms;
    record.event_type = found.event_type;
    record.key = found.key;
    record.value = value_of(found.value).value_or(EventValue{});
    if (!found.metadata.is_object()) continue;
    for (const auto& [name, value] : found.metadata.items()) {
      if (auto known = value_of(value)) record.metadata.emplace_back(name, std::move(*known));
    }
  }
  return records;
}

Verdict judge_log(std::string_view text, std::string_view usage, std::string_view ruleset) {
  const mllog::Parsed parsed = mllog::parse(text);
  Verdict verdict;
  verdict.benchmark = text_of(parsed, "submission_benchmark");
  verdict.division = text_of(parsed, "submission_division");
  verdict.usage = usage != "auto" ? std::string(usage) : verdict.benchmark == "resnet" ? "training" : "hpc";
  verdict.ruleset = ruleset != "auto" ? std::string(ruleset) : verdict.usage == "training" ? "4.0.0" : "3.0.0";
  if (mllog::find_rules(verdict.usage + "_" + verdict.ruleset + "/common") == nullptr) {
    throw Error(ExitCode::usage,
                Complaint{"check", fmt::format("there are no rules {} {}", verdict.usage, verdict.ruleset), "",
                          "known are hpc 1.0.0, 2.0.0, 3.0.0 and training 4.0.0"});
  }
  verdict.official = mllog::official_findings(parsed, verdict.usage, verdict.ruleset);
  verdict.semantic = mllog::semantic_findings(parsed, verdict.benchmark);
  return verdict;
}

Verdict judge_file(const std::filesystem::path& path, std::string_view usage, std::string_view ruleset) {
  return judge_log(read_log_file(path), usage, ruleset);
}

}  // namespace trainmark
