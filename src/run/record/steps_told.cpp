#include "run/record/steps_told.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "mllog/utf8.hpp"

namespace trainmark {
namespace {

/// "compute", and where the device says what held it back: "compute (throttled by heat)".
std::string reason_of(const Lateness& lateness, const SensorLog& sensors) {
  if (lateness.steps == 0) return {};
  const Term term = lateness.reason();
  std::string text(word(term));
  if (term == Term::compute && !sensors.empty() && sensors.throttled_by() != "none")
    text += fmt::format(" (throttled by {})", sensors.throttled_by());
  return text;
}

}  // namespace

std::string term_columns(std::string_view suffix) {
  std::string text;
  for (const std::string_view term : Words<Term>::all)
    text += fmt::format("{}{}{}", text.empty() ? "" : ",", term, suffix);
  return text;
}

std::string step_columns() {
  std::string text = "step_p99_s,step_max_s";
  for (const std::string_view term : Words<Term>::all)
    text += fmt::format(",{0}_p50_s,{0}_p99_s,{0}_max_s", term);
  return text + ",last_steps,last_cost_s,last_by";
}

std::string step_cells(const StepLog& log, const SensorLog& sensors) {
  std::string text = fmt::format("{:.6f},{:.6f}", log.step().quantile(0.99), log.step().max());
  for (std::size_t at = 0; at < term_count; ++at) {
    const Distribution& of = log.of(static_cast<Term>(at));
    text += fmt::format(",{:.6f},{:.6f},{:.6f}", of.quantile(0.5), of.quantile(0.99), of.max());
  }
  if (!log.lateness()) return text + ",,,";
  return text + fmt::format(",{},{:.6f},\"{}\"", log.lateness()->steps, log.lateness()->seconds,
                            reason_of(*log.lateness(), sensors));
}

void add_step_figures(std::map<std::string, Figure>& figures, const StepLog& log) {
  figures["steps_s"] = log.total().sum();
  for (std::size_t at = 0; at < term_count; ++at) {
    const auto term = static_cast<Term>(at);
    figures[fmt::format("{}_s", word(term))] = log.total()[term];
    figures[fmt::format("first_step_{}_s", word(term))] = log.first()[term];
  }
  if (log.step().count() == 0) return;
  figures["step_p99_s"] = log.step().quantile(0.99);
  figures["step_max_s"] = log.step().max();
}

std::optional<LastRank> last_rank(const World& world, const StepLog& log, const SensorLog& sensors) {
  const Lateness mine = log.lateness().value_or(Lateness{});
  const std::vector<double> costs = world.all().all_gather(mine.seconds);
  const auto most = std::ranges::max_element(costs);
  if (*most <= 0.0) return std::nullopt;
  LastRank last;
  last.rank = static_cast<int>(most - costs.begin());
  last.seconds = *most;
  last.steps = static_cast<std::int64_t>(
      world.all().all_gather(static_cast<std::uint64_t>(mine.steps)).at(static_cast<std::size_t>(last.rank)));
  last.host = world.all().broadcast(to_utf8(world.host()), last.rank);
  last.by = world.all().broadcast(reason_of(mine, sensors), last.rank);
  return last;
}

}  // namespace trainmark
