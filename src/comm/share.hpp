// How limits of control groups become a rank's part, apart from asking the system and the other ranks.
#pragma once

#include <string>
#include <vector>

#include "trainmark/comm.hpp"
#include "trainmark/process.hpp"

namespace trainmark {

/// The groups that limit a rank, by their numbers, as a text to send.
[[nodiscard]] std::string groups_text(const std::vector<GroupLimit>& limits);

/// Gives `share` the tightest of the limits. Each is divided among the ranks below its group; `groups` are their texts,
/// this rank's own among them.
void take_quota(CpuShare& share, const std::vector<GroupLimit>& limits, const std::vector<std::string>& groups);

}  // namespace trainmark
