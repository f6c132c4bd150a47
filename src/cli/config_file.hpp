// A config as commands get it: a file's name and overrides, read by one rank or by all together.
#pragma once

#include <string>
#include <vector>

#include "cli/command.hpp"
#include "trainmark/config.hpp"

namespace trainmark::cli {

struct ConfigSource {
  std::string path;
  std::vector<std::string> overrides;
};
/// Adds the positional CONFIG and --set.
void add_config_options(CLI::App& command, ConfigSource& source);

[[nodiscard]] RunOptions load_config(const ConfigSource& source);
/// Collective: rank 0 reads the file for all, and what is wrong with it is said once.
[[nodiscard]] RunOptions load_config(const World& world, const ConfigSource& source);

}  // namespace trainmark::cli
