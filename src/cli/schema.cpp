// trainmark schema: the config's JSON Schema, or its manual page.
#include <memory>

#include "cli/command.hpp"
#include "trainmark/config.hpp"

namespace trainmark::cli {

void add_schema(CLI::App& app, Action& action) {
  auto markdown = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("schema", "Print the config's JSON Schema");
  command->add_flag("--markdown", *markdown, "Print the reference page docs/config.md instead");
  command->footer(
      "The schema (draft 2020-12) comes from the description that the parser uses. Editors complete and check configs "
      "with\n"
      "it: write it to a file and name that file in a top-level \"$schema\" key.\n\n"
      "Examples:\n  trainmark schema > trainmark.schema.json\n  trainmark schema --markdown > docs/config.md\n\nExit "
      "codes: 0");
  command->callback([markdown, &action] {
    action = [markdown](Process&) {
      write_output(*markdown ? config_reference() : config_schema());
      return 0;
    };
  });
}

}  // namespace trainmark::cli
