// trainmark check: judges MLPerf logs, official rules and common sense apart.
#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "mllog/utf8.hpp"
#include "trainmark/mllog.hpp"

namespace trainmark::cli {
namespace {

using Json = nlohmann::ordered_json;

struct CheckOptions {
  std::vector<std::string> files;
  bool strict = false, json = false, quiet = false;
  std::string usage = "auto", ruleset = "auto";
};

void print(const std::string& file, const Verdict& verdict, bool quiet) {
  for (const auto& [kind, findings] : {std::pair{"official", &verdict.official}, {"semantic", &verdict.semantic}}) {
    for (const Finding& finding : *findings) {
      const std::string line = finding.line > 0 ? fmt::format(":{}", finding.line) : "";
      write_output(fmt::format("{}{}: {}: {}: {}\n", file, line, kind, finding.rule, finding.message));
    }
  }
  if (quiet) return;
  write_output(fmt::format("{}: official {} ({} {}, {}), semantic {}\n", file,
                           verdict.compliant() ? "SUCCESS" : "FAILED", verdict.usage, verdict.ruleset,
                           verdict.benchmark.empty() ? "unknown benchmark" : verdict.benchmark,
                           verdict.semantic.empty() ? "sound" : fmt::format("{} finding(s)", verdict.semantic.size())));
}

Json findings_json(const std::vector<Finding>& findings) {
  Json list = Json::array();
  for (const Finding& finding : findings)
    list.push_back({{"line", finding.line}, {"rule", finding.rule}, {"message", finding.message}});
  return list;
}

int check(const CheckOptions& options) {
  bool failed = false;
  bool unreadable = false;
  Json report = Json::array();
  for (const std::string& file : options.files) {
    try {
      const Verdict verdict = judge_file(file, options.usage, options.ruleset);
      const bool passed = options.strict ? verdict.sound() : verdict.compliant();
      failed = failed || !passed;
      if (!options.json) print(file, verdict, options.quiet);
      report.push_back({{"file", file},
                        {"usage", verdict.usage},
                        {"ruleset", verdict.ruleset},
                        {"benchmark", verdict.benchmark},
                        {"division", verdict.division},
                        {"compliant", verdict.compliant()},
                        {"passed", passed},
                        {"official", findings_json(verdict.official)},
                        {"semantic", findings_json(verdict.semantic)}});
    } catch (const Error& error) {
      print_error(error.what());
      report.push_back({{"file", file}, {"error", error.what()}});
      unreadable = true;
    }
  }
  if (options.json) write_output(json_text(report, 2) + "\n");
  if (unreadable) return to_int(ExitCode::usage);
  return to_int(failed ? ExitCode::compliance : ExitCode::success);
}

}  // namespace

void add_check(CLI::App& app, Action& action) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command = app.add_subcommand("check", "Judge MLPerf logs");
  command->add_option("files", options->files, "Log files")->required()->type_name("FILE");
  command->add_flag("--strict", options->strict, "Fail on semantic findings too");
  command->add_option("--usage", options->usage, "Rules of hpc or training; auto: by the benchmark")
      ->check(CLI::IsMember({"auto", "hpc", "training"}));
  command->add_option("--ruleset", options->ruleset, "Round of the rules, e.g. 3.0.0; auto: the latest of the usage");
  command->add_flag("--quiet", options->quiet, "Print findings only");
  command->add_flag("--json", options->json, "Print JSON");
  command->footer(
      "Two verdicts. official: what the official compliance checker says of the log, no more and no less. semantic: "
      "what it\n"
      "does not look at: starts without stops, time that runs back, a run_stop before the target, missing epochs.\n"
      "Each finding has its line and the rule's name.\n\n"
      "Examples:\n  trainmark check results/tiny/*/mlperf.log\n  trainmark check --strict --usage hpc --ruleset 3.0.0 "
      "mlperf.log\n\n"
      "Exit codes: 0 compliant; 2 a file cannot be read; 7 not compliant (with --strict: or a semantic finding)");
  command->callback([options, &action] { action = [options](Process&) { return check(*options); }; });
}

}  // namespace trainmark::cli
