// Libraries are told by the files that are loaded: on a cluster the question is which of several was found, and neither
// MPI nor HDF5 has to be set up to answer it.
#include "cli/environment.hpp"

#include <fmt/core.h>
#include <link.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "mllog/utf8.hpp"
#include "trainmark/backend.hpp"
#include "trainmark/core.hpp"

namespace trainmark::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array prefixes = {"OMP_",    "SLURM_", "OMPI_", "TRAINMARK_", "GOMP_", "DNNL_",
                                 "ONEDNN_", "UCX_",   "HDF5_", "NCCL_",      "CUDA_", "CUDNN_"};
constexpr std::array secrets = {"TOKEN", "KEY", "SECRET", "PASS", "CREDENTIAL", "JWT"};

std::map<std::string, std::string> selected_variables() {
  std::map<std::string, std::string> selected;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    const bool wanted =
        std::any_of(prefixes.begin(), prefixes.end(), [&](const char* p) { return name.starts_with(p); });
    if (!wanted) continue;
    std::string upper = name;
    for (char& c : upper)
      c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    const bool secret =
        std::any_of(secrets.begin(), secrets.end(), [&](const char* s) { return upper.find(s) != upper.npos; });
    selected[name] = secret ? "(not shown)" : text.substr(std::min(text.size(), name.size() + 1));
  }
  return selected;
}

/// Our libraries among the loaded ones: name to the file behind all links, which carries the version.
std::map<std::string, std::string> loaded_libraries() {
  std::map<std::string, std::string> found;
  const auto visit = [](dl_phdr_info* info, std::size_t, void* data) {
    const std::filesystem::path path(info->dlpi_name);
    const std::string file = path.filename().string();
    for (const char* name : {"libmpi", "libhdf5", "libdnnl", "libhwloc", "libxxhash", "libdeflate", "libkissfft",
                             "libhwy", "libgomp", "libfmt", "libnccl", "libcudnn"}) {
      const std::string_view rest = std::string_view(file).substr(std::min(file.size(), std::string_view(name).size()));
      if (!file.starts_with(name) || !(rest.starts_with('.') || rest.starts_with('_') || rest.starts_with('-')))
        continue;
      std::error_code error;
      const std::filesystem::path real = std::filesystem::canonical(path, error);
      static_cast<std::map<std::string, std::string>*>(data)->insert_or_assign(name,
                                                                               error ? path.string() : real.string());
    }
    return 0;
  };
  dl_iterate_phdr(visit, &found);
  return found;
}

/// The value behind "key ... : value" in one of /proc's tables.
std::string table_entry(const char* file, std::string_view key) {
  std::ifstream input(file);
  for (std::string line; std::getline(input, line);) {
    const std::size_t colon = line.find(':');
    if (!line.starts_with(key) || colon == std::string::npos) continue;
    return line.substr(std::min(line.size(), line.find_first_not_of(" \t", colon + 1)));
  }
  return "unknown";
}

int numa_nodes() {
  int count = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/devices/system/node", error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("node") && name.size() > 4 && name[4] >= '0' && name[4] <= '9') ++count;
  }
  return std::max(count, 1);
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof(set), &set);
  return std::max(CPU_COUNT(&set), 1);
}

Json machine() {
  utsname system{};
  uname(&system);
  return {{"host", system.nodename},
          {"system", fmt::format("{} {} {}", system.sysname, system.release, system.machine)},
          {"cpu", table_entry("/proc/cpuinfo", "model name")},
          {"cores_online", sysconf(_SC_NPROCESSORS_ONLN)},
          {"cores_usable", usable_cores()},
          {"numa_nodes", numa_nodes()},
          {"memory", table_entry("/proc/meminfo", "MemTotal")}};
}

std::string backend_text() { return make_cpu_backend(usable_cores(), false)->description(); }

Json build() {
  return {{"version", TRAINMARK_VERSION},
          {"build_type", TRAINMARK_BUILD_TYPE},
          {"compiler", "GCC-compatible " __VERSION__},
          {"mpi", true},
          {"backends", built_backends()}};
}

Json environment(const std::string& mpi) {
  Json document = {{"trainmark", build()}, {"machine", machine()}, {"libraries", Json::object()}};
  // A run makes its own backend and describes that one.
  if (mpi.empty()) document["backend"] = backend_text();
  for (const auto& [name, file] : loaded_libraries())
    document["libraries"][name] = file;
  if (!mpi.empty()) document["mpi"] = mpi;
  document["variables"] = selected_variables();
  return document;
}

}  // namespace

std::optional<std::string> environment_variable(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

std::string job_id() {
  for (const char* name : {"SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"}) {
    std::string id = environment_variable(name).value_or("");
    for (char& c : id) {
      const bool plain =
          (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-';
      if (!plain) c = '_';  // array jobs of PBS: 12[3].server
    }
    if (!id.empty()) return id;
  }
  return {};
}

int launcher_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (const auto rank = environment_variable(name)) return std::atoi(rank->c_str());
  }
  return 0;
}

std::string fix_order_of_sums() {
  constexpr int keep = 0;  // what the user chose stands
  std::string fixed;
  for (const auto& [name, value] : {std::pair("NCCL_ALGO", "Ring"), std::pair("NCCL_PROTO", "Simple")}) {
    setenv(name, value, keep);
    fixed += fmt::format("{}{}={}", fixed.empty() ? "" : ", ", name, environment_variable(name).value_or(""));
  }
  return fixed;
}

std::string environment_json(const std::string& mpi) { return json_text(environment(mpi), 2); }

std::string environment_text() {
  const Json document = environment({});
  std::string text;
  for (const auto& [section, value] : document.items()) {
    text += section + (value.is_object() ? "\n" : ": " + value.get<std::string>() + "\n");
    if (!value.is_object()) continue;
    for (const auto& [key, fact] : value.items())
      text += fmt::format("  {}: {}\n", key, fact.is_string() ? fact.get<std::string>() : json_text(fact));
  }
  return text;
}

std::string version_text() {
  std::string text =
      fmt::format("trainmark {} ({}, compiler {})\n", TRAINMARK_VERSION, TRAINMARK_BUILD_TYPE, __VERSION__);
  const std::vector<std::string> backends = built_backends();
  const bool cuda = std::find(backends.begin(), backends.end(), "cuda") != backends.end();
  text += fmt::format("features: MPI yes, CPU yes, CUDA {}\n", cuda ? "yes" : "no");
  text += fmt::format("backend: {}\n", backend_text());
  for (const auto& [name, file] : loaded_libraries())
    text += fmt::format("{}: {}\n", name, file);
  text.pop_back();
  return text;
}

}  // namespace trainmark::cli
