#include "cli/job.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "cli/environment.hpp"
#include "cli/launcher.hpp"
#include "cli/launcher_table.hpp"

namespace trainmark::cli {
namespace {

std::string text_of(const char* variable) {
  return variable == nullptr ? std::string() : environment_variable(variable).value_or("");
}

std::optional<std::int64_t> number_of(const char* variable) {
  return variable == nullptr ? std::nullopt : environment_number(variable);
}

}  // namespace

JobFacts job_facts() {
  JobFacts facts;
  if (const Launcher* launcher = launcher_of_this_process(); launcher != nullptr) {
    facts.launcher = launcher->name;
    facts.cpus_cure = launcher->cure;
    facts.cpus_a_rank = static_cast<int>(std::clamp<std::int64_t>(number_of(launcher->cpus).value_or(0), 0, 1 << 20));
  }
  const auto* const system =
      std::ranges::find_if(batch_systems, [](const BatchSystem& each) { return !text_of(each.job).empty(); });
  if (system == batch_systems.end()) return facts;
  facts.system = system->name;
  facts.id = text_of(system->job);
  if (const auto task = number_of(system->task); task && *task >= system->first_task) {
    facts.array = text_of(system->array);
    facts.task = *task;
  }
  facts.restarts = std::max<std::int64_t>(0, number_of(system->restarts).value_or(0));
  facts.nodes = text_of(system->nodes);
  // Of the years 2001 to 2286: another number is no time, or none that a calendar has room for.
  if (const auto end = number_of(system->ends_at); end && *end >= 1'000'000'000 && *end < 10'000'000'000)
    facts.ends_at = end;
  return facts;
}

std::string name_of(const JobFacts& facts) {
  std::string id = facts.array.empty() ? facts.id : fmt::format("{}_{}", facts.array, facts.task.value_or(0));
  if (facts.restarts > 0) id += fmt::format("-r{}", facts.restarts);
  for (char& c : id) {
    const bool plain =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-';
    if (!plain) c = '_';  // array jobs of PBS: 12[3].server
  }
  return id;
}

}  // namespace trainmark::cli
