// A handful of results of the MLPerf HPC rounds, computed from the logs that the rounds published, and the compute-only
// step times by which MLPerf Storage emulates the same workload.
#include "report/published.hpp"

#include <array>

namespace trainmark::report {

std::span<const Published> published_cosmoflow() noexcept {
  static constexpr std::optional<double> none;
  static constexpr std::array<Published, 11> results = {{
      {"512 V100", "v0.7 Fujitsu (ABCI; half the training set)", 26.81, 34.42, 512, false},
      {"512 A64FX", "v1.0 Fujitsu+RIKEN (Fugaku)", 3.90, 114.35, 512, false},
      {"1024 A100-80", "v1.0 NVIDIA", 63.20, 7.12, 1024, false},
      {"32 A100-80", "v2.0 NVIDIA (throughput)", 131.25, none, 32, false},
      {"512 A100-80", "v2.0 NVIDIA", 115.38, 3.79, 512, false},
      {"512 A100-40", "v3.0 HPE+LBNL", 90.69, 4.73, 512, false},
      {"32 H100-80", "v3.0 NVIDIA (throughput)", 223.43, none, 32, false},
      {"512 H100-80", "v3.0 NVIDIA (staging outside the clock)", 200.16, 2.10, 512, false},
      {"1 V100", "DLIO emulation, compute only: 9.36 ms a step", 107, none, 1, true},
      {"1 A100", "DLIO emulation, compute only: 5.51 ms a step", 181, none, 1, true},
      {"1 H100", "DLIO emulation, compute only: 3.50 ms a step", 286, none, 1, true},
  }};
  return results;
}

}  // namespace trainmark::report
