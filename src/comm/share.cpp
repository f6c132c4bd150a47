// How the ranks of a node share its CPUs. Ranks that a launcher bound apart have different CPUs; unbound ones have all
// of them in common. A control group's quota is time, whatever the CPUs: all ranks below the group draw on it.
#include "comm/share.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace trainmark {

std::string groups_text(const std::vector<GroupLimit>& limits) {
  std::string text = " ";
  for (const GroupLimit& limit : limits)
    text += fmt::format("{} ", limit.group);
  return text;
}

void take_quota(CpuShare& share, const std::vector<GroupLimit>& limits, const std::vector<std::string>& groups) {
  for (const GroupLimit& limit : limits) {
    const auto below = [&](const std::string& text) {
      return text.find(fmt::format(" {} ", limit.group)) != text.npos;
    };
    const double part =
        limit.value / static_cast<double>(std::max<std::ptrdiff_t>(1, std::ranges::count_if(groups, below)));
    if (share.quota > 0.0 && share.quota <= part) continue;
    share.quota = part;
    share.quota_source = to_string(Resource::cpus, limit);
  }
}

int CpuShare::threads() const noexcept {
  if (quota <= 0.0) return std::max(1, cpus);
  return std::max(1, std::min(cpus, static_cast<int>(std::floor(quota + 1e-9))));
}

CpuShare cpu_share(const World& world) {
  const std::vector<int> cpus = process_cpus();
  std::string mine;
  for (const int cpu : cpus)
    mine += fmt::format("{},", cpu);
  const std::vector<std::string> all = world.node().all_gather(mine);
  CpuShare share;
  share.cpus = std::max(1, static_cast<int>(cpus.size()) / static_cast<int>(std::ranges::count(all, mine)));

  const std::vector<GroupLimit> limits = group_limits(Resource::cpus);
  take_quota(share, limits, world.node().all_gather(groups_text(limits)));
  return share;
}

}  // namespace trainmark
