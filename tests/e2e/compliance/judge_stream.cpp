// Judges many logs in one process: reads "usage ruleset bytes" lines, each followed by that many bytes, and answers
// each with one line: PASS, or FAIL and the rules that failed.
#include <iostream>
#include <set>
#include <sstream>
#include <string>

#include "trainmark/mllog.hpp"

int main() {
  for (std::string header; std::getline(std::cin, header);) {
    std::istringstream words(header);
    std::string usage, ruleset;
    std::size_t bytes = 0;
    words >> usage >> ruleset >> bytes;
    std::string text(bytes, '\0');
    std::cin.read(text.data(), static_cast<std::streamsize>(bytes));
    const trainmark::Verdict verdict = trainmark::judge_log(text, usage, ruleset);
    std::set<std::string> rules;
    for (const auto& finding : verdict.official)
      rules.insert(finding.rule + ":" + finding.message);
    std::cout << (verdict.compliant() ? "PASS" : "FAIL");
    for (const std::string& rule : rules)
      std::cout << " | " << rule;
    std::cout << std::endl;
  }
  return 0;
}
