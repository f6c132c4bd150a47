#include "report/analyse/gradients.hpp"

#include <fmt/core.h>

namespace trainmark::report {
namespace {

/// Of the reference networks; none beside a run of another one.
std::optional<double> reference_parameters(const RunReport& run) {
  if (!run.incomparable.empty()) return std::nullopt;
  if (run.benchmark == "cosmoflow") return 8.91e6;
  if (run.benchmark == "deepcam") return 56.45e6;
  return run.benchmark == "resnet" ? std::optional(25.56e6) : std::nullopt;
}

/// Of a gradient as it travels; none for words that are not known.
std::optional<double> element_bytes(std::string_view wire) {
  if (wire == "fp32") return 4.0;
  return wire == "bf16" || wire == "fp16" ? std::optional(2.0) : std::nullopt;
}

}  // namespace

std::optional<Predicted> gradients_of(const RunReport& run) {
  const std::optional<double> counted = run.facts.parameters, told = element_bytes(run.facts.wire);
  const std::optional<double> parameters = counted ? counted : reference_parameters(run);
  if (!parameters) return std::nullopt;
  const double megabytes = *parameters * told.value_or(4.0) * 1e-6;
  return Predicted{"gradients on the wire",
                   "MB",
                   megabytes,
                   megabytes,
                   {},
                   {},
                   counted && told ? FigureSource::measured : FigureSource::assumed,
                   fmt::format("{:g} parameters{} of {:g} bytes{}", *parameters,
                               counted ? "" : " (taken to be the reference network's)", told.value_or(4.0),
                               told ? " (" + run.facts.wire + ")" : " (taken to be fp32: the runs do not tell)")};
}

}  // namespace trainmark::report
