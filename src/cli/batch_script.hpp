// The text of a batch script that starts a run: one for each launcher, all from the same request.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark::cli {

/// Who starts the ranks, and with that whose directives stand at the head of the script.
enum class BatchLauncher : std::uint8_t {
  srun,     ///< of Slurm, with PMIx
  mpirun,   ///< of Open MPI, in a job of Slurm
  mpiexec,  ///< of MPICH or Intel MPI (Hydra), in a job of Slurm
  pals,     ///< Cray's mpiexec, in a job of PBS
  flux
};

struct BatchRequest {
  BatchLauncher launcher = BatchLauncher::srun;
  std::string name;                  ///< of the job
  std::vector<std::string> command;  ///< program and arguments, not yet quoted
  std::string made_by;               ///< the command line that asks for this script
  int nodes = 1, ranks_per_node = 1;
  int cpus_per_rank = 0;      ///< 0: an equal part of the node's, counted when the job starts
  std::string gpus_per_node;  ///< "4" or "a100:4"; empty: none
  bool shared = false;        ///< other jobs may run on the nodes
  std::string time;           ///< as the batch system writes it
  std::string partition, account, array;
  std::int64_t seed = 0;        ///< of an array's task 0; each task adds its number
  std::string task_configs;     ///< of an array: a folder where each task has a config, 0.json ..., and its own seed
  std::string mpi = "pmix";     ///< srun's --mpi
  std::string signal = "USR1";  ///< that ends a run in order before the time is up
  int signal_seconds = 60;      ///< before that; 0: none is asked for
};

[[nodiscard]] std::string batch_script(const BatchRequest& request);

}  // namespace trainmark::cli

template <>
struct trainmark::Words<trainmark::cli::BatchLauncher> {
  static constexpr std::array<std::string_view, 5> all = {"srun", "mpirun", "mpiexec", "pals", "flux"};
};
