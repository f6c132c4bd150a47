// trainmark validate: everything that can be said of a config without training it.
#include <fmt/core.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/config_file.hpp"
#include "cli/prediction.hpp"
#include "mllog/utf8.hpp"
#include "run/launch/warm_up.hpp"

namespace trainmark::cli {
namespace {

struct Flags {
  ConfigSource config;
  int ranks = 0, nodes = 1;
  bool json = false, quiet = false, print = false;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);)
    lines.push_back(line);
  return lines;
}

/// Counts of the dataset where it is there; else of the config, if it names them.
DatasetFacts facts_of(const RunOptions& options, std::string& note) {
  DatasetFacts facts{options.data.train_samples, options.data.validation_samples, options.submission.generated_data};
  std::error_code ignored;  // what may not be looked at is not here
  const auto here = [&](const std::string& folder) { return std::filesystem::exists(folder, ignored); };
  if (here(options.data.train) && here(options.data.validation)) {
    const DataSchema schema = schema_of(options.recipe.model);
    const auto samples_of = [&](const std::string& folder) {
      const ManifestUse use = {.ignored = options.data.manifest == ManifestBeside::ignored, .hashes_compared = false};
      const Manifest manifest = scan_dataset(folder, options.data.format, schema, {}, use);
      if (options.stage.strategy != Strategy::none) require_self_contained(folder, manifest, "staging copies");
      return manifest.samples();
    };
    facts.train_samples = samples_of(options.data.train);
    facts.validation_samples = samples_of(options.data.validation);
    note = fmt::format("{} training and {} validation samples found", facts.train_samples, facts.validation_samples);
  } else {
    note = "the dataset is not here, so only the config's own counts were checked";
  }
  return facts;
}

int validate(const Flags& flags) {
  std::vector<std::string> complaints, warnings;
  std::string note = "the data were not looked at (--ranks N does)";
  ExitCode code = ExitCode::success;
  RunOptions options;
  try {
    options = load_config(flags.config);
    (void)emulated_times(options, std::max(1, flags.ranks));
    std::int64_t train_samples = 0;
    if (flags.ranks > 0) {
      if (flags.nodes > flags.ranks)
        complaints.push_back(
            fmt::format("--nodes: {} nodes for {} ranks (each node runs one at least); name at most {}", flags.nodes,
                        flags.ranks, flags.ranks));
      const DatasetFacts facts = facts_of(options, note);
      train_samples = facts.train_samples;
      const bool known = facts.train_samples > 0 && facts.validation_samples > 0;
      if (known && complaints.empty()) complaints = check_options(options, flags.ranks, flags.nodes, facts);
      if (!known && !options.train.divides(flags.ranks))
        complaints.push_back("/train/global_batch: " + indivisible(options.train, flags.ranks));
    }
    if (!complaints.empty()) code = ExitCode::usage;
    if (std::string warning = unfinished_warm_up(options, train_samples); !warning.empty())
      warnings.push_back(std::move(warning));
  } catch (const Error& error) {
    complaints = lines_of(error.what());
    code = error.code();
  }
  if (flags.json) {
    const nlohmann::ordered_json report = {{"config", flags.config.path},
                                           {"valid", complaints.empty()},
                                           {"complaints", complaints},
                                           {"warnings", warnings},
                                           {"note", note}};
    write_output(json_text(report, 2) + "\n");
  } else if (!complaints.empty()) {
    std::string message;
    for (const std::string& complaint : complaints)
      message += (message.empty() ? "" : "\n") + complaint;
    print_error(message);
    if (complaints.size() > 1) print_message(fmt::format("{}: {} complaints\n", flags.config.path, complaints.size()));
  } else if (flags.print) {
    write_output(to_json(options) + "\n");
  } else if (!flags.quiet) {
    write_output(fmt::format("{}: valid{}{}\n", flags.config.path, note.empty() ? "" : "; ", note));
  }
  if (!flags.json && !flags.quiet)
    for (const std::string& warning : warnings)
      print_message(fmt::format("trainmark: warning: {}\n", warning));
  return to_int(code);
}

}  // namespace

void add_validate(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("validate", "Check a config without running it");
  add_config_options(*command, flags->config);
  command
      ->add_option("--ranks", flags->ranks, "Check against a launch of so many ranks, and the dataset if it is there")
      ->check(CLI::PositiveNumber);
  command->add_option("--nodes", flags->nodes, "Nodes of that launch")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--print", flags->print, "Print the resolved config: every key, variables expanded");
  command->add_flag("--quiet", flags->quiet, "Say nothing of a valid config");
  command->add_flag("--json", flags->json, "Print JSON");
  command->footer(
      "All complaints come at once, each with its line, the key as a JSON pointer, what is allowed and the nearest "
      "key.\n\n"
      "Examples:\n  trainmark validate configs/cosmoflow/tiny.json\n"
      "  trainmark validate my.json --ranks 64 --nodes 16\n  trainmark validate my.json --set model.width=0.5 "
      "--print\n\n"
      "Exit codes: 0 valid; 2 complaints, or the file cannot be read; 3 the dataset is there but wrong");
  command->callback([flags, &action] { action = [flags](Process&) { return validate(*flags); }; });
}

}  // namespace trainmark::cli
