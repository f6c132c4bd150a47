// trainmark package: runs' results folders to the folder that MLPerf takes as a submission, or why they are none.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "cli/command.hpp"
#include "cli/new_folder.hpp"
#include "cli/package_check.hpp"
#include "cli/package_system.hpp"
#include "mllog/utf8.hpp"
#include "report/analyse/references.hpp"
#include "trainmark/mllog.hpp"
#include "trainmark/report.hpp"

namespace trainmark::cli {
namespace {

constexpr Unwritten unwritten{"a part of a submission is none", "free space or name another folder with --into"};

struct Flags {
  std::vector<std::string> paths;
  std::string folder, system, description;
  bool checks = false, prints_system = false;
};

/// A run that may be submitted.
struct Candidate {
  RunReport run;
  std::string text;  ///< of its log
  bool missed = false;
};
using Benchmarks = std::map<std::string, std::vector<Candidate>>;

std::string value_of(const LogText& log, std::string_view key) {
  const auto found = std::ranges::find(log.records, key, &LogRecord::key);
  const auto* text = found == log.records.end() ? nullptr : std::get_if<std::string>(&found->value);
  return text == nullptr ? std::string() : *text;
}

/// Why a run cannot be part of any submission; empty: it can.
std::string why_not(const Candidate& candidate, const Verdict& verdict) {
  if (candidate.run.emulated_device) return "its device is emulated";
  if (candidate.run.generated_data) return "its data are generated";
  if (candidate.run.attempts > 1) return "its log holds several attempts; package the run that was not interrupted";
  const auto broken = std::ranges::find_if(verdict.official, [](const Finding& each) { return each.rule != "target"; });
  if (broken != verdict.official.end())
    return fmt::format("its log is not compliant: line {}: {}: {}", broken->line, broken->rule, broken->message);
  if (!verdict.semantic.empty() && verdict.compliant())
    return fmt::format("its log is not sound: {}: {}", verdict.semantic.front().rule, verdict.semantic.front().message);
  return {};
}

Benchmarks candidates_in(const std::vector<std::string>& paths, std::vector<std::string>& refusals) {
  Benchmarks all;
  for (const std::string& path : paths) {
    for (const std::filesystem::path& log : find_logs(path)) {
      std::vector<RunReport> runs;
      std::string text;
      try {
        runs = report_runs(log);
        text = read_log_file(log, "package");
      } catch (const Error& error) {
        refusals.emplace_back(error.what());
        continue;
      }
      const Verdict verdict = judge_log(text);  // of all attempts that the log holds
      for (RunReport& run : runs) {
        Candidate candidate{std::move(run), text, !verdict.compliant()};
        if (const std::string why = why_not(candidate, verdict); !why.empty()) {
          refusals.push_back(fmt::format("{}: {}", candidate.run.name(), why));
          continue;
        }
        all[candidate.run.benchmark].push_back(std::move(candidate));
      }
    }
  }
  return all;
}

/// What runs of a benchmark must have in common, and how many they must be.
void require_score(const std::string& benchmark, std::vector<Candidate>& runs, std::vector<std::string>& refusals) {
  std::ranges::stable_sort(runs, {}, [](const Candidate& each) { return each.run.start_ms; });
  const auto wanted = static_cast<std::size_t>(report::runs_of_a_score(benchmark));
  if (runs.size() < wanted)
    refusals.push_back(fmt::format("{}: {} run{} that may be submitted, a score takes {}", benchmark, runs.size(),
                                   runs.size() == 1 ? "" : "s", wanted));
  if (runs.size() > wanted)
    refusals.push_back(
        fmt::format("{}: {} runs, a score takes exactly {}: name {} that follow each other in time, of all such rows "
                    "the one with the median score (picking the best is forbidden)",
                    benchmark, runs.size(), wanted, wanted));
  const auto missed = std::ranges::count_if(runs, &Candidate::missed);
  if (missed > 1)
    refusals.push_back(
        fmt::format("{}: {} runs missed the target, one may (it counts as the slowest)", benchmark, missed));
  std::map<std::string, std::string> seeds;
  for (const Candidate& each : runs) {
    if (each.run.configuration != runs.front().run.configuration)
      refusals.push_back(
          fmt::format("{}: its configuration differs from that of {}", each.run.name(), runs.front().run.name()));
    const auto [other, fresh] = seeds.try_emplace(each.run.facts.seed, each.run.name());
    if (!fresh)
      refusals.push_back(fmt::format("{}: has the seed {} of {}", each.run.name(), each.run.facts.seed, other->second));
  }
}

void require_one_submitter(const Benchmarks& all, std::vector<std::string>& refusals) {
  const RunReport& first = all.begin()->second.front().run;
  for (const auto& [benchmark, runs] : all) {
    const RunReport& other = runs.front().run;
    for (const auto& [what, one, two] : {std::tuple("organisation", first.organisation, other.organisation),
                                         std::tuple("division", first.division, other.division),
                                         std::tuple("platform", first.platform, other.platform)})
      if (one != two)
        refusals.push_back(
            fmt::format("{}: {} \"{}\", not \"{}\" as {}'s", other.name(), what, two, one, first.benchmark));
  }
}

std::string shell_script(const std::string& comment, const std::string& line) {
  return fmt::format("#!/bin/bash\n# {}\n{}\n", comment, line);
}

void write_benchmark(NewFolder& folder, const Flags& flags, const std::string& benchmark,
                     const std::vector<Candidate>& runs) {
  const std::string level = has_scaling_level(benchmark) ? "strong/" : "";
  for (std::size_t at = 0; at < runs.size(); ++at)
    folder.write(fmt::format("results/{}/{}{}/result_{}.txt", flags.system, level, benchmark, at), runs[at].text);
  const RunReport& run = runs.front().run;
  const Json record = beside(run.path, "run.json"), environment = beside(run.path, "env.json");
  const std::string version = environment.value("trainmark", Json::object()).value("version", "of an unknown version");
  const std::string command = record.value("command_line", std::string("trainmark run config.resolved.json"));
  const std::string code = fmt::format("benchmarks/{}/implementations/trainmark", benchmark);
  folder.write(
      code + "/README.md",
      fmt::format("# {}\n\ntrainmark {}: put its source here, as of the commit that was run.\n", benchmark, version));
  folder.write(code + "/config.resolved.json", json_text(beside(run.path, "config.resolved.json"), 2) + "\n");
  const std::string place = fmt::format("benchmarks/{}/{}", benchmark, flags.system);
  folder.write(
      fmt::format("{}/{}_trainmark.json", place, flags.system),
      json_text(Json{{"implementation", "trainmark"}, {"version", version}, {"command_line", command}}, 2) + "\n");
  folder.write(place + "/README.md",
               fmt::format("# {} on {}\n\n{} runs. See run_and_time.sh.\n", benchmark, run.platform, runs.size()));
  folder.write(place + "/setup.sh",
               shell_script("What was installed stands in the system's description.", "trainmark --version"));
  folder.write(place + "/init_datasets.sh",
               shell_script("Looks at the data set that was trained on: every byte against its manifest.",
                            "trainmark data verify \"$1\""));
  folder.write(place + "/run_and_time.sh",
               shell_script("As the first of the runs was started, by the system's launcher.", command));
}

[[noreturn]] void refuse(const std::vector<std::string>& refusals) {
  throw Error(ExitCode::compliance, fmt::format("no submission can be made of this:\n{}", fmt::join(refusals, "\n")));
}

int check(const Flags& flags) {
  std::size_t faults = 0;
  for (const std::string& path : flags.paths) {
    const std::vector<std::string> found = check_package(path);
    faults += found.size();
    for (const std::string& each : found)
      write_output(fmt::format("{}: {}\n", path, each));
    if (found.empty()) write_output(fmt::format("{}: nothing found\n", path));
  }
  return to_int(faults == 0 ? ExitCode::success : ExitCode::compliance);
}

void require_name(const std::string& system) {
  const bool plain = !system.empty() && !system.starts_with('.') && std::ranges::all_of(system, [](unsigned char c) {
    return c < 128 && (std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-');
  });
  if (!plain)
    throw Error(ExitCode::usage,
                Complaint{"--system", fmt::format("\"{}\" is no name of a folder for MLPerf's tools", system), "",
                          "give letters, digits, '.', '_' and '-', e.g. 64xnodeX"});
}

int package(const Flags& flags) {
  if (flags.checks) return check(flags);
  if (!flags.prints_system) {
    if (flags.folder.empty())
      throw Error(ExitCode::usage, Complaint{"--into", "is missing", "", "name a new folder for the submission"});
    require_name(flags.system);
  }
  std::vector<std::string> refusals;
  Benchmarks all = candidates_in(flags.paths, refusals);
  if (all.empty()) refuse(refusals);
  const Candidate& first = all.begin()->second.front();
  Json system = known_system(first.run, value_of(read_log(first.text), "submission_status"));
  if (!flags.description.empty())
    system = described_system(std::move(system), read_file(flags.description, "system description"), flags.description);
  if (flags.prints_system) {
    write_output(json_text(system, 2) + "\n");
    return 0;
  }
  for (auto& [benchmark, runs] : all)
    require_score(benchmark, runs, refusals);
  require_one_submitter(all, refusals);
  for (const std::string& fault : faults_of_system(system))
    refusals.push_back(fmt::format("system{}; state it with --describe", fault));
  if (!refusals.empty()) refuse(refusals);

  NewFolder folder(flags.folder, unwritten);
  folder.write(fmt::format("systems/{}.json", flags.system), json_text(system, 2) + "\n");
  for (const auto& [benchmark, runs] : all)
    write_benchmark(folder, flags, benchmark, runs);
  folder.finish();
  for (const std::string& each : check_package(flags.folder))
    print_message(fmt::format("trainmark: warning: {}: {}\n", flags.folder, each));
  for (const auto& [benchmark, runs] : all)
    write_output(fmt::format("{}: {} runs{}\n", benchmark, runs.size(),
                             std::ranges::any_of(runs, &Candidate::missed)
                                 ? ", one of which missed the target and counts as the slowest"
                                 : ""));
  write_output(
      fmt::format("{}: read every file before you submit it; code and READMEs are yours to complete\n", flags.folder));
  return 0;
}

}  // namespace

void add_package(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("package", "Make runs' results an MLPerf submission, or check one");
  command->add_option("paths", flags->paths, "Results folders or trees of them; with --check submissions")
      ->required()
      ->type_name("PATH");
  command->add_option("--into", flags->folder, "New folder for the submission")->type_name("FOLDER");
  command->add_option("--system", flags->system, "The system's name in the submission, e.g. 64xnodeX")
      ->type_name("NAME");
  command
      ->add_option("--describe", flags->description,
                   "JSON object with what the results do not tell of the system; --print-system prints one to fill in")
      ->type_name("FILE");
  CLI::Option* prints =
      command->add_flag("--print-system", flags->prints_system, "Print the system's description as far as known");
  command->add_flag("--check", flags->checks, "Look at a submission: layout, names, counts, logs, seeds, description")
      ->excludes(prints);
  command->footer(
      "Takes runs of one system, division and organisation; of each benchmark as many as a score takes, of one "
      "configuration\n"
      "and with different seeds. Refused by name are generated data, logs that are not compliant or not sound, and "
      "several\n"
      "attempts in one log. One run may have missed the target. Convergence against the reference is told by trainmark "
      "report.\n\n"
      "Examples:\n"
      "  trainmark package results/cosmoflow --print-system > system.json\n"
      "  trainmark package results/cosmoflow results/deepcam --into org --system 64xnodeX --describe system.json\n"
      "  trainmark package --check org\n\n"
      "Exit codes: 0; 2 usage or a path that is no log; 4 it cannot be written; 7 it cannot be submitted");
  command->callback([flags, &action] { action = [flags](Process&) { return package(*flags); }; });
}

}  // namespace trainmark::cli
