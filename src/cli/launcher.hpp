// What launchers tell the processes that they start, and whether MPI came to the same.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trainmark::cli {

/// The batch system's name of this job, fit for a folder's name; a task of an array and a restart have names of their
/// own. Empty outside of a job.
[[nodiscard]] std::string job_id();
/// This process's rank as the launcher tells it before MPI is up; 0 where it does not.
[[nodiscard]] int launcher_rank();
/// What launchers have told this process. To be made before MPI starts, which sets some of these variables itself.
class Launch {
 public:
  Launch();
  [[nodiscard]] int rank() const noexcept { return rank_; }
  /// The complaint where a launcher started another number of processes than the `ranks` that MPI found; else empty.
  /// `mpi` is MPI's own version text: its own launcher is believed before others, whose variables may be left over.
  [[nodiscard]] std::string mismatch(int ranks, std::string_view mpi) const;

 private:
  int rank_;
  std::vector<std::optional<int>> sizes_;  ///< by line of the table of launchers
  bool heterogeneous_;                     ///< Slurm: a step of several parts, each with a count of its own
};

}  // namespace trainmark::cli
