// What one run left behind, read but not yet judged: its log's records and the files beside it.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "report/parse/attempts.hpp"
#include "report/parse/ceilings.hpp"
#include "report/parse/ranks.hpp"
#include "trainmark/mllog.hpp"

namespace trainmark::report {

/// A row of epochs.csv by column name; what is no finite number from 0 on is left out.
using Row = std::map<std::string, double>;

/// What lies beside a results folder's log.
struct Companions {
  std::map<std::string, double> figures;           ///< of run.json
  std::map<std::string, std::string> texts;        ///< of run.json
  std::string status, message;                     ///< of run.json; the second: why the run ended so
  std::vector<Row> epochs;                         ///< of epochs.csv
  std::optional<double> staged_bytes, staging_s;   ///< of staging.json
  double reused_bytes = 0.0;                       ///< of staging.json: what was there already
  bool staged_beside = false;                      ///< of staging.json: while the run trained
  std::optional<double> from_source, from_target;  ///< of staging.json: samples that such a run read there
  std::string backend;                             ///< of env.json
  std::optional<double> memory_bytes;              ///< of a node, of env.json
  std::optional<double> node_cpus;                 ///< that the job may use on a node, of env.json; the fewest
  std::optional<Probed> probed;                    ///< of probe.json
  std::vector<RoofNode> nodes;                     ///< of nodes.csv
  RankSpread ranks;                                ///< of ranks.csv
  bool of_ours = false;                            ///< the log is that of a results folder
  std::vector<std::string> notes;                  ///< files that are there but cannot be used
};

/// Files may be missing or broken. None for a log that is not a results folder's: beside anyone's log another run's
/// files may lie.
[[nodiscard]] Companions read_companions(const std::filesystem::path& log);

/// One attempt's log and what lies beside it.
struct RunFiles {
  std::string path;
  Attempt log;
  Companions beside;
  /// The first value of `key` as a number or a text; none where it is missing or of another type.
  [[nodiscard]] std::optional<double> number(std::string_view key) const;
  [[nodiscard]] std::string text(std::string_view key) const;
  /// A number of things of which there is at least one; none where it is missing or cannot be that.
  [[nodiscard]] std::optional<double> count(std::string_view key) const;
};

/// Why run.json and epochs.csv cannot be of the run whose log stands beside them; empty where they may.
[[nodiscard]] std::string of_another_run(const RunFiles& files, const std::vector<EpochReport>& epochs);

[[nodiscard]] std::string text_of(const std::vector<LogRecord>& records, std::string_view key);
[[nodiscard]] std::optional<double> number_of(const EventValue& value);
[[nodiscard]] std::optional<double> number_of(const Metadata& metadata, std::string_view key);
/// A text or number as text, equal for equal numbers: 3, 3.0 and "3" are one name; empty for anything else.
[[nodiscard]] std::string text_in(const Metadata& metadata, std::string_view key);
[[nodiscard]] std::string shown(const EventValue& value);
/// eval_error and eval_accuracy: what the targets are set for.
[[nodiscard]] bool is_metric(const LogRecord& record);

}  // namespace trainmark::report
