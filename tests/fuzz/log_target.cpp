// Anybody's log to verdicts: as it comes, and under each family of rules. Nothing may be raised.
#include <algorithm>

#include "fuzz/fuzz.hpp"
#include "trainmark/mllog.hpp"

namespace trainmark::fuzz {

const Target& target() {
  static const Target target{"log", true, [] { return seeds_in("tests/golden/logs"); }};
  return target;
}

}  // namespace trainmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainmark;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Verdict verdict = judge_log(text);
  const auto& all = verdict.official;
  fuzz::require(verdict.compliant() == all.empty(), "a log without official findings is compliant", "it is not");
  for (const auto* findings : {&verdict.official, &verdict.semantic}) {
    for (const Finding& finding : *findings)
      fuzz::require(!finding.rule.empty() && !finding.message.empty(), "a finding names its rule and says why",
                    finding.rule);
  }
  static_cast<void>(judge_log(text, "hpc", "3.0.0"));
  static_cast<void>(judge_log(text, "training", "4.0.0"));
  const auto lines = 1 + std::count(text.begin(), text.end(), '\n') + std::count(text.begin(), text.end(), '\r');
  for (const LogRecord& record : read_log(text).records)
    fuzz::require(record.line >= 1 && record.line <= lines, "a record names its line", std::to_string(record.line));
  return 0;
}
