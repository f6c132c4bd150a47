#include "cli/launcher.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <vector>

#include "cli/environment.hpp"
#include "cli/launcher_table.hpp"
#include "trainmark/core.hpp"

namespace trainmark::cli {
namespace {

std::optional<int> number(const char* variable) {
  const auto value = variable == nullptr ? std::nullopt : environment_number(variable);
  if (!value || *value < std::numeric_limits<int>::min() || *value > std::numeric_limits<int>::max()) return {};
  return static_cast<int>(*value);
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

bool is_srun(const Launcher& launcher) { return std::string_view(launcher.name) == "srun"; }

/// Whether `pid` is this process or one that it descends from; nothing where that cannot be told: in a PID namespace
/// processes may have other numbers than those that Slurm knows.
std::optional<bool> descends_from(int pid) {
  for (int at = getpid(); at > 0;) {
    if (at == pid) return true;
    std::string line;
    std::getline(std::ifstream(fmt::format("/proc/{}/stat", at)), line);
    const std::size_t name_end = line.rfind(')');  // "pid (name) state parent ..."; a name may hold anything
    if (name_end == std::string::npos) return std::nullopt;
    char state = 0;
    int parent = 0;
    if (!(std::istringstream(line.substr(name_end + 1)) >> state >> parent)) return std::nullopt;
    at = parent;
  }
  std::error_code status;
  constexpr std::string_view of_the_node = "pid:[4026531836]";  // PROC_PID_INIT_INO, linux/proc_ns.h
  if (std::filesystem::read_symlink("/proc/self/ns/pid", status).string() != of_the_node) return std::nullopt;
  return false;
}

/// Why this process is no task of the step that Slurm's variables tell of, though it has them.
std::string no_task_because(std::optional<int> task, bool heterogeneous) {
  const auto rank = number("SLURM_PROCID"), tasks = number("SLURM_STEP_NUM_TASKS"), local = number("SLURM_LOCALID");
  if (!tasks) return {};
  const std::string step = environment_variable("SLURM_STEP_ID").value_or("");
  if (step == "4294967290" || step == "4294967291")
    return "its step is the interactive or the batch one, of one process";
  // The parts of a heterogeneous step number their tasks on, while each counts its own.
  if (heterogeneous) return {};
  if (rank && (*rank < 0 || *rank >= *tasks)) return fmt::format("SLURM_PROCID={} is none of them", *rank);
  if (rank && local && *local > *rank)
    return fmt::format("SLURM_LOCALID={} contradicts SLURM_PROCID={}", *local, *rank);
  if (task && descends_from(*task) == false) return fmt::format("it does not descend from SLURM_TASK_PID={}", *task);
  if (isatty(STDIN_FILENO) == 1 && task != getpid()) return "it was started from a shell (stdin is a terminal)";
  return {};
}

}  // namespace

void forget_step() { unsetenv("SLURM_STEP_ID"); }

const Launcher* launcher_of_this_process() {
  const auto* const found =
      std::ranges::find_if(launchers, [](const Launcher& each) { return number(each.rank).has_value(); });
  return found == launchers.end() ? nullptr : &*found;
}

int launcher_rank() {
  const Launcher* launcher = launcher_of_this_process();
  return launcher == nullptr ? 0 : *number(launcher->rank);
}

Launch::Launch() : rank_(launcher_rank()), heterogeneous_(environment_variable("SLURM_HET_SIZE").has_value()) {
  for (const Launcher& launcher : launchers) {
    sizes_.push_back(number(launcher.size));
    ranks_.push_back(number(launcher.rank));
  }
  const auto task = number("SLURM_TASK_PID");
  no_task_because_ = no_task_because(task, heterogeneous_);
  is_task_ = no_task_because_.empty() && task && descends_from(*task) == true;
}

/// srun may also have set the variables of another launcher (--mpi=pmi2): those agree with its own.
bool Launch::is_left_over(std::size_t line) const {
  if (no_task_because_.empty()) return false;
  const auto srun = static_cast<std::size_t>(std::ranges::find_if(launchers, is_srun) - launchers.begin());
  return sizes_[line] == sizes_[srun] && (line == srun || ranks_[line] == ranks_[srun]);
}

std::string Launch::passed_over(int ranks) const {
  for (std::size_t at = 0; ranks == 1 && at < launchers.size(); ++at) {
    if (is_srun(launchers[at]) && is_left_over(at) && *sizes_[at] > 1)
      return fmt::format("{}={} says that srun started {} processes, but this one is none of them: {}; it works alone",
                         launchers[at].size, *sizes_[at], *sizes_[at], no_task_because_);
  }
  return {};
}

std::string Launch::mismatch(int ranks, std::string_view mpi) const {
  std::vector<Told> told;
  for (std::size_t at = 0; at < launchers.size(); ++at) {
    const bool counts = ranks == 1 ? !is_left_over(at) : !launchers[at].of_a_node;
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
