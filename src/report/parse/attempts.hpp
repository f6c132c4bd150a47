// A file's records, told apart by the run that they are of.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainmark/mllog.hpp"

namespace trainmark::report {

/// One attempt at a run: what the report sums up.
struct Attempt {
  std::vector<LogRecord> records;     ///< in the file's order
  std::vector<LogRecord> inherited;   ///< of the file's header, where the attempt has none of its own
  std::vector<LogFlaw> flaws;         ///< of its lines
  std::string part;                   ///< "attempt 2 of 3", "instance 7"; empty where the file is one run's
  int number = 1, count = 1;          ///< of attempts one after the other
  int first_line = 0, next_line = 0;  ///< from where to before where they stand; 0: to the file's end
  bool of_many = false;               ///< runs beside others, or names itself an instance
  std::vector<std::string> notes;
};

/// Attempts with a run_start, in the file's order; one that ended before it is told of in a note of the others. Raises
/// Error{usage} where no record starts a run, and where runs are mixed and nothing tells whose record is whose.
[[nodiscard]] std::vector<Attempt> attempts_of(const LogText& log, const std::filesystem::path& path);

}  // namespace trainmark::report
