// How ranks come to one decision: a status each, one outcome for all.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "trainmark/comm.hpp"

namespace trainmark {
namespace {

std::string list_of(const std::vector<int>& ranks) {
  constexpr std::size_t most = 8;
  if (ranks.size() <= most) return fmt::format("{}", fmt::join(ranks, ", "));
  return fmt::format("{}, ...", fmt::join(ranks.begin(), ranks.begin() + most, ", "));
}

constexpr char between = '\x1e';  // parts of a complaint on their way from rank to rank

std::string pack(const Complaint& complaint) {
  return complaint.where + between + complaint.what + between + complaint.why + between + complaint.remedy;
}

Complaint unpack(std::string_view text) {
  Complaint complaint;
  for (std::string* part : {&complaint.where, &complaint.what, &complaint.why, &complaint.remedy}) {
    const std::size_t end = std::min(text.find(between), text.size());
    *part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return complaint;
}

}  // namespace

void agree(const Group& group, const Status& mine) {
  const std::vector<std::uint64_t> codes = group.all_gather(static_cast<std::uint64_t>(mine.code));
  std::vector<int> failed;
  for (int rank = 0; rank < group.size(); ++rank) {
    if (codes[static_cast<std::size_t>(rank)] != 0) failed.push_back(rank);
  }
  if (failed.empty()) return;
  std::string message = group.broadcast(mine.message, failed.front());
  const Complaint complaint = unpack(group.broadcast(pack(mine.complaint), failed.front()));
  if (group.size() > 1) {
    const std::size_t others = failed.size() - 1;
    message = fmt::format("rank {} of {}: {}", failed.front(), group.size(), message);
    if (failed.size() == static_cast<std::size_t>(group.size())) {
      message += " [all ranks failed]";
    } else if (others > 0) {
      message += fmt::format(" [{} ranks failed: {}]", failed.size(), list_of(failed));
    }
  }
  throw AgreedError(static_cast<ExitCode>(codes[static_cast<std::size_t>(failed.front())]), message, complaint);
}

void require_equal(const Group& group, std::string_view subject, std::uint64_t fingerprint, std::string_view remedy) {
  const std::vector<std::uint64_t> all = group.all_gather(fingerprint);
  std::vector<int> odd;
  for (int rank = 1; rank < group.size(); ++rank) {
    if (all[static_cast<std::size_t>(rank)] != all.front()) odd.push_back(rank);
  }
  if (odd.empty()) return;
  throw AgreedError(
      ExitCode::environment,
      Complaint{"launch",
                fmt::format("{} {} from rank 0's on rank{} {}", subject, odd.size() > 1 ? "differ" : "differs",
                            odd.size() > 1 ? "s" : "", list_of(odd)),
                "ranks that disagree would train different models", std::string(remedy)});
}

}  // namespace trainmark
