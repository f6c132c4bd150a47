// One rank's choice on all ranks: rank 0's serialised plan travels over the control plane.
#pragma once

#include <functional>

#include "backend/cuda/cudnn/plan_cache.hpp"
#include "trainmark/comm.hpp"

namespace trainmark::cuda {

/// Collective: all ranks ask for the same graphs in the same order. Rank 0 calls `choose`, the others call `take` with
/// what it chose. `context` as for PlanCache: a plan for another device or library is not taken. Where a rank fails all
/// raise the same AgreedError, so that none waits for another and all try the same thing next.
void share_plan(const Group& ranks, const std::string& context, const std::string& key,
                const std::function<StoredPlan()>& choose, const std::function<void(const StoredPlan&)>& take);

}  // namespace trainmark::cuda
