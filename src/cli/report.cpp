// trainmark report: from logs and results folders to numbers and pictures.
#include "trainmark/report.hpp"

#include <fmt/core.h>

#include <memory>

#include "cli/command.hpp"

namespace trainmark::cli {
namespace {

struct ReportFlags {
  std::vector<std::string> paths;
  std::string csv, html;
  bool json = false;
};

/// One run that was interrupted before it trained does not spoil the report on the others.
std::vector<RunReport> report_all(const std::vector<std::filesystem::path>& logs) {
  std::vector<RunReport> runs;
  std::vector<Error> refusals;
  for (const std::filesystem::path& log : logs) {
    try {
      for (RunReport& run : report_runs(log))
        runs.push_back(std::move(run));
    } catch (const Error& refusal) {
      refusals.push_back(refusal);
    }
  }
  if (runs.empty() && !refusals.empty()) throw refusals.front();
  for (const Error& refusal : refusals)
    print_message(fmt::format("trainmark: warning: left out: {}\n", refusal.what()));
  return runs;
}

int report(const ReportFlags& flags) {
  std::vector<std::filesystem::path> logs;
  for (const std::string& path : flags.paths) {
    const std::vector<std::filesystem::path> found = find_logs(path);
    logs.insert(logs.end(), found.begin(), found.end());
  }
  const std::vector<RunReport> runs = report_all(logs);
  if (!flags.csv.empty()) write_report(flags.csv, render_csv(runs));
  if (!flags.html.empty()) write_report(flags.html, render_html(runs));
  write_output(flags.json ? render_json(runs) : render_text(runs));
  return to_int(ExitCode::success);
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ReportFlags>();
  CLI::App* command = app.add_subcommand("report", "Turn logs and results folders into numbers and pictures");
  command->add_option("paths", flags->paths, "Results folders or MLPerf logs, anyone's; several are set side by side")
      ->required()
      ->type_name("PATH");
  command->add_flag("--json", flags->json, "Print one JSON document instead of text");
  command->add_option("--csv", flags->csv, "Also write all figures as one table, a figure a row")->type_name("FILE");
  command->add_option("--html", flags->html, "Also write one self-contained page with plots")->type_name("FILE");
  command->footer(
      "Figures are tagged: measured (the run's own clocks), logged (in or between records of the log), modelled\n"
      "(computed under an assumption), given (by the rules or the config). The terms of the time to train add up to\n"
      "run_stop - run_start. Attempts and instances in one file are runs of their own; what is lost or does not pair "
      "is\n"
      "named, and figures that depend on it are bounded or left out. Three runs or more of one configuration get "
      "their\n"
      "olympic mean. A log that cannot be reported on is named and left out, unless it is alone.\n\n"
      "Examples:\n  trainmark report results/tiny/2026-01-31T12-00-00Z\n"
      "  trainmark report results/tiny --html report.html --csv report.csv\n\n"
      "Exit codes: 0, 2 (a path that is no log, or no run that began), 4 (a file that cannot be written)");
  command->callback([flags, &action] { action = [flags](Process&) { return report(*flags); }; });
}

}  // namespace trainmark::cli
