// What a rank sends of its gradients: so many, in the form in which they travel.
#pragma once

#include <optional>

#include "report/analyse/what_if.hpp"

namespace trainmark::report {

/// A rank's gradients on the wire, now and then, in MB. What the run does not tell is assumed: the reference's network,
/// 32 bits. None where the network is another one and its parameters are not told.
[[nodiscard]] std::optional<Predicted> gradients_of(const RunReport& run);

}  // namespace trainmark::report
