// trainmark report: from logs and results folders to numbers and pictures.
#include "trainmark/report.hpp"

#include <fmt/core.h>

#include <memory>

#include "cli/command.hpp"

namespace trainmark::cli {
namespace {

struct ReportFlags {
  std::vector<std::string> paths;
  std::string csv, html, model, what_if, tiers, tolerance, junit;
  bool json = false, details = false, compare = false, instances = false;
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
  for (const std::string& copy : leave_out_copies(runs))
    print_message(fmt::format("trainmark: warning: left out: {}\n", copy));
  return runs;
}

Questions questions_of(const ReportFlags& flags) {
  Questions questions;
  questions.details = flags.details;
  questions.instances = flags.instances;
  if (!flags.tiers.empty()) questions.tiers = parse_tiers(flags.tiers);
  if (!flags.what_if.empty()) questions.what_if = parse_what_if(flags.what_if);
  return questions;
}

int compare(const ReportFlags& flags) {
  if (flags.paths.size() != 2)
    throw Error(ExitCode::usage, Complaint{"--compare",
                                           fmt::format("{} paths are given", flags.paths.size()),
                                           {},
                                           "name two: the runs of before, then the new ones"});
  const std::map<std::string, double> tolerances =
      flags.tolerance.empty() ? std::map<std::string, double>()
                              : parse_tolerances(read_file(flags.tolerance, "table of tolerances"), flags.tolerance);
  const std::vector<RunReport> base = report_all(find_logs(flags.paths[0]));
  const std::vector<RunReport> now = report_all(find_logs(flags.paths[1]));
  const Comparison comparison = compare_runs(base, now, tolerances);
  if (!flags.junit.empty()) write_report(flags.junit, comparison.junit);
  write_output(flags.json ? comparison.json : comparison.text);
  return to_int(comparison.failures == 0 ? ExitCode::success : ExitCode::target_missed);
}

int report(const ReportFlags& flags) {
  if (flags.compare) return compare(flags);
  const Questions questions = questions_of(flags);
  std::vector<std::filesystem::path> logs;
  for (const std::string& path : flags.paths) {
    const std::vector<std::filesystem::path> found = find_logs(path);
    logs.insert(logs.end(), found.begin(), found.end());
  }
  const std::vector<RunReport> runs = report_all(logs);
  if (!flags.csv.empty()) write_report(flags.csv, render_csv(runs));
  if (!flags.html.empty()) write_report(flags.html, render_html(runs, questions));
  if (!flags.model.empty()) write_report(flags.model, render_model(runs));
  write_output(flags.json ? render_json(runs, questions) : render_text(runs, questions));
  return to_int(ExitCode::success);
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ReportFlags>();
  CLI::App* command = app.add_subcommand("report", "Turn logs and results folders into numbers and pictures");
  command
      ->add_option("paths", flags->paths,
                   "MLPerf logs, anyone's, results folders or trees of them; several are set side by side")
      ->required()
      ->type_name("PATH");
  command->add_flag("--json", flags->json, "Print one JSON document instead of text");
  command->add_option("--csv", flags->csv, "Also write all figures as one table, a figure a row")->type_name("FILE");
  command->add_option("--html", flags->html, "Also write one self-contained page with plots")->type_name("FILE");
  command
      ->add_option(
          "--model", flags->model,
          "Also write what a step computes and moves, its messages and the probed ceilings, as JSON for models")
      ->type_name("FILE");
  command->add_flag("--details", flags->details, "Show each run, however many there are");
  command->add_flag("--instances", flags->instances,
                    "Runs of one configuration are instances of one job: the time to train all of them");
  CLI::Option* compares = command->add_flag(
      "--compare", flags->compare, "Two paths: runs of before, then new ones; a line for each figure of merit");
  command
      ->add_option("--tolerance", flags->tolerance,
                   "By how many percent figures may be worse: {\"time_to_train_s\": 5}")
      ->needs(compares)
      ->type_name("FILE");
  command->add_option("--junit", flags->junit, "Also write the comparison as JUnit XML")
      ->needs(compares)
      ->type_name("FILE");
  command
      ->add_option("--tiers", flags->tiers, "What a node holds, e.g. hbm=640GiB,dram=2TiB: tells the fastest that fits")
      ->type_name("TIERS");
  command
      ->add_option("--what-if", flags->what_if,
                   "Another scale, e.g. nodes=1024,batch=2048,staging=shard: step, epochs, time")
      ->type_name("SCALE");
  for (const char* each : {"--csv", "--html", "--model", "--details", "--instances", "--tiers", "--what-if"})
    command->get_option(each)->excludes(compares);  // a comparison has none of them
  command->footer(
      "Figures are tagged: measured (the run's own clocks), logged (in or between records of the log), modelled\n"
      "(computed under an assumption), assumed (stated by you, or taken from other machines), given (by the rules or\n"
      "the config). The terms of the time to train add up to run_stop - run_start. Attempts and instances in one file\n"
      "are runs of their own; what is lost or does not pair is named, and figures that depend on it are bounded or\n"
      "left out. Three runs or more of one configuration get their olympic mean. A log that cannot be reported on is\n"
      "named and left out, unless it is alone.\n\n"
      "Examples:\n  trainmark report results/tiny/2026-01-31T12-00-00Z\n"
      "  trainmark report results/tiny --html report.html --csv report.csv\n"
      "  trainmark report results/tiny/2026-01-31T12-00-00Z --html report.html --model model.json\n"
      "  trainmark report results/scaling --what-if nodes=64,staging=shard --tiers dram=512GiB,nvme=3TiB\n"
      "  trainmark report --compare before/ after/ --tolerance tolerance.json --junit compare.xml\n\n"
      "Exit codes: 0, 2 (a path that is no log, no run that began, or a scale that the runs do not reach),\n"
      "4 (a file that cannot be written), 6 (--compare: a figure is worse than its tolerance)");
  command->callback([flags, &action] { action = [flags](Process&) { return report(*flags); }; });
}

}  // namespace trainmark::cli
