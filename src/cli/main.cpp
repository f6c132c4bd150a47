// The program's entry: parses the command line, does what it asks for, and turns errors into messages and exit codes.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <thread>

#include "cli/command.hpp"
#include "cli/environment.hpp"
#include "cli/launcher.hpp"
#include "cli/start.hpp"

namespace trainmark::cli {
namespace {

constexpr const char* overview =
    "trainmark stages HDF5 science datasets to the nodes, trains CosmoFlow with MPI, and writes an MLPerf log that it\n"
    "judges itself. Every subcommand has a --help that teaches.";

constexpr const char* footer =
    "Examples:\n"
    "  trainmark data generate data/cosmoflow-tiny\n"
    "  mpirun -n 2 trainmark run configs/cosmoflow/tiny.json\n"
    "  trainmark check results/tiny/*/mlperf.log\n\n"
    "Exit codes:\n"
    "  0    target met, or the fixed work was done       6    the run completed, the target was not reached\n"
    "  2    usage or config                              7    the log is not compliant\n"
    "  3    dataset or staging                           75   checkpointed, please requeue (reserved)\n"
    "  4    environment or launch mismatch               124  watchdog: a phase made no progress\n"
    "  5    communication or device                      128+n  ended by signal n";

/// Many ranks may have the same typo: rank 0 speaks; others only if they outlive it, since then they were alone.
void wait_for_first_rank() {
  if (launcher_rank() != 0) std::this_thread::sleep_for(std::chrono::seconds(2));
}

std::string problem_with(const CLI::App& chosen, const CLI::ParseError& error) {
  const auto subcommands = chosen.get_subcommands([](const CLI::App*) { return true; });
  const std::vector<std::string> rest = chosen.remaining();
  const auto word = std::find_if(rest.begin(), rest.end(), [](const auto& each) { return !each.starts_with('-'); });
  if (subcommands.empty() || word == rest.end()) {
    const bool extra = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;  // which has them in reverse
    return extra ? fmt::format("not expected: {}", fmt::join(rest, " ")) : error.what();
  }
  std::string known;
  for (const CLI::App* each : subcommands)
    known += (known.empty() ? "" : ", ") + each->get_name();
  return fmt::format("\"{}\" is no subcommand (known: {})", *word, known);
}

int refuse(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* chosen = &app;
  std::string path = "trainmark";
  while (!chosen->get_subcommands().empty()) {
    chosen = chosen->get_subcommands().front();
    path += " " + chosen->get_name();
  }
  wait_for_first_rank();
  const Complaint complaint{"", problem_with(*chosen, error), "", path + " --help tells what is allowed"};
  print_failure({ExitCode::usage, to_string(complaint), complaint});
  return to_int(ExitCode::usage);
}

int main_of(int argc, char** argv) {
  CLI::App app(overview, "trainmark");
  Action action;
  app.require_subcommand(1);
  app.footer(footer);
  app.set_version_flag(
      "--version", [] { return version_text(); }, "Show version, build features and libraries");
  for (const auto add : {add_run, add_stage, add_validate, add_plan, add_ablate, add_probe, add_screen, add_sbatch,
                         add_sweep, add_data, add_check, add_package, add_report, add_schema, add_env, add_completion})
    add(app, action);
  // Before --help is seen: asked of a command that is not there, it must not pass for success.
  const std::string first = argc > 1 ? argv[1] : "";
  const auto all = app.get_subcommands([](const CLI::App*) { return true; });
  const bool known = std::ranges::any_of(all, [&first](const CLI::App* each) { return each->get_name() == first; });
  if (!first.empty() && !first.starts_with('-') && !known) {
    std::string names;
    for (const CLI::App* each : all)
      names += (names.empty() ? "" : ", ") + each->get_name();
    if (launcher_rank() == 0)
      print_error(fmt::format("\"{}\" is no subcommand (known: {}); trainmark --help tells about them", first, names));
    return to_int(ExitCode::usage);
  }
  if (first == "run" && std::any_of(argv, argv + argc, [](std::string_view each) { return each == "--json"; }))
    tell_failures_as_json();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {  // --help, --version
    std::ostringstream text;
    const int code = app.exit(request, text, text);
    if (launcher_rank() == 0) write_output(text.str());
    return code;
  } catch (const CLI::ParseError& error) {
    return refuse(app, error);
  }
  Process process{argc, argv};
  try {
    return action(process);
  } catch (...) {
    const Failure failure = failure_at_hand();
    print_failure(failure);
    return to_int(failure.code);
  }
}

}  // namespace
}  // namespace trainmark::cli

int main(int argc, char** argv) {
  trainmark::cli::begin();
  trainmark::cli::protect_streams();
  trainmark::raise_open_file_limit();
  return trainmark::cli::code_with_output_written(trainmark::cli::main_of(argc, argv));
}
