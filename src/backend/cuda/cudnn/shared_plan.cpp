// A plan travels as its entry in the cache would be: with the device, libraries, options and graph that it was made
// for.
#include "backend/cuda/cudnn/shared_plan.hpp"

#include <fmt/format.h>

namespace trainmark::cuda {

void share_plan(const Group& ranks, const std::string& context, const std::string& key,
                const std::function<StoredPlan()>& choose, const std::function<void(const StoredPlan&)>& take) {
  std::string entry;
  agree_on(ranks, [&] {
    if (ranks.rank() == 0) entry = encoded(context, key, choose());
  });
  entry = ranks.broadcast(std::move(entry));
  agree_on(ranks, [&] {
    if (ranks.rank() == 0) return;
    const Decoded found = decoded(entry, context, key);
    if (found.refused_because.empty()) return take(found.plan);
    throw Error(ExitCode::environment,
                Complaint{key, fmt::format("rank 0's plan does not fit here: {}", found.refused_because),
                          "with /backend/deterministic all ranks compute with rank 0's plans",
                          "start all ranks on devices of one kind with the same libraries, or leave it out"});
  });
}

}  // namespace trainmark::cuda
