// What stands in a script and why: docs/slurm.md. Directives are those of sbatch(1), qsub(1B) of PBS and flux-batch(1).
#include "cli/batch_script.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "cli/command.hpp"
#include "cli/numbers.hpp"

namespace trainmark::cli {
namespace {

/// Lines "#SBATCH --key=value"; those of empty values stay out.
class Head {
 public:
  explicit Head(std::string prefix) : prefix_(std::move(prefix)) {}
  Head& option(std::string_view key, std::string_view value) {
    return value.empty() ? *this : line(fmt::format("{}{}", key, value));
  }
  Head& line(std::string_view text) {
    text_ += fmt::format("{} {}\n", prefix_, text);
    return *this;
  }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string prefix_, text_;
};

int ranks(const BatchRequest& request) { return ranks_on(request.nodes, request.ranks_per_node); }

std::string or_nothing(int value) { return value > 0 ? std::to_string(value) : std::string(); }

/// Of a signal that goes to the steps of srun, or to the script's own process, which then is the launcher.
std::string signal_before_the_end(const BatchRequest& request) {
  if (request.signal_seconds == 0) return {};
  const bool to_steps = request.launcher == BatchLauncher::srun;
  return fmt::format("{}{}@{}", to_steps ? "" : "B:", request.signal, request.signal_seconds);
}

std::string slurm_head(const BatchRequest& request) {
  Head head("#SBATCH");
  head.option("--job-name=", request.name)
      .option("--nodes=", std::to_string(request.nodes))
      .option("--ntasks-per-node=", std::to_string(request.ranks_per_node))
      .option("--cpus-per-task=", or_nothing(request.cpus_per_rank))
      .option("--gpus-per-node=", request.gpus_per_node);
  if (!request.shared) head.line("--exclusive").line("--mem=0");
  head.option("--partition=", request.partition)
      .option("--account=", request.account)
      .option("--time=", request.time)
      .option("--array=", request.array)
      .option("--signal=", signal_before_the_end(request))
      .line("--requeue")
      .line("--open-mode=append")
      .option("--output=", request.array.empty() ? "%x-%j.out" : "%x-%A_%a.out");
  return head.text();
}

/// Slurm before 23.02 does not tell its jobs when they end.
constexpr const char* end_of_the_job =
    "\n# When the time is up, for the progress line; since 23.02 Slurm says so itself.\n"
    ": \"${SLURM_JOB_END_TIME:=$(date -d \"$(squeue -h -j \"$SLURM_JOB_ID\" -o %e)\" +%s 2>/dev/null)}\"\n"
    "export SLURM_JOB_END_TIME\n";

std::string pbs_head(const BatchRequest& request) {
  const std::string gpus =
      request.gpus_per_node.substr(request.gpus_per_node.find(':') + 1);  // PBS asks for kinds by other means
  Head head("#PBS");
  head.option("-N ", request.name)
      .line(fmt::format("-l select={}:ncpus={}:mpiprocs={}{}{}", request.nodes,
                        request.ranks_per_node * request.cpus_per_rank, request.ranks_per_node,
                        gpus.empty() ? "" : ":ngpus=", gpus))
      .line(request.shared ? "-l place=scatter" : "-l place=scatter:excl")
      .option("-q ", request.partition)
      .option("-A ", request.account)
      .option("-l walltime=", request.time)
      .option("-J ", request.array)
      .line("-r y")
      .line("-j oe");
  return head.text();
}

std::string flux_head(const BatchRequest& request) {
  Head head("#flux:");
  head.option("--job-name=", request.name).option("--nodes=", std::to_string(request.nodes));
  if (!request.shared) head.line("--exclusive");
  head.option("--queue=", request.partition)
      .option("--bank=", request.account)
      .option("--time-limit=", request.time)
      .option("--output=", request.name + "-{{id}}.out");
  return head.text();
}

std::string binding(const BatchRequest& request) {
  if (request.cpus_per_rank > 0) return std::to_string(request.cpus_per_rank);
  return fmt::format("$((SLURM_CPUS_ON_NODE > {0} ? SLURM_CPUS_ON_NODE / {0} : 1))", request.ranks_per_node);
}

/// Ends with a space.
std::string start_of(const BatchRequest& request) {
  switch (request.launcher) {
    case BatchLauncher::srun:
      return fmt::format("srun --mpi={} --kill-on-bad-exit=1 --wait=60 ", request.mpi);
    case BatchLauncher::mpirun:
      return fmt::format("mpirun -n {} --map-by ppr:{}:node --bind-to none ", ranks(request), request.ranks_per_node);
    case BatchLauncher::mpiexec:
      return fmt::format("mpiexec -n {} -ppn {} -bind-to none ", ranks(request), request.ranks_per_node);
    case BatchLauncher::pals:
      return fmt::format("mpiexec -n {} --ppn {} --depth {} --cpu-bind depth ", ranks(request), request.ranks_per_node,
                         request.cpus_per_rank);
    case BatchLauncher::flux:
      return fmt::format(
          "flux run -N {} -n {} {}{}", request.nodes, ranks(request),
          request.cpus_per_rank > 0 ? fmt::format("--cores-per-task={} ", request.cpus_per_rank) : "--exclusive ",
          request.gpus_per_node.empty() ? "" : "--gpus-per-task=1 ");
  }
  return {};
}

std::string command_of(const BatchRequest& request) {
  std::string line;
  for (const std::string& word : request.command)
    line += (line.empty() ? "" : " ") + shell_quoted(word);
  if (request.array.empty()) return line;
  const char* task = request.launcher == BatchLauncher::pals ? "PBS_ARRAY_INDEX" : "SLURM_ARRAY_TASK_ID";
  if (!request.task_configs.empty())
    return line + fmt::format(" {}/\"${}\".json", shell_quoted(request.task_configs), task);
  if (request.seed == 0)
    return line;  // each task draws one; numbers from 1 on would be those of every other array, too
  return line + fmt::format(" --set \"seed=$(({} + {}))\"", request.seed, task);
}

}  // namespace

std::string batch_script(const BatchRequest& request) {
  std::string text = "#!/bin/bash\n";
  if (request.made_by.find('\n') == std::string::npos) text += fmt::format("# {}\n", request.made_by);
  switch (request.launcher) {
    case BatchLauncher::pals:
      text += pbs_head(request) + "\ncd \"$PBS_O_WORKDIR\" || exit 4\n";
      break;
    case BatchLauncher::flux:
      text += flux_head(request);
      break;
    default:
      text += slurm_head(request) + end_of_the_job;
  }
  if (request.launcher == BatchLauncher::srun)
    text += fmt::format(
        "\n# srun takes no --cpus-per-task over from sbatch (since 22.05): without this a rank has one CPU.\n"
        "export SRUN_CPUS_PER_TASK={}\n",
        binding(request));
  return text + fmt::format("\nexec {}\\\n  {}\n", start_of(request), command_of(request));
}

}  // namespace trainmark::cli
