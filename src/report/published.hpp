// Published results that a run of the full CosmoFlow may be held against.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace trainmark::report {

struct Published {
  std::string_view what;    ///< devices
  std::string_view source;  ///< round and submitter
  double samples_per_s;     ///< of one device
  std::optional<double> minutes;
  double batch;
  bool modelled;  ///< emulated, not run
};

/// CosmoFlow, closed division. Rates are the median epoch's without evaluation, computed from the published logs.
[[nodiscard]] std::span<const Published> published_cosmoflow() noexcept;

}  // namespace trainmark::report
