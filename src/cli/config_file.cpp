#include "cli/config_file.hpp"

#include "cli/environment.hpp"

namespace trainmark::cli {

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
  return parse_config(read_file(source.path), source.path, source.overrides, environment_variable);
}

RunOptions load_config(const World& world, const ConfigSource& source) {
  const Group& all = world.all();
  // Rank 0's judgement is everybody's: a typo is one message, not one a rank.
  Status status;
  std::string text;
  if (all.rank() == 0) {
    try {
      text = read_file(source.path);
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
  return options;
}

}  // namespace trainmark::cli
