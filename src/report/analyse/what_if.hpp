// The next scale: step, epochs, staging and time to train at another number of nodes or another batch.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "report/analyse/scale.hpp"

namespace trainmark::report {

/// One figure now and then. `source` says what the prediction rests on.
struct Predicted {
  std::string name, unit;
  std::optional<double> now, then, low, high;  ///< low to high: 80 %
  FigureSource source = FigureSource::modelled;
  std::string basis;
};
struct ScalePoint {
  double nodes = 0.0, processes = 0.0;
  StepPrediction step;
  std::optional<double> bytes_per_node;
  std::string tier;
};
struct WhatIfAnswer {
  std::string base;  ///< name of the group that it starts from
  std::vector<Predicted> figures;
  std::vector<ScalePoint> curve;  ///< doublings from the base to what is asked, at the base's local batch
  std::vector<std::string> remarks;
};

/// Raises Error{usage}: runs of several series (series_of), none that tells batch, rate and devices, a local batch that
/// they do not reach, or nodes asked for where no run names its own.
[[nodiscard]] WhatIfAnswer answer(const WhatIf& question, std::span<const ScaleRow> rows, std::span<const Tier> tiers);

}  // namespace trainmark::report
