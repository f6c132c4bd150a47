// What one run left behind, read but not yet judged: its log's records and the files beside it.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "trainmark/mllog.hpp"

namespace trainmark::report {

/// A row of epochs.csv by column name; what is no number is left out.
using Row = std::map<std::string, double>;

struct RunFiles {
  std::string path;
  std::vector<LogRecord> records;
  std::map<std::string, double> figures;          ///< of run.json
  std::vector<std::string> labels;                ///< of run.json
  std::string status;                             ///< of run.json
  std::vector<Row> epochs;                        ///< of epochs.csv
  std::optional<double> staged_bytes, staging_s;  ///< of staging.json
  std::vector<std::string> notes;                 ///< files that are there but cannot be used
};

/// Raises Error{usage} for a log that cannot be read or has no record. Files beside it may be missing or broken.
[[nodiscard]] RunFiles read_run_files(const std::filesystem::path& log);

/// The first value of `key` as a number or a text; none where it is missing or of another type.
[[nodiscard]] std::optional<double> number_of(const std::vector<LogRecord>& records, std::string_view key);
[[nodiscard]] std::string text_of(const std::vector<LogRecord>& records, std::string_view key);
[[nodiscard]] std::optional<double> number_of(const EventValue& value);
[[nodiscard]] std::optional<double> number_of(const Metadata& metadata, std::string_view key);

}  // namespace trainmark::report
