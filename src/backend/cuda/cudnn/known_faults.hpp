// Versions of cuDNN that compute wrong numbers without a word, as far as that is public.
#pragma once

#include <cstddef>
#include <string>

#include "backend/cuda/cudnn/graphs.hpp"

namespace trainmark::cuda {

/// Empty, or what is wrong with this version (as cudnnGetVersion gives it: 91900 for 9.19.0) where it computes such a
/// graph.
[[nodiscard]] std::string known_fault(std::size_t version, const GraphSpec& spec);

}  // namespace trainmark::cuda
