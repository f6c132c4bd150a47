#include "cli/numbers.hpp"

#include <fmt/core.h>

#include <charconv>
#include <limits>

#include "trainmark/core.hpp"

namespace trainmark::cli {

CLI::Option* add_number(CLI::App& command, const char* name, double& value, const char* doc, double least,
                        double most) {
  return command.add_option(name, value, doc)->check([least, most](const std::string& text) {
    double number = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool read = error == std::errc() && end == text.data() + text.size();
    return read && number >= least && number <= most
               ? std::string()
               : fmt::format("\"{}\" is no number from {} to {}", text, least, most);
  });
}

int ranks_on(int nodes, int ranks_per_node) {
  const std::int64_t ranks = std::int64_t{nodes} * ranks_per_node;
  if (ranks <= std::numeric_limits<int>::max()) return static_cast<int>(ranks);
  throw Error(ExitCode::usage,
              Complaint{"--nodes",
                        fmt::format("{} of {} ranks are more ranks than MPI numbers", nodes, ranks_per_node),
                        {},
                        "choose fewer nodes or --ranks-per-node"});
}

}  // namespace trainmark::cli
