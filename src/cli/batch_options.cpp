#include "cli/batch_options.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "cli/numbers.hpp"

namespace trainmark::cli {
namespace {

[[noreturn]] void refuse(const std::string& where, const std::string& what, const std::string& why,
                         const std::string& remedy) {
  throw Error(ExitCode::usage, Complaint{where, what, why, remedy});
}

/// Of "4" or "a100:4"; 0 of anything else.
int gpu_count(const std::string& text) {
  const std::string digits = text.substr(text.rfind(':') + 1);  // npos + 1 is 0
  int count = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  return code == std::errc() && end == digits.data() + digits.size() ? std::max(count, 0) : 0;
}

void fit_devices(BatchRequest& request, const RunOptions& options, bool ranks_are_given) {
  const int gpus = gpu_count(request.gpus_per_node);
  if (!request.gpus_per_node.empty() && gpus == 0)
    refuse("--gpus-per-node", fmt::format("\"{}\" is no number of GPUs", request.gpus_per_node), "",
           "give 4, or a100:4");
  if (gpus == 0 && options.backend.device == DeviceChoice::cuda)
    refuse("--gpus-per-node", "is not given, and the config's backend.device is \"cuda\"",
           "a job without GPUs would end with code 5", "say how many GPUs of a node the job gets: --gpus-per-node 4");
  const DeviceChoice device = options.backend.device;
  if (gpus > 0 && (device == DeviceChoice::cpu || device == DeviceChoice::emulated))
    refuse("--gpus-per-node", fmt::format("is given, and the config's backend.device is \"{}\"", word(device)),
           "GPUs would be paid for and idle", "leave it out, or --set backend.device=cuda");
  if (!ranks_are_given) request.ranks_per_node = std::max(1, gpus);
  if (gpus > 0 && request.ranks_per_node > gpus)
    refuse("--ranks-per-node", fmt::format("{} ranks share {} GPUs", request.ranks_per_node, gpus),
           "each rank wants a device of its own", fmt::format("give {} at most", gpus));
}

void fit_cpus(BatchRequest& request, const RunOptions& options) {
  if (request.cpus_per_rank > 0) return;
  const bool counted_by_the_script =
      !request.shared && request.launcher != BatchLauncher::pals;  // whose select= has no "all of them"
  if (counted_by_the_script) return;
  if (options.backend.threads == 0)
    refuse("--cpus-per-task", "is not given, nor are the config's backend.threads",
           request.shared ? "a job that shares its nodes must say what it takes" : "PBS must be told the CPUs of a job",
           "give the CPUs of a rank: --cpus-per-task 16");
  request.cpus_per_rank = static_cast<int>(options.backend.threads + std::max(1, options.load.threads));
}

void require_fit(const RunOptions& options, const BatchRequest& request) {
  const int ranks = ranks_on(request.nodes, request.ranks_per_node);
  if (!options.train.divides(ranks))
    refuse("/train/global_batch", indivisible(options.train, ranks), "every rank takes the same share",
           "choose other --nodes or --ranks-per-node, or another batch");
  if (const std::string complaint = ungroupable(options, ranks); !complaint.empty())
    throw Error(ExitCode::usage, complaint);
}

std::string this_program() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "trainmark" : path.string();
}

void add_site_options(CLI::App& command, BatchRequest& request) {
  const auto word = [&command](const char* name, std::string& value, const char* doc) {
    return command.add_option(name, value, doc)->check(directive_word);
  };
  word("--time", request.time, "Wall limit, as the batch system writes it; default an hour");
  word("--partition", request.partition, "Partition or queue");
  word("--account", request.account, "Account, project or bank");
  word("--mpi", request.mpi, "Of srun: how MPI's processes find each other (srun --mpi=list)")->capture_default_str();
  word("--signal", request.signal, "Sent before the time is up; the run then closes its log in order")
      ->capture_default_str();
  command.add_option("--signal-seconds", request.signal_seconds, "How long before; 0: no signal")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
}

}  // namespace

std::string directive_word(const std::string& text) {
  constexpr std::string_view others = "._,:@%+=/[]-";
  const bool plain = std::ranges::all_of(text, [others](unsigned char c) {
    return c < 128 && (std::isalnum(c) != 0 || others.find(static_cast<char>(c)) != others.npos);
  });
  return plain && !text.empty() ? "" : fmt::format("\"{}\" is no word that a batch system's directive can hold", text);
}

void add_batch_options(CLI::App& command, BatchOptions& options) {
  BatchRequest& request = options.request;
  options.ranks_per_node =
      command.add_option("--ranks-per-node", request.ranks_per_node, "Ranks a node; default one a GPU, or one")
          ->check(CLI::Range(1, 1 << 12));
  command.add_option("--gpus-per-node", request.gpus_per_node, "GPUs a node: 4, or a100:4")->check(directive_word);
  command
      .add_option("--cpus-per-task", request.cpus_per_rank,
                  "CPUs a rank; default an equal part of the node's, counted when the job starts")
      ->check(CLI::Range(1, 1 << 16));
  command.add_flag("--shared", request.shared, "Other jobs may run on the nodes (default: sbatch --exclusive)");
  add_words(command, "--launcher", request.launcher,
            "Who starts the ranks, and with that whose directives are written");
  add_site_options(command, request);
  command.add_option("--program", options.program, "trainmark as the nodes find it; default this very file");
}

BatchRequest fitted(const BatchOptions& options, const RunOptions& run) {
  BatchRequest request = options.request;
  request.name = run.name;
  request.seed = run.seed;
  if (request.time.empty()) request.time = request.launcher == BatchLauncher::flux ? "60m" : "01:00:00";
  if (request.launcher == BatchLauncher::flux && !request.array.empty())
    refuse("--array", "Flux has no arrays of jobs", "", "submit the script several times (flux batch --cc=0-4)");
  fit_devices(request, run, options.ranks_per_node->count() > 0);
  fit_cpus(request, run);
  require_fit(run, request);
  return request;
}

std::string program_of(const BatchOptions& options) {
  return options.program.empty() ? this_program() : options.program;
}

std::string made_by(const Process& process) {
  std::string line = "trainmark";
  for (const std::string& argument : process.arguments())
    line += " " + shell_quoted(argument);
  return line;
}

}  // namespace trainmark::cli
