// A device that is not there: steps take a stated time and compute nothing, around true uploads and true sums over
// ranks.
#pragma once

#include "backend/emulated/time.hpp"
#include "trainmark/backend.hpp"

namespace trainmark {

/// `overlap`: sums over ranks run beside the time that is replayed. `clock` outlives the backend; null: the host's.
[[nodiscard]] std::unique_ptr<Backend> make_emulated_backend(const EmulatedDevice& device, bool overlap,
                                                             emulated::HostClock* clock = nullptr);

}  // namespace trainmark
