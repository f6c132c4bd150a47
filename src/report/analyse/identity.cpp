// Reads the settings of a run: from its log, from the config that our own logs carry, and from env.json beside it.
#include "report/analyse/identity.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "mllog/utf8.hpp"
#include "report/analyse/published.hpp"
#include "report/analyse/rates.hpp"

namespace trainmark::report {
namespace {

using Json = nlohmann::json;

/// The config that our own logs carry.
Json config_of(const RunFiles& files) {
  Json config = Json::parse(files.text("trainmark_config"), nullptr, false);
  return config.is_object() ? config : Json::object();
}

/// A value of a section of the config; null where there is none.
Json value_in(const Json& config, const char* section, const char* key) {
  const auto found = config.find(section);
  return found != config.end() && found->is_object() ? found->value(key, Json()) : Json();
}
std::string text_in(const Json& config, const char* section, const char* key) {
  const Json value = value_in(config, section, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}
std::optional<double> number_in(const Json& config, const char* section, const char* key) {
  const Json value = value_in(config, section, key);
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

/// What the workload's samples and network are in the benchmark, by the names that our configs have for them.
struct Reference {
  std::string_view workload;
  double train_samples;  ///< the least of all rounds: 0.7 had half of CosmoFlow's
  std::vector<std::pair<const char*, double>> model;
};
const std::array<Reference, 3>& references() {
  static const std::array<Reference, 3> all = {
      {{"cosmoflow", 262144, {{"extent", 128}, {"width", 1}}},
       {"deepcam", 121266, {{"rows", 768}, {"columns", 1152}, {"width", 1}}},
       {"resnet", 1281167, {{"extent", 224}, {"width", 1}, {"classes", 1000}}}}};
  return all;
}

std::optional<double> positive(std::optional<double> value) {
  return value && *value > 0.0 && std::isfinite(*value) ? value : std::nullopt;
}

/// Of a rank: as the config states them, else as a CPU's backend says ("cpu (..., 4 threads a rank)").
std::optional<double> threads_of(const Json& config, const std::string& backend) {
  if (const auto stated = positive(number_in(config, "backend", "threads"))) return stated;
  const std::size_t end = backend.find(" thread");
  const std::size_t begin = end == std::string::npos ? end : backend.find_last_of(' ', end - 1);
  return begin == std::string::npos ? std::nullopt
                                    : positive(number_in_cell(backend.substr(begin + 1, end - begin - 1)));
}

/// Of one sample, raw: CosmoFlow i16 [d,h,w,4] with 4 f32; DeepCAM f32 [h,w,16] with a byte a pixel. JPEGs have no size
/// of their own.
std::optional<double> sample_bytes(const RunReport& run, const Json& config) {
  const auto number = [&config](const char* key, double reference) {
    return number_in(config, "model", key).value_or(reference);
  };
  if (run.benchmark == "cosmoflow") return std::pow(number("extent", 128), 3) * 4.0 * 2.0 + 16.0;
  if (run.benchmark == "deepcam") return number("rows", 768) * number("columns", 1152) * (16.0 * 4.0 + 1.0);
  return std::nullopt;
}

/// What the log says of the run in notes: labels of what it is not, and how it staged.
void read_notes(RunReport& run, const RunFiles& files) {
  run.facts.staged_beside = files.beside.staged_beside;
  for (const LogRecord& record : files.log.records) {
    const auto* note = std::get_if<std::string>(&record.value);
    if (note == nullptr || record.key != note_key) continue;
    const bool generated = is_label(*note, generated_label);
    run.generated_data = run.generated_data || generated;
    run.emulated_device = run.emulated_device || is_label(*note, emulated_label);
    run.facts.staged_beside = run.facts.staged_beside || is_label(*note, overlap_label);
    if (!generated) run.labels.push_back(*note);
  }
}

void set_facts(RunReport& run, const RunFiles& files, const Json& config) {
  RunFacts& facts = run.facts;
  const auto text = [&files](std::string_view key) {
    for (const auto* records : {&files.log.records, &files.log.inherited}) {
      const auto found = std::ranges::find(*records, key, &LogRecord::key);
      if (found != records->end()) return shown(found->value);
    }
    return std::string();
  };
  facts.batch_samples = files.count("global_batch_size");
  facts.processes = positive(processes_of(files));
  facts.instance = files.log.of_many;
  if (!facts.instance) facts.nodes = files.count("number_of_nodes");
  facts.train_samples = files.count("train_samples");
  facts.evaluation_samples = files.count("eval_samples");
  facts.precision = text("precision");
  facts.seed = text("seed");
  facts.wire = files.text("trainmark_wire");
  if (facts.wire.empty()) facts.wire = text_in(config, "train", "wire");  // older logs of ours
  if (const auto model = config.find("model"); model != config.end()) facts.network = json_text(*model);
  facts.threads = threads_of(config, files.beside.backend);
  facts.found_staged = files.beside.reused_bytes > 0.0;
  facts.device = files.beside.backend.empty() ? run.platform : files.beside.backend;
  facts.memory_bytes = files.beside.memory_bytes;
  facts.node_cpus = files.beside.node_cpus;
  const auto parameters = files.beside.figures.find("parameters");
  if (parameters != files.beside.figures.end()) facts.parameters = positive(parameters->second);
  facts.sample_bytes = sample_bytes(run, config);
  facts.stage_strategy = text_in(config, "stage", "strategy");
  facts.stage_transport = text_in(config, "stage", "transport");
  facts.stage_group = positive(number_in(config, "stage", "group"));
  if (facts.ranks_a_cpu() > 1.0)
    run.notes.push_back(
        fmt::format("oversubscribed: {:g} ranks on {:g} node(s) take turns on the {:g} CPUs of one: their times say "
                    "nothing of ranks that have a CPU each",
                    *facts.processes, *facts.nodes, *facts.node_cpus));
}

/// Why published results may not stand beside the run. Needs its facts.
void compare_with_published(RunReport& run, const Json& config) {
  if (run.emulated_device) run.incomparable.push_back("an emulated device, whose steps took a stated time");
  const auto reference = std::ranges::find(references(), run.benchmark, &Reference::workload);
  if (reference == references().end()) {
    run.incomparable.push_back(
        fmt::format("the published results kept here are of cosmoflow, deepcam and resnet, this is {}",
                    run.benchmark.empty() ? "of no named benchmark" : run.benchmark));
    return;
  }
  if (run.division != "closed" && run.division != "open") run.incomparable.push_back("of no named division");
  for (const auto& [key, required] : reference->model)
    if (const auto own = number_in(config, "model", key); own && *own != required)
      run.incomparable.push_back(fmt::format("another network: {} {}, not {}", key, *own, required));
  const std::optional<QualityTarget> target = quality_target(run.benchmark);
  if (target && run.target && *run.target != target->value)
    run.incomparable.push_back(fmt::format("another target: {}, not {}", *run.target, target->value));
  const double samples = run.facts.train_samples.value_or(0.0);
  if (samples < reference->train_samples)
    run.incomparable.push_back(fmt::format("{} training samples, not {}", samples,
                                           run.benchmark == "cosmoflow" ? 524288 : reference->train_samples));
}

/// All that may differ between runs whose times are averaged is left out: seed and folders say nothing about speed.
std::string configuration_of(const RunReport& run, const RunFiles& files, Json config) {
  for (const char* key : {"seed", "results", "watchdog"})
    config.erase(key);
  Json signature = {run.benchmark, run.division, run.organisation, run.platform, processes_of(files)};
  for (const char* key :
       {"number_of_nodes", "accelerators_per_node", "global_batch_size", "train_samples", "precision"})
    signature.push_back(fmt::format("{} {}", files.number(key).value_or(0.0), files.text(key)));
  signature.push_back(std::move(config));
  return json_text(signature);
}

}  // namespace

std::optional<double> own_target(const RunFiles& files) {
  if (const auto logged = number_in(config_of(files), "train", "target")) return logged;
  const auto beside = files.beside.figures.find("target_metric");
  return beside == files.beside.figures.end() ? std::nullopt : std::optional(beside->second);
}

void identify(RunReport& run, const RunFiles& files) {
  Json config = config_of(files);
  read_notes(run, files);
  set_facts(run, files, config);
  compare_with_published(run, config);
  run.configuration = configuration_of(run, files, std::move(config));
}

}  // namespace trainmark::report
