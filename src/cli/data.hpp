// The subcommands of `data` that look at what is there, and what they share with the one that generates.
#pragma once

#include <string>

#include "cli/command.hpp"

namespace trainmark::cli {

/// One renewed line on a terminal, a line each tenth elsewhere.
class Percentage {
 public:
  explicit Percentage(std::string doing);
  void show(double fraction);

 private:
  std::string doing_;
  bool terminal_;
  int next_ = 0;
};

void add_import(CLI::App& data, Action& action);
void add_inspect(CLI::App& data, Action& action);
void add_verify(CLI::App& data, Action& action);
void add_stats(CLI::App& data, Action& action);

}  // namespace trainmark::cli
