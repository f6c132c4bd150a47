// Results of the MLPerf rounds, computed from the logs that the rounds published, and the compute-only step times by
// which MLPerf Storage emulates the same workloads. The data are share/published.
#include "report/analyse/published.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <ranges>
#include <tuple>

#include "report/analyse/table.hpp"
#include "report/published_data.hpp"

namespace trainmark::report {
namespace {

std::vector<Published> read_results() {
  static const Table table(published_results_csv);
  std::vector<Published> results;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const auto text = [row](std::string_view column) { return table.text(row, column); };
    const auto number = [row](std::string_view column) { return table.number(row, column); };
    results.push_back({text("round"),
                       text("division"),
                       text("submitter"),
                       text("system"),
                       text("workload"),
                       text("metric"),
                       text("device"),
                       text("precision"),
                       text("clock"),
                       text("rate_of"),
                       text("series"),
                       text("source"),
                       text("also_in"),
                       number("nodes"),
                       number("devices"),
                       number("train_samples"),
                       number("batch_samples"),
                       number("local_batch_samples"),
                       number("runs"),
                       number("staging_s"),
                       number("score_s"),
                       number("score_with_staging_s"),
                       number("models_per_min"),
                       number("epochs_to_target"),
                       number("epochs_least"),
                       number("epochs_most"),
                       number("evaluation_s"),
                       number("first_epoch_s"),
                       number("step_ms"),
                       number("samples_per_s_device")});
  }
  return results;
}

/// "A100-80 PCIe" and "NVIDIA A100-SXM4-40GB" are of one kind.
std::string_view kind_of(std::string_view device) {
  for (const std::string_view kind : {"A64FX", "KNL", "P100", "V100", "A100", "H100", "H200", "RTX 5000", "TPU-v3"})
    if (device.find(kind) != std::string_view::npos) return kind;
  return device;
}

double apart(double one, double other) { return std::abs(std::log2(one / other)); }

/// Counts what is left out for one reason.
struct LeftOut {
  int metric = 0, division = 0, precision = 0;
};

bool fits(const Published& each, const RunReport& run, LeftOut& out) {
  const std::string_view metric = run.facts.instance ? "throughput" : "time";
  const std::string_view own = precision_class(run.facts.precision), theirs = precision_class(each.precision);
  if (each.metric != metric) return ++out.metric, false;
  if (each.division != run.division) return ++out.division, false;
  if (!own.empty() && !theirs.empty() && own != theirs) return ++out.precision, false;
  return true;
}

}  // namespace

std::string Published::name() const {
  return fmt::format("{} {}, {}{}{}", devices.value_or(0.0), device, submitter, round.empty() ? "" : " ", round);
}

std::span<const Published> published_results() {
  static const std::vector<Published> results = read_results();
  return results;
}

std::string_view precision_class(std::string_view precision) noexcept {
  if (precision == "fp32" || precision == "tf32") return precision;
  return precision.empty() ? "" : "16 bit";
}

NearestPublished nearest_published(const RunReport& run, std::size_t most) {
  NearestPublished nearest;
  if (!run.incomparable.empty()) return nearest;
  LeftOut out;
  for (const Published& each : std::views::reverse(published_results())) {  // of equals the latest round
    if (each.workload != run.benchmark) continue;
    if (each.emulated())
      nearest.emulated.push_back(&each);
    else if (fits(each, run, out))
      nearest.entries.push_back(&each);
  }
  const std::optional<double> local = run.facts.local_batch(), devices = run.facts.processes;
  const std::string_view kind = kind_of(run.facts.device);
  const auto distance = [&](const Published* each) {
    const double batch =
        local && each->local_batch_samples ? apart(*local, *each->local_batch_samples) : (local ? 1e9 : 0.0);
    const bool other_set = each->train_samples != run.facts.train_samples;
    return std::tuple(batch, kind_of(each->device) != kind, other_set,
                      devices && each->devices ? apart(*devices, *each->devices) : 0.0);
  };
  std::ranges::stable_sort(nearest.entries, {}, distance);
  std::ranges::reverse(nearest.emulated);
  if (nearest.entries.size() > most) nearest.entries.resize(most);
  const auto remark = [&](int count, std::string_view why) {
    if (count > 0) nearest.remarks.push_back(fmt::format("{} published entries left out: {}", count, why));
  };
  remark(out.division, "of another division");
  remark(out.metric, run.facts.instance ? "time of one model, this is one of several instances"
                                        : "throughput of several instances, this is one model's time");
  remark(out.precision, "of another class of precision");
  if (!local) nearest.remarks.push_back("the log tells no local batch: entries are not ordered by it");
  if (run.facts.precision.empty()) nearest.remarks.push_back("the log tells no precision: it may be another's");
  return nearest;
}

}  // namespace trainmark::report
