// What a step of each run computes and moves, and at which ceilings, for the models of others: each number with its
// unit in its name and its source beside it.
#include <cmath>
#include <nlohmann/json.hpp>

#include "mllog/utf8.hpp"
#include "trainmark/report.hpp"

namespace trainmark {
namespace {

using Json = nlohmann::ordered_json;

Json tagged(double value, FigureSource source) {
  return {{"value", std::isfinite(value) ? Json(value) : Json()}, {"source", name_of(source)}};
}

Json spread(const Ceiling& ceiling) {
  return {{"value", ceiling.median},
          {"n", ceiling.n},
          {"min", ceiling.least},
          {"max", ceiling.most},
          {"source", name_of(FigureSource::measured)}};
}

Json ceilings_of(const Roofline& roofline) {
  Json list = Json::object();
  for (const Ceiling& each : roofline.ceilings) {
    Json& entry = list[each.name];
    entry = spread(each);
    if (!each.cache.empty()) entry["cache"] = each.cache;
  }
  return list;
}

Json messages_of(const Roofline& roofline) {
  Json list = Json::array();
  for (const StepMessage& each : roofline.messages) {
    list.push_back({{"name", each.name},
                    {"count_a_step", 1},
                    {"ranks", each.ranks},
                    {"bytes", tagged(each.bytes, FigureSource::modelled)},
                    {"seconds", spread(each.seconds)},
                    {"bus_bytes_per_s", spread(each.bus_bytes_per_s)}});
  }
  return list;
}

Json layers_of(const Roofline& roofline) {
  Json list = Json::array();
  for (const RoofNode& each : roofline.nodes) {
    list.push_back({{"node", each.node},
                    {"op", each.op},
                    {"seconds", tagged(each.seconds, FigureSource::measured)},
                    {"flops", tagged(each.flops, FigureSource::modelled)},
                    {"memory_bytes", tagged(each.bytes, FigureSource::modelled)}});
    if (each.bound_s) {
      list.back()["bound_seconds"] = tagged(*each.bound_s, FigureSource::modelled);
      list.back()["bound_by"] = each.bound_by;
    }
  }
  return list;
}

/// "host link": "host_link_bytes".
std::string key_of(const RoofTier& tier) {
  if (tier.computes) return "flops";
  std::string key = tier.name + "_bytes";
  for (char& c : key)
    if (c == ' ') c = '_';
  return key;
}

Json step_of(const Roofline& roofline) {
  Json step = {{"samples_a_rank", tagged(roofline.samples, FigureSource::modelled)}};
  for (const RoofTier& tier : roofline.tiers)
    step[key_of(tier)] = tagged(tier.work, FigureSource::modelled);
  if (roofline.step_s > 0.0) {
    step["seconds"] = tagged(roofline.step_s, FigureSource::measured);
    step["seconds_of"] = roofline.step_of;
  }
  if (roofline.bound_s > 0.0) {
    step["bound_seconds"] = tagged(roofline.bound_s, FigureSource::modelled);
    step["bound_by"] = roofline.binding;
  }
  return step;
}

}  // namespace

std::string render_model(std::span<const RunReport> runs) {
  Json document = {{"kind", "trainmark model"}, {"format", 1}, {"runs", Json::array()}};
  for (const RunReport& run : runs) {
    const Roofline& roofline = run.roofline;
    Json entry = {{"run", run.name()}, {"labels", run.labels}};
    if (!roofline.tiers.empty()) {
      entry["workload"] = roofline.workload;
      entry["precision"] = roofline.precision;
      entry["backend"] = roofline.backend;
      entry["ranks"] = roofline.ranks;
      entry["step"] = step_of(roofline);
      entry["messages"] = messages_of(roofline);
      entry["ceilings_a_rank"] = ceilings_of(roofline);
      entry["layers"] = layers_of(roofline);
    }
    entry["remarks"] = roofline.remarks;
    document["runs"].push_back(std::move(entry));
  }
  return json_text(document, 2) + "\n";
}

}  // namespace trainmark
