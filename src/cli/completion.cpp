// trainmark completion: scripts for bash and zsh, made from the tree of subcommands and options itself.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <map>
#include <memory>

#include "cli/command.hpp"

namespace trainmark::cli {
namespace {

using Words = std::map<std::string, std::vector<std::string>>;  // "data generate" -> what may follow

void collect(const CLI::App& app, const std::string& path, Words& words) {
  std::vector<std::string>& mine = words[path];
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    mine.push_back(sub->get_name());
    collect(*sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), words);
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames())
      mine.push_back("--" + name);
  }
}

/// Both shells run this: `path` is the chain of subcommands typed so far. Files are offered where no option is begun.
constexpr std::string_view bash_script = R"(# Completion of trainmark for bash: source this file, or put it into
# ~/.local/share/bash-completion/completions/trainmark
_trainmark() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} path="" words word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${{COMP_WORDS[i]}}
    case "$path|$word" in
{}    esac
  done
  case "$path" in
{}  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [[ $current != -* && -n $path ]]; then
    COMPREPLY+=($(compgen -f -- "$current"))
  fi
}}
complete -o filenames -F _trainmark trainmark
)";

std::string script(const CLI::App& app) {
  Words words;
  collect(app, "", words);
  std::string steps, choices;
  for (const auto& [path, list] : words) {
    if (!path.empty()) {
      const std::size_t cut = path.rfind(' ');
      const std::string parent = cut == std::string::npos ? "" : path.substr(0, cut);
      steps += fmt::format("      \"{}|{}\") path=\"{}\" ;;\n", parent, path.substr(cut + 1), path);
    }
    choices += fmt::format("    \"{}\") words=\"{}\" ;;\n", path, fmt::join(list, " "));
  }
  return fmt::format(bash_script, steps, choices);
}

}  // namespace

void add_completion(CLI::App& app, Action& action) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "Print a completion script for a shell");
  command->add_option("shell", *shell, "bash or zsh")
      ->required()
      ->type_name("SHELL")
      ->check(CLI::IsMember({"bash", "zsh"}));
  command->footer(
      "Examples:\n  source <(trainmark completion bash)\n"
      "  trainmark completion zsh > ~/.trainmark.zsh; echo 'source ~/.trainmark.zsh' >> ~/.zshrc\n\nExit codes: 0; 2 "
      "usage");
  command->callback([shell, &app, &action] {
    action = [shell, &app](Process&) {
      if (*shell == "zsh") write_output("autoload -Uz compinit bashcompinit && compinit && bashcompinit\n");
      write_output(script(app));
      return 0;
    };
  });
}

}  // namespace trainmark::cli
