// trainmark report: from logs and results folders to numbers and pictures.
#include "trainmark/report.hpp"

#include <fmt/core.h>

#include <memory>

#include "cli/command.hpp"

namespace trainmark::cli {
namespace {

struct ReportFlags {
  std::vector<std::string> paths;
  std::string csv, html, what_if, tiers;
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

Questions questions_of(const ReportFlags& flags) {
  Questions questions;
  if (!flags.tiers.empty()) questions.tiers = parse_tiers(flags.tiers);
  if (!flags.what_if.empty()) questions.what_if = parse_what_if(flags.what_if);
  return questions;
}

int report(const ReportFlags& flags) {
  const Questions questions = questions_of(flags);
  std::vector<std::filesystem::path> logs;
  for (const std::string& path : flags.paths) {
    const std::vector<std::filesystem::path> found = find_logs(path);
    logs.insert(logs.end(), found.begin(), found.end());
  }
  const std::vector<RunReport> runs = report_all(logs);
  if (!flags.csv.empty()) write_report(flags.csv, render_csv(runs));
  if (!flags.html.empty()) write_report(flags.html, render_html(runs, questions));
  write_output(flags.json ? render_json(runs, questions) : render_text(runs, questions));
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
  command
      ->add_option("--tiers", flags->tiers,
                   "What a node holds, e.g. hbm=640GiB,dram=2TiB,nvme=30TB: tells the fastest that a node's part fits")
      ->type_name("TIERS");
  command
      ->add_option("--what-if", flags->what_if,
                   "Another scale, e.g. nodes=1024,batch=2048,staging=shard: step, epochs and time to train there")
      ->type_name("SCALE");
  command->footer(
      "Figures are tagged: measured (the run's own clocks), logged (in or between records of the log), modelled\n"
      "(computed under an assumption), given (by the rules or the config). The terms of the time to train add up to\n"
      "run_stop - run_start. Attempts and instances in one file are runs of their own; what is lost or does not pair "
      "is\n"
      "named, and figures that depend on it are bounded or left out. Three runs or more of one configuration get "
      "their\n"
      "olympic mean. A log that cannot be reported on is named and left out, unless it is alone.\n\n"
      "Examples:\n  trainmark report results/tiny/2026-01-31T12-00-00Z\n"
      "  trainmark report results/tiny --html report.html --csv report.csv\n"
      "  trainmark report results/scaling --what-if nodes=64,staging=shard --tiers dram=512GiB,nvme=3TiB\n\n"
      "Exit codes: 0, 2 (a path that is no log, no run that began, or a scale that the runs do not reach), 4 (a file "
      "that cannot be written)");
  command->callback([flags, &action] { action = [flags](Process&) { return report(*flags); }; });
}

}  // namespace trainmark::cli
