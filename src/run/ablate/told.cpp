// An ablation for people and for programs.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "mllog/utf8.hpp"
#include "run/ablate/ablation.hpp"

namespace trainmark {
namespace {

using Json = nlohmann::ordered_json;

std::string milliseconds(const Interval& seconds) {
  return fmt::format("{:>11.3f} {:>11.3f} {:>11.3f}", 1e3 * seconds.mean, 1e3 * seconds.low, 1e3 * seconds.high);
}

Json json_of(const Interval& interval) {
  return {{"mean", interval.mean}, {"low", interval.low}, {"high", interval.high}};
}

std::string verdict_of(const AblationResult& result) {
  const Attribution& found = result.attribution;
  const StepLoss* largest = found.largest();
  std::string text = largest == nullptr
                         ? "nothing that a step loses is more than chance: more rounds or steps tell finer\n"
                         : fmt::format("most is lost to {}, {:.1f} % of a step: {}\n", largest->name,
                                       100.0 * largest->seconds.mean / found.full.mean, largest->remedy);
  if (largest != nullptr && largest->name == "slowest_rank")
    text += fmt::format("slowest by itself: rank {} on {}, {:.1f} % above the mean of all ranks\n", found.slowest_rank,
                        result.slowest_host, 100.0 * found.slowest_rank_excess);
  if (result.last)
    text +=
        fmt::format("last to the sums: rank {} on {} in {} steps, by {}: the others waited {:.3f} s\n",
                    result.last->rank, result.last->host, result.last->steps, result.last->by, result.last->seconds);
  return text;
}

}  // namespace

std::string to_text(const AblationResult& result) {
  std::string text = fmt::format("{:<24} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11}  {}\n", "variant", "step ms", "low",
                                 "high", "to full ms", "low", "high", "what is different");
  for (const AblationResult::Row& row : result.rows)
    text += fmt::format(
        "{:<24} {} {}  {}\n", row.name, milliseconds(row.seconds),
        row.name == "full" ? fmt::format("{:>11} {:>11} {:>11}", "-", "-", "-") : milliseconds(row.difference),
        row.meaning);
  for (const std::string& line : result.left_out)
    text += fmt::format("not compared: {}\n", line);
  const Attribution& found = result.attribution;
  text += fmt::format("\n{:<24} {:>11} {:>11} {:>11} {:>8}\n", "a step loses", "ms", "low", "high", "share %");
  for (const StepLoss& loss : found.losses)
    text +=
        fmt::format("{:<24} {} {:>8.1f}{}\n", loss.name, milliseconds(loss.seconds),
                    100.0 * loss.seconds.mean / found.full.mean, loss.seconds.is_certain() ? "" : "  may be chance");
  text += fmt::format("\nefficiency {:.1f} % ({:.1f} to {:.1f}): compute-only {:.3f} ms of {:.3f} ms a step\n",
                      100.0 * found.efficiency.mean, 100.0 * found.efficiency.low, 100.0 * found.efficiency.high,
                      1e3 * found.compute_only.mean, 1e3 * found.full.mean);
  return text + verdict_of(result);
}

std::string to_json(const AblationResult& result, const AblateOptions& how, const RunOptions& options,
                    const World& world) {
  const Attribution& found = result.attribution;
  Json document = {
      {"name", options.name},
      {"workload", benchmark_of(options.recipe.model)},
      {"ranks", world.all().size()},
      {"nodes", world.nodes()},
      {"global_batch_samples", options.train.global_batch},
      {"precision", word(result.precision)},
      {"rounds", how.rounds},
      {"steps_a_round", how.steps},
      {"interval_share", 0.95},
      {"efficiency", json_of(found.efficiency)},
      {"full_step_s", json_of(found.full)},
      {"compute_only_step_s", json_of(found.compute_only)},
      {"variants", Json::array()},
      {"left_out", result.left_out},
      {"losses_s", Json::object()},
      {"largest_loss", found.largest() == nullptr ? Json() : Json(found.largest()->name)},
      {"slowest_rank",
       {{"rank", found.slowest_rank}, {"host", result.slowest_host}, {"excess_share", found.slowest_rank_excess}}},
      {"last_rank", Json()}};
  for (const AblationResult::Row& row : result.rows)
    document["variants"].push_back({{"name", row.name},
                                    {"meaning", row.meaning},
                                    {"step_s", json_of(row.seconds)},
                                    {"difference_s", json_of(row.difference)}});
  for (const StepLoss& loss : found.losses)
    document["losses_s"][loss.name] = json_of(loss.seconds);
  if (result.last)
    document["last_rank"] = {{"rank", result.last->rank},
                             {"host", result.last->host},
                             {"steps", result.last->steps},
                             {"cost_s", result.last->seconds},
                             {"by", result.last->by}};
  return json_text(document, 2) + '\n';
}

}  // namespace trainmark
