// Whether a run gets to the rate that its schedule warms up to.
#pragma once

#include <string>

#include "trainmark/run.hpp"

namespace trainmark {

/// A warning where a run ends before its rate has warmed up; else empty. `train_samples` are there; 0: nobody knows.
[[nodiscard]] std::string unfinished_warm_up(const RunOptions& options, std::int64_t train_samples);

}  // namespace trainmark
