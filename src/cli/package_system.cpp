#include "cli/package_system.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "core/reading.hpp"
#include "mllog/each_key_once.hpp"
#include "mllog/utf8.hpp"

namespace trainmark::cli {
namespace {

// Fields of systems/<name>.json as mlperf_logging's system_desc_checker asks for them.
constexpr std::array<std::string_view, 33> fields = {"submitter",
                                                     "division",
                                                     "status",
                                                     "system_name",
                                                     "number_of_nodes",
                                                     "host_processors_per_node",
                                                     "host_processor_model_name",
                                                     "host_processor_core_count",
                                                     "host_processor_vcpu_count",
                                                     "host_processor_frequency",
                                                     "host_processor_caches",
                                                     "host_processor_interconnect",
                                                     "host_memory_capacity",
                                                     "host_storage_type",
                                                     "host_storage_capacity",
                                                     "host_networking",
                                                     "host_networking_topology",
                                                     "host_memory_configuration",
                                                     "accelerators_per_node",
                                                     "accelerator_model_name",
                                                     "accelerator_host_interconnect",
                                                     "accelerator_frequency",
                                                     "accelerator_on-chip_memories",
                                                     "accelerator_memory_configuration",
                                                     "accelerator_memory_capacity",
                                                     "accelerator_interconnect",
                                                     "accelerator_interconnect_topology",
                                                     "cooling",
                                                     "hw_notes",
                                                     "framework",
                                                     "other_software_stack",
                                                     "operating_system",
                                                     "sw_notes"};
constexpr std::array<std::string_view, 9> never_empty = {"submitter",
                                                         "division",
                                                         "status",
                                                         "system_name",
                                                         "host_processor_model_name",
                                                         "host_processor_core_count",
                                                         "framework",
                                                         "number_of_nodes",
                                                         "host_processors_per_node"};
constexpr std::array<std::string_view, 3> counts = {"number_of_nodes", "host_processors_per_node",
                                                    "accelerators_per_node"};

std::string text_at(const Json& document, const char* section, const char* key) {
  const auto outer = document.find(section);
  if (outer == document.end() || !outer->is_object()) return {};
  const auto value = outer->find(key);
  if (value == outer->end()) return {};
  return value->is_string() ? value->get<std::string>() : json_text(*value);
}

bool is_count(const std::string& text) {
  std::int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0;
}

/// The rules' words for those that a log has.
std::string status_text(const std::string& logged) {
  if (logged == "onprem") return "Available on-premise";
  if (logged == "cloud") return "Available cloud";
  if (logged == "preview") return "Preview";
  return "Research, Development, or Internal (RDI)";
}

}  // namespace

Json beside(const std::filesystem::path& log, const char* name) {
  Json document = Json::parse(read_if_possible(log.parent_path() / name).value_or(""), nullptr, false);
  return document.is_object() ? document : Json::object();
}

Json known_system(const RunReport& run, const std::string& submission_status) {
  const Json environment = beside(run.path, "env.json");
  Json system = Json::object();
  for (const std::string_view field : fields)
    system[std::string(field)] = "";
  system["submitter"] = run.organisation;
  system["division"] = run.division;
  system["status"] = status_text(submission_status);
  system["system_name"] = run.platform;
  if (run.facts.nodes) system["number_of_nodes"] = fmt::format("{:g}", *run.facts.nodes);
  system["host_processor_model_name"] = text_at(environment, "machine", "cpu");
  system["host_memory_capacity"] = text_at(environment, "machine", "memory");
  system["operating_system"] = text_at(environment, "machine", "system");
  if (const std::string version = text_at(environment, "trainmark", "version"); !version.empty())
    system["framework"] = "trainmark " + version;
  if (environment.contains("backend") && environment["backend"].is_string())
    system["other_software_stack"] = environment["backend"];
  return system;
}

Json described_system(Json known, const std::string& text, const std::string& source_name) {
  const Json described = Json::parse(text, EachKeyOnce(source_name), false, true);
  if (!described.is_object())
    throw Error(ExitCode::usage,
                Complaint{source_name, "is not a JSON object", "", "give {\"cooling\": \"liquid\", ...}"});
  for (const auto& [key, value] : described.items()) {
    if (std::ranges::find(fields, key) == fields.end()) {
      const auto* const near =
          std::ranges::min_element(fields, {}, [&](std::string_view field) { return edit_distance(field, key); });
      throw Error(ExitCode::usage,
                  Complaint{fmt::format("{}: /{}", source_name, key), "is no field of a system's description", "",
                            fmt::format("did you mean /{}?", *near)});
    }
    known[key] = value;
  }
  return known;
}

std::vector<std::string> faults_of_system(const Json& system) {
  std::vector<std::string> faults;
  for (const std::string_view field : fields) {
    const auto value = system.find(std::string(field));
    if (value == system.end()) {
      faults.push_back(fmt::format("/{}: is missing", field));
      continue;
    }
    const bool may_be_an_object = field == "other_software_stack" && value->is_object();
    if (!value->is_string() && !may_be_an_object) {
      faults.push_back(fmt::format("/{}: must be text, not {}", field, json_text(*value)));
      continue;
    }
    const std::string text = value->is_string() ? value->get<std::string>() : "{}";
    const bool counted = std::ranges::find(counts, field) != counts.end();
    if (text.empty() && (counted || std::ranges::find(never_empty, field) != never_empty.end())) {
      faults.push_back(fmt::format("/{}: is empty", field));
    } else if (counted && !is_count(text)) {
      faults.push_back(fmt::format("/{}: must be a whole number as text, not \"{}\"", field, text));
    }
  }
  return faults;
}

}  // namespace trainmark::cli
