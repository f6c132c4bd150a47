#include "cli/launcher.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <vector>

#include "cli/environment.hpp"
#include "trainmark/core.hpp"

namespace trainmark::cli {
namespace {

/// Variables that a launcher gives each process; nullptr where it has none.
struct Launcher {
  const char* name;
  const char* rank;
  const char* size;
  const char* job;
  const char* library;  ///< what its own MPI calls itself (MPI_Get_library_version)
  bool of_a_node = false;  ///< `size` counts one node's processes only
};
// mpirun before what it may run in: below `sbatch` and `srun`, SLURM_PROCID and SLURM_STEP_NUM_TASKS are its daemons'.
// Not SLURM_NTASKS, which a batch script has without srun.
constexpr std::array launchers = {
    Launcher{"Open MPI's mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", nullptr, "Open MPI"},
    Launcher{"MVAPICH's mpirun", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", nullptr, "MVAPICH"},
    Launcher{"MPICH's mpirun, or srun --mpi=pmi2,", "PMI_RANK", "PMI_SIZE", nullptr, "MPICH"},
    Launcher{"Intel MPI's mpirun", "PMI_RANK", "PMI_SIZE", nullptr, "Intel"},
    Launcher{"Cray's PALS", "PALS_RANKID", "PALS_SIZE", nullptr, "MPICH"},
    Launcher{"jsrun", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", nullptr, "Spectrum"},
    Launcher{"Flux", "FLUX_TASK_RANK", "FLUX_JOB_SIZE", "FLUX_JOB_ID", nullptr},
    Launcher{"PMIx", "PMIX_RANK", "PMIX_SIZE", nullptr, nullptr},
    Launcher{"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_JOB_ID", nullptr},
    Launcher{"PBS", nullptr, nullptr, "PBS_JOBID", nullptr},
    Launcher{"LSF", nullptr, nullptr, "LSB_JOBID", nullptr},
    // Enough for a process that MPI left alone to know that there are others.
    Launcher{"Hydra", nullptr, "MPI_LOCALNRANKS", nullptr, nullptr, true},
    Launcher{"Cray's PALS", nullptr, "PALS_LOCAL_SIZE", nullptr, nullptr, true},
};

std::optional<int> number(const char* variable) {
  if (variable == nullptr) return std::nullopt;
  const auto text = environment_variable(variable);
  if (!text) return std::nullopt;
  int value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return value;
}

struct Told {
  const Launcher* launcher;
  int size;
};

std::string complaint(const Told& told, int ranks, std::string_view mpi) {
  const std::string launcher = told.launcher->name;
  return to_string(Complaint{
      "launch",
      fmt::format("{} started {} processes ({}={}), but MPI ({}) found {} in this one's world", launcher, told.size,
                  told.launcher->size, told.size, mpi, ranks),
      ranks == 1 ? "each would do the whole work alone, and all would succeed" : "ranks would be missing",
      fmt::format("start it so that MPI finds all of them: {}; where every process is meant to work alone (to screen "
                  "nodes), give --alone",
                  launcher == "srun"
                      ? "srun --mpi=pmix (srun --mpi=list tells what there is), or mpirun in the batch script"
                      : "with the mpirun of the MPI that trainmark was built with (trainmark env names it), "
                        "or srun --mpi=pmix (srun --mpi=list tells what there is)")});
}

}  // namespace

std::string job_id() {
  std::string id;
  for (const Launcher& launcher : launchers) {
    if (launcher.job != nullptr && id.empty()) id = environment_variable(launcher.job).value_or("");
  }
  if (id.empty()) return {};
  const auto array = environment_variable("SLURM_ARRAY_JOB_ID"), task = environment_variable("SLURM_ARRAY_TASK_ID");
  if (array && task) id = fmt::format("{}_{}", *array, *task);
  if (const auto restarts = number("SLURM_RESTART_COUNT"); restarts.value_or(0) > 0)
    id += fmt::format("-r{}", *restarts);
  for (char& c : id) {
    const bool plain =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-';
    if (!plain) c = '_';  // array jobs of PBS: 12[3].server
  }
  return id;
}

int launcher_rank() {
  for (const Launcher& launcher : launchers) {
    if (const auto rank = number(launcher.rank)) return *rank;
  }
  return 0;
}

Launch::Launch() : rank_(launcher_rank()), heterogeneous_(environment_variable("SLURM_HET_SIZE").has_value()) {
  for (const Launcher& launcher : launchers)
    sizes_.push_back(number(launcher.size));
}

std::string Launch::mismatch(int ranks, std::string_view mpi) const {
  std::vector<Told> told;
  for (std::size_t at = 0; at < launchers.size(); ++at) {
    const bool counts = ranks == 1 || !launchers[at].of_a_node;
    if (counts && sizes_[at].value_or(0) > 0) told.push_back({&launchers[at], *sizes_[at]});
  }
  // MPI has found company, and so its launcher. Of others' variables some may be left over from an outer job, and a
  // step of a heterogeneous job counts its own part only.
  if (ranks > 1 && (told.empty() || heterogeneous_ ||
                    std::ranges::any_of(told, [ranks](const Told& each) { return each.size == ranks; })))
    return {};
  const auto own = std::ranges::find_if(told, [mpi](const Told& each) {
    return each.launcher->library != nullptr && mpi.find(each.launcher->library) != mpi.npos;
  });
  if (own != told.end()) return own->size == ranks ? "" : complaint(*own, ranks, mpi);
  if (ranks > 1) return complaint(told.front(), ranks, mpi);
  const auto more = std::ranges::find_if(told, [](const Told& each) { return each.size > 1; });
  return more == told.end() ? "" : complaint(*more, ranks, mpi);
}

}  // namespace trainmark::cli
