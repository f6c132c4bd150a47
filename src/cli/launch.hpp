// Commands that all ranks of a launch carry out together, and how such a launch ends when something goes wrong.
#pragma once

#include <functional>
#include <memory>

#include "cli/config_file.hpp"
#include "cli/job.hpp"
#include "trainmark/run.hpp"

namespace trainmark::cli {

struct LaunchFlags {
  bool alone = false;  ///< every process is meant to work by itself, whatever the launcher says
};
void add_launch_options(CLI::App& command, LaunchFlags& flags);

/// Makes Interrupts, then the World, checks that MPI found as many ranks as the launcher started and that all run the
/// same binary with the same arguments, and does `work`. Returns its code, or the code of the Error that all ranks
/// agreed upon (printed once, by rank 0). What only some ranks met is printed by them and ends the others with
/// MPI_Abort.
[[nodiscard]] int with_world(Process& process, const LaunchFlags& flags,
                             const std::function<int(const World&, Interrupts&)>& work);

/// What commands on a config are told that all ranks carry out, and that say on stdout what came of it.
struct TellingFlags {
  ConfigSource config;
  LaunchFlags launch;
  bool quiet = false, json = false;
};
/// Behind the command's own options: those of the launch, and what --quiet leaves and --json prints.
void add_telling_options(CLI::App& command, TellingFlags& flags, const std::string& quiet, const std::string& json);
[[nodiscard]] RunContext context_of(const TellingFlags& flags, const JobFacts& job);
/// On rank 0, in the form that was asked for.
void tell(const World& world, const TellingFlags& flags, const std::string& text, const std::string& json);

/// Has the command `work` on all ranks. Flags are TellingFlags with the command's own.
template <class Flags>
void do_on_all_ranks(CLI::App& command, Action& action, std::shared_ptr<Flags> flags,
                     int (*work)(const Flags&, const JobFacts&, const World&)) {
  command.callback([flags, work, &action] {
    action = [flags, work](Process& process) {
      const JobFacts job = job_facts();
      return with_world(process, flags->launch,
                        [&](const World& world, Interrupts&) { return work(*flags, job, world); });
    };
  });
}

}  // namespace trainmark::cli
