// One text, two verdicts.
#include <fmt/core.h>

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

}  // namespace

Verdict judge_log(std::string_view text, std::string_view usage, std::string_view ruleset) {
  const mllog::Parsed parsed = mllog::parse(text);
  Verdict verdict;
  verdict.benchmark = text_of(parsed, "submission_benchmark");
  verdict.division = text_of(parsed, "submission_division");
  // A usage that is asked for stands for its benchmarks.
  const std::optional<Ruleset> round = from_word<Ruleset>(ruleset);
  const bool training = from_word<Usage>(usage) == Usage::training;
  const Rules rules = rules_of(usage == "auto" ? verdict.benchmark
                               : training      ? "resnet"
                                               : "",
                               round.value_or(Ruleset::latest));
  verdict.usage = usage == "auto" ? word(rules.usage) : usage;
  verdict.ruleset = round ? word(rules.version) : ruleset;
  if (mllog::find_rules(verdict.usage + "_" + verdict.ruleset + "/common") == nullptr) {
    throw Error(ExitCode::usage,
                Complaint{"check", fmt::format("there are no rules {} {}", verdict.usage, verdict.ruleset), "",
                          "known are hpc 1.0.0, 2.0.0, 3.0.0 and training 4.0.0"});
  }
  verdict.official = mllog::official_findings(parsed, verdict.usage, verdict.ruleset);
  verdict.semantic = mllog::semantic_findings(parsed, verdict.benchmark);
  for (const LogFlaw& flaw : read_log(text).flaws) {
    const std::string key = flaw.key.empty() ? "" : fmt::format(" (it names {})", flaw.key);
    verdict.semantic.push_back(
        {flaw.line, "line", flaw.lost ? fmt::format("a record is lost: {}{}", flaw.message, key) : flaw.message});
  }
  return verdict;
}

Verdict judge_file(const std::filesystem::path& path, std::string_view usage, std::string_view ruleset) {
  return judge_log(read_log_file(path, "check"), usage, ruleset);
}

}  // namespace trainmark
