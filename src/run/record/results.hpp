// The results folder: what a run leaves behind besides its log. Rank 0 makes it; the other ranks know its name.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "run/launch/dataset.hpp"
#include "run/launch/placement.hpp"
#include "run/record/files.hpp"
#include "trainmark/run.hpp"

namespace trainmark {

/// A count stays a whole number on its way to run.json: a double would round it above 2^53.
using Figure = std::variant<std::int64_t, double>;

/// Everything run.json holds. Units are in the names; a figure that a run has no value for stays out.
struct RunRecord {
  ExitCode code = ExitCode::success;
  Ending status = Ending::running;
  std::string message;  ///< of the error that ended the run, or what a run that went on must be known for
  std::map<std::string, Figure> figures;
  std::map<std::string, std::string> texts;
  std::vector<std::string> labels;
};

/// A message with the rank that it comes from, and its host.
[[nodiscard]] std::string of_rank(const World& world, std::string_view message);

/// What a rank that failed alone has left in a run's folder.
[[nodiscard]] std::optional<RunRecord> word_of_a_failed_rank(const std::filesystem::path& folder);

class Results {
 public:
  /// Collective. <folder>/<name>/<job or UTC time>[-n]; never an existing one.
  Results(const World& world, const RunOptions& options, const RunContext& context);

  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  [[nodiscard]] std::filesystem::path log() const;  ///< empty but on rank 0
  [[nodiscard]] bool writes() const noexcept { return writes_; }

  void environment(const std::string& json, const std::vector<std::string>& placements, const std::string& backend);
  void staging(const StagedDataset& dataset, const StageOptions& options, bool inside_clock);
  void ranks(const std::vector<std::string>& rows);  ///< ranks.csv: one row a rank, as made by Recorder
  void nodes(const std::string& rows);               ///< nodes.csv: one row a node of the step
  CsvFile& epochs() noexcept { return epochs_; }
  CsvFile& steps() noexcept { return steps_; }
  void
  close_tables();  ///< collective: epochs.csv and steps.csv are complete. Raises Error{environment}: rows were lost
  /// Writes run.json; the first call with a status other than "running" wins (a signal may come between).
  void conclude(const RunRecord& record, bool hurry = false);
  /// A rank other than 0 that fails alone leaves its word here before it ends the job; whoever ends rank 0 then finds
  /// it.
  void leave_word(const World& world, const RunRecord& record) const;
  /// Until rank 0 has concluded by it, 3 s at most: MPICH's mpiexec and Slurm kill it the moment that another aborts.
  void wait_for_rank_0() const;
  [[nodiscard]] std::optional<RunRecord> word_of_a_failed_rank() const;

 private:
  const World& world_;
  std::filesystem::path folder_;
  std::string name_, workload_, job_, command_line_;
  JobFacts launch_;
  bool writes_ = false;
  bool concluded_ = false;
  RunRecord known_;  // as written last
  std::timed_mutex mutex_;
  CsvFile epochs_, steps_;
};

/// "2026-05-17T08-30-12Z"
[[nodiscard]] std::string utc_stamp();
[[nodiscard]] std::string to_json_text(const Placement& placement);

}  // namespace trainmark
