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

/// The config that our own logs carry; its seed and folders say nothing about speed.
nlohmann::json config_of(const RunFiles& files) {
  nlohmann::json config = nlohmann::json::parse(files.text("trainmark_config"), nullptr, false);
  return config.is_object() ? config : nlohmann::json::object();
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

/// Of one sample, raw: CosmoFlow i16 [d,h,w,4] with 4 f32; DeepCAM f32 [h,w,16] with a byte a pixel. JPEGs have no size
/// of their own.
std::optional<double> sample_bytes(const RunReport& run, const RunFiles& files) {
  const nlohmann::json config = config_of(files);
  const auto model = config.find("model");
  const auto number = [&](const char* key, double reference) {
    if (model == config.end() || !model->is_object()) return reference;
    const auto value = model->find(key);
    return value != model->end() && value->is_number() ? value->get<double>() : reference;
  };
  if (run.benchmark == "cosmoflow") return std::pow(number("extent", 128), 3) * 4.0 * 2.0 + 16.0;
  if (run.benchmark == "deepcam") return number("rows", 768) * number("columns", 1152) * (16.0 * 4.0 + 1.0);
  return std::nullopt;
}

std::vector<std::string> notes_of(const RunFiles& files) {
  std::vector<std::string> notes;
  for (const LogRecord& record : files.log.records)
    if (const auto* note = std::get_if<std::string>(&record.value); note != nullptr && record.key == note_key)
      notes.push_back(*note);
  return notes;
}

void set_staging(RunFacts& facts, const RunFiles& files) {
  facts.staged_beside = files.beside.staged_beside || std::ranges::any_of(notes_of(files), [](const std::string& note) {
                          return is_label(note, overlap_label);
                        });
  const nlohmann::json config = config_of(files);
  const auto stage = config.find("stage");
  if (stage == config.end() || !stage->is_object()) return;
  for (const auto& [key, into] :
       {std::pair{"strategy", &facts.stage_strategy}, {"transport", &facts.stage_transport}}) {
    const auto word = stage->find(key);
    if (word != stage->end() && word->is_string()) *into = word->get<std::string>();
  }
  const auto group = stage->find("group");
  if (group != stage->end() && group->is_number()) facts.stage_group = positive(group->get<double>());
}

/// As the log has it, or in older ones of ours its config.
std::string wire_of(const RunFiles& files) {
  if (std::string logged = files.text("trainmark_wire"); !logged.empty()) return logged;
  const nlohmann::json config = config_of(files);
  const auto train = config.find("train");
  if (train == config.end() || !train->is_object()) return {};
  const auto wire = train->find("wire");
  return wire != train->end() && wire->is_string() ? wire->get<std::string>() : std::string();
}

void compare_network(RunReport& run, const RunFiles& files, const Reference& reference) {
  const nlohmann::json config = config_of(files);
  const auto model = config.find("model");
  if (model == config.end() || !model->is_object()) return;
  for (const auto& [key, required] : reference.model) {
    const auto value = model->find(key);
    if (value != model->end() && value->is_number() && value->get<double>() != required)
      run.incomparable.push_back(fmt::format("another network: {} {}, not {}", key, value->get<double>(), required));
  }
}

}  // namespace

void set_facts(RunReport& run, const RunFiles& files) {
  RunFacts& facts = run.facts;
  const auto text = [&files](std::string_view key) {
    for (const auto* records : {&files.log.records, &files.log.inherited}) {
      const auto found = std::ranges::find(*records, key, &LogRecord::key);
      if (found != records->end()) return shown(found->value);
    }
    return std::string();
  };
  facts.batch_samples = positive(files.number("global_batch_size"));
  facts.processes = positive(processes_of(files));
  facts.instance = files.log.of_many;
  if (!facts.instance) facts.nodes = positive(files.number("number_of_nodes"));
  facts.train_samples = positive(files.number("train_samples"));
  facts.evaluation_samples = positive(files.number("eval_samples"));
  facts.precision = text("precision");
  facts.wire = wire_of(files);
  facts.seed = text("seed");
  facts.device = files.beside.backend.empty() ? run.platform : files.beside.backend;
  facts.memory_bytes = files.beside.memory_bytes;
  facts.node_cpus = files.beside.node_cpus;
  const auto parameters = files.beside.figures.find("parameters");
  if (parameters != files.beside.figures.end()) facts.parameters = positive(parameters->second);
  facts.sample_bytes = sample_bytes(run, files);
  set_staging(facts, files);
  if (facts.ranks_a_cpu() > 1.0)
    run.notes.push_back(
        fmt::format("oversubscribed: {:g} ranks on {:g} node(s) take turns on the {:g} CPUs of one: their times say "
                    "nothing of ranks that have a CPU each",
                    *facts.processes, *facts.nodes, *facts.node_cpus));
}

void set_comparability(RunReport& run, const RunFiles& files) {
  for (const std::string& note : notes_of(files)) {
    const bool generated = is_label(note, generated_label);
    run.generated_data = run.generated_data || generated;
    run.emulated_device = run.emulated_device || is_label(note, emulated_label);
    if (!generated) run.labels.push_back(note);
  }
  if (run.emulated_device) run.incomparable.push_back("an emulated device, whose steps took a stated time");
  const auto reference = std::ranges::find(references(), run.benchmark, &Reference::workload);
  if (reference == references().end()) {
    run.incomparable.push_back(
        fmt::format("the published results kept here are of cosmoflow, deepcam and resnet, this is {}",
                    run.benchmark.empty() ? "of no named benchmark" : run.benchmark));
    return;
  }
  if (run.division != "closed" && run.division != "open") run.incomparable.push_back("of no named division");
  compare_network(run, files, *reference);
  const double samples = run.facts.train_samples.value_or(0.0);
  if (samples < reference->train_samples)
    run.incomparable.push_back(fmt::format("{} training samples, not {}", samples,
                                           run.benchmark == "cosmoflow" ? 524288 : reference->train_samples));
}

void set_configuration(RunReport& run, const RunFiles& files) {
  nlohmann::json config = config_of(files);
  for (const char* key : {"seed", "results", "watchdog"})
    config.erase(key);
  nlohmann::json signature = {run.benchmark, run.division, run.organisation, run.platform, processes_of(files)};
  for (const char* key :
       {"number_of_nodes", "accelerators_per_node", "global_batch_size", "train_samples", "precision"})
    signature.push_back(fmt::format("{} {}", files.number(key).value_or(0.0), files.text(key)));
  signature.push_back(std::move(config));
  run.configuration = json_text(signature);
}

}  // namespace trainmark::report
