// What every subcommand shares: how it is added to the program, what it is given, and how its failures read.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/streams.hpp"
#include "trainmark/core.hpp"

namespace trainmark::cli {

/// The process as it was started.
struct Process {
  int argc = 0;
  char** argv = nullptr;
  [[nodiscard]] std::vector<std::string> arguments() const { return {argv + 1, argv + argc}; }
  [[nodiscard]] std::string command_line() const;  ///< with quotes where a shell wants them
};

/// With quotes where a POSIX shell wants them.
[[nodiscard]] std::string shell_quoted(std::string_view text);

/// What the chosen subcommand does; its result is the process's exit code. Raises Error.
using Action = std::function<int(Process&)>;

// Each adds its subcommand to `app`; choosing it sets `action`.
void add_run(CLI::App& app, Action& action);
void add_stage(CLI::App& app, Action& action);
void add_ablate(CLI::App& app, Action& action);
void add_validate(CLI::App& app, Action& action);
void add_probe(CLI::App& app, Action& action);
void add_screen(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_sbatch(CLI::App& app, Action& action);
void add_sweep(CLI::App& app, Action& action);
void add_data(CLI::App& app, Action& action);
void add_check(CLI::App& app, Action& action);
void add_package(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);
void add_schema(CLI::App& app, Action& action);
void add_env(CLI::App& app, Action& action);
void add_completion(CLI::App& app, Action& action);

/// An option whose values are words of an enum: all of them, or those given.
template <class Enum>
CLI::Option* add_words(CLI::App& command, const char* name, Enum& value, const std::string& doc,
                       std::span<const std::string_view> words = Words<Enum>::all) {
  const auto store = [&value](const std::string& text) { value = from_word<Enum>(text).value(); };
  return command.add_option_function<std::string>(name, store, doc)
      ->check(CLI::IsMember(std::vector<std::string>(words.begin(), words.end())))
      ->default_str(std::string(word(value)));
}

/// The whole text of a config or the like (`wanted`, for messages), pipes included. Raises Error{usage}: missing, a
/// folder or device, not readable, packed or in another encoding, more than a mebibyte: some hundred times the longest.
[[nodiscard]] std::string read_file(const std::string& path, std::string_view wanted);
[[nodiscard]] inline int to_int(ExitCode code) noexcept { return static_cast<int>(code); }

}  // namespace trainmark::cli
