#include "cli/config_file.hpp"

#include <fmt/core.h>

#include "cli/environment.hpp"

namespace trainmark::cli {
namespace {

/// Launchers do not carry every variable to every node, and a default then points elsewhere without a word. The target
/// of staging and the results may well have another name on each node; the data are the same for all.
void require_same_data(const Group& all, const DataOptions& data) {
  using Path = std::pair<const char*, const std::string*>;
  for (const auto& [pointer, mine] : {Path{"/data/train", &data.train}, Path{"/data/validation", &data.validation}}) {
    const std::vector<std::string> paths = all.all_gather(*mine);
    for (std::size_t rank = 1; rank < paths.size(); ++rank) {
      if (paths[rank] == paths.front()) continue;
      throw Error(
          ExitCode::environment,
          Complaint{pointer, fmt::format("is \"{}\" on rank {}, \"{}\" on rank 0", paths[rank], rank, paths.front()),
                    "ranks that disagree would train on different data",
                    "give every rank the same environment (Open MPI: mpirun -x NAME)"});
    }
  }
}

}  // namespace

void add_config_options(CLI::App& command, ConfigSource& source) {
  command.add_option("config", source.path, "The run's JSON document (see docs/config.md)")
      ->required()
      ->type_name("CONFIG");
  command
      .add_option("--set", source.overrides,
                  "Override one key: section.key=value, JSON or plain text; may be given several times")
      ->type_name("KEY=VALUE")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
}

RunOptions load_config(const ConfigSource& source) {
  return parse_config(read_file(source.path, "config"), source.path, source.overrides, environment_variable);
}

RunOptions load_config(const World& world, const ConfigSource& source) {
  const Group& all = world.all();
  // Rank 0's judgement is everybody's: a typo is one message, not one a rank.
  Status status;
  std::string text;
  if (all.rank() == 0) {
    try {
      text = read_file(source.path, "config");
      static_cast<void>(parse_config(text, source.path, source.overrides, environment_variable));
    } catch (const Error& error) {
      status = {error.code(), error.what()};
    }
  }
  const std::string complaint = all.broadcast(status.message);
  if (!complaint.empty()) throw Error(ExitCode::usage, complaint);
  text = all.broadcast(text);
  RunOptions options;  // a variable may be unset on one node only
  agree_on(all, [&] { options = parse_config(text, source.path, source.overrides, environment_variable); });
  require_same_data(all, options.data);
  return options;
}

}  // namespace trainmark::cli
