// The one table of those who start processes, and the one of those who run jobs: what either tells by which variable.
// Sources: the manuals of mpirun(1), srun(1), sbatch(1), jsrun(1), flux-run(1), Hydra's and PALS' environment
// variables.
#pragma once

#include <array>

namespace trainmark::cli {

/// Variables that a launcher gives each process; nullptr where it has none.
struct Launcher {
  const char* name;
  const char* rank;
  const char* size;
  const char* local;              ///< rank within the node
  const char* cpus;               ///< that the process is to have
  const char* cure;               ///< of ranks that got too few CPUs
  const char* library = nullptr;  ///< what its own MPI calls itself (MPI_Get_library_version)
  bool of_a_node = false;         ///< `size` counts one node's processes only
};
inline constexpr const char* cure_of_srun =
    "srun: give --cpus-per-task to srun too (export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK)";
// mpirun before what it may run in: below `sbatch` and `srun`, SLURM_PROCID and SLURM_STEP_NUM_TASKS are its daemons'.
// Not SLURM_NTASKS, which a batch script has without srun.
inline constexpr std::array launchers = {
    Launcher{"Open MPI's mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", nullptr,
             "Open MPI's mpirun: --bind-to none or --map-by slot:PE=N", "Open MPI"},
    Launcher{"MVAPICH's mpirun", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", nullptr,
             "MVAPICH: export MV2_ENABLE_AFFINITY=0", "MVAPICH"},
    Launcher{"MPICH's mpirun or srun --mpi=pmi2", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", nullptr,
             "mpiexec: -bind-to none; srun: export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK", "MPICH"},
    Launcher{"Intel MPI's mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", nullptr,
             "Intel MPI: export I_MPI_PIN_DOMAIN=auto", "Intel"},
    Launcher{"Cray's PALS", "PALS_RANKID", "PALS_SIZE", "PALS_LOCAL_RANKID", "PALS_DEPTH",
             "mpiexec of PALS: --depth N --cpu-bind depth", "MPICH"},
    Launcher{"jsrun", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_LOCAL_RANK", nullptr,
             "jsrun: --cpu_per_rs N --bind packed:N", "Spectrum"},
    Launcher{"Flux", "FLUX_TASK_RANK", "FLUX_JOB_SIZE", "FLUX_TASK_LOCAL_ID", nullptr,
             "flux run: --cores-per-task=N -o cpu-affinity=per-task"},
    Launcher{"PMIx (srun --mpi=pmix or prun)", "PMIX_RANK", "PMIX_SIZE", nullptr, "SLURM_CPUS_PER_TASK", cure_of_srun},
    Launcher{"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_CPUS_PER_TASK", cure_of_srun},
    // Enough for a process that MPI left alone to know that there are others.
    Launcher{"Hydra", nullptr, "MPI_LOCALNRANKS", nullptr, nullptr, nullptr, nullptr, true},
    Launcher{"Cray's PALS", nullptr, "PALS_LOCAL_SIZE", nullptr, nullptr, nullptr, nullptr, true},
};

/// Variables that a batch system gives each job.
struct BatchSystem {
  const char* name;
  const char* job;
  const char* array;     ///< the job that all tasks of an array have in common
  const char* task;      ///< its number in the array
  int first_task;        ///< the least number that says that there is an array
  const char* restarts;  ///< how often the job was started before
  const char* nodes;
  const char* ends_at;  ///< seconds since 1970
};
// Those that run within another system's job first. PBS has the number of an array's task in its job's id.
inline constexpr std::array batch_systems = {
    BatchSystem{"Flux", "FLUX_JOB_ID", nullptr, nullptr, 0, nullptr, nullptr, nullptr},
    BatchSystem{"Slurm", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", 0, "SLURM_RESTART_COUNT",
                "SLURM_JOB_NODELIST", "SLURM_JOB_END_TIME"},
    BatchSystem{"PBS", "PBS_JOBID", nullptr, nullptr, 0, nullptr, nullptr, nullptr},
    BatchSystem{"LSF", "LSB_JOBID", "LSB_JOBID", "LSB_JOBINDEX", 1, nullptr, "LSB_MCPU_HOSTS", nullptr},
};

}  // namespace trainmark::cli
