// What launchers tell the processes that they start, and whether MPI came to the same.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trainmark::cli {

struct Launcher;

/// The line of the table whose rank this process has; nullptr: nobody's.
[[nodiscard]] const Launcher* launcher_of_this_process();
/// This process's rank as the launcher tells it before MPI is up; 0 where it does not.
[[nodiscard]] int launcher_rank();
/// Has Open MPI 4 take this process for one that was started by itself, as its users say it is. Else it looks for the
/// other tasks of srun's step, and where there is no PMIx to find them by, MPI_Init ends the process. To be called
/// before MPI starts, and after Launch was made.
void forget_step();
/// What launchers have told this process. To be made before MPI starts, which sets some of these variables itself.
class Launch {
 public:
  Launch();
  [[nodiscard]] int rank() const noexcept { return rank_; }
  /// The complaint where a launcher started another number of processes than the `ranks` that MPI found; else empty.
  /// `mpi` is MPI's own version text: its own launcher is believed before others, whose variables may be left over.
  [[nodiscard]] std::string mismatch(int ranks, std::string_view mpi) const;
  /// What to tell of counts that were passed over because this process is no task of that step; empty: there are none.
  [[nodiscard]] std::string passed_over(int ranks) const;
  /// Whether srun is known to have started this process, or one that it descends from: then rank 0 is another one.
  [[nodiscard]] bool is_task() const noexcept { return is_task_; }

 private:
  [[nodiscard]] bool is_left_over(std::size_t line) const;

  int rank_;
  std::vector<std::optional<int>> sizes_;  ///< by line of the table of launchers
  std::vector<std::optional<int>> ranks_;  ///< likewise
  bool heterogeneous_;                     ///< Slurm: a step of several parts, each with a count of its own
  bool is_task_;
  std::string no_task_because_;  ///< why Slurm's counts are left over from elsewhere; empty: they may be this process's
};

}  // namespace trainmark::cli
