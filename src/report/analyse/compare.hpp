// Runs before and after a change: figures of merit under names that stay, each within its tolerance or not.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/report.hpp"

namespace trainmark::report {

/// A figure of reports that more or less of is better.
struct Merit {
  std::string_view name;    ///< stable, with its unit: "samples_per_s_median_epoch"
  std::string_view figure;  ///< as reports call it
  std::string_view unit;
  bool higher_is_better = false;
  bool needs_target = false;  ///< runs that missed theirs count as infinitely long
};
[[nodiscard]] std::span<const Merit> merits() noexcept;

struct Compared {
  std::string group;  ///< empty where there is one configuration
  const Merit* merit = nullptr;
  std::optional<double> base, now;  ///< medians; none where half of the runs or more missed the target it needs
  std::size_t base_runs = 0, now_runs = 0;
  std::size_t base_missed = 0, now_missed = 0;  ///< of them, runs that missed the target which the figure needs
  std::optional<double> worse_percent;          ///< below 0: better
  std::optional<double> p;                      ///< Welch's test, from three runs each
  std::optional<double> tolerance_percent;      ///< none: told, not judged
  [[nodiscard]] bool failed() const noexcept {
    if (!tolerance_percent || !base) return false;
    return !worse_percent || *worse_percent > *tolerance_percent;
  }
};

/// Raises Error{usage} for runs of different workloads, and where no configuration stands in both and each side has
/// several.
[[nodiscard]] std::vector<Compared> compare(std::span<const RunReport> base, std::span<const RunReport> now,
                                            const std::map<std::string, double>& tolerances);

}  // namespace trainmark::report
