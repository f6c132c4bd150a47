// Libraries are told by the files that are loaded: on a cluster the question is which of several was found, and neither
// MPI nor HDF5 has to be set up to answer it.
#include "cli/environment.hpp"

#include <fmt/core.h>
#include <link.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/launcher.hpp"
#include "cli/launcher_table.hpp"
#include "cli/start.hpp"
#include "mllog/utf8.hpp"
#include "trainmark/backend.hpp"
#include "trainmark/core.hpp"
#include "trainmark/process.hpp"

namespace trainmark::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array prefixes = {"OMP_",  "GOMP_", "KMP_",   "DNNL_",  "ONEDNN_",   "SLURM_", "SRUN_",
                                 "PBS_",  "LSB_",  "FLUX_",  "PALS_",  "JSM_",      "OMPI_",  "PMIX_",
                                 "PMI_",  "MV2_",  "MPICH_", "I_MPI_", "HYDRA_",    "UCX_",   "FI_",
                                 "HDF5_", "NCCL_", "CUDA_",  "CUDNN_", "TRAINMARK_"};
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

/// The tightest limit of the control groups; "none" where there is none.
std::string tightest(Resource resource) {
  const std::vector<GroupLimit> limits = group_limits(resource);
  return limits.empty() ? "none" : to_string(resource, limits.front());
}

Json machine() {
  utsname system{};
  uname(&system);
  return {{"host", system.nodename},
          {"system", fmt::format("{} {} {}", system.sysname, system.release, system.machine)},
          {"cpu", table_entry("/proc/cpuinfo", "model name")},
          {"cores_online", sysconf(_SC_NPROCESSORS_ONLN)},
          {"cores_usable", process_cpus().size()},
          {"cores_of_first_thread", first_thread_cpus().size()},
          {"cpu_quota", tightest(Resource::cpus)},
          {"thread_limits", thread_limits()},
          {"memory_limit", tightest(Resource::memory)},
          {"openmp_waits", waiting_of_threads()},
          {"numa_nodes", numa_nodes()},
          {"memory", table_entry("/proc/meminfo", "MemTotal")}};
}

/// Asks for as many threads as there are cores, so that it shows what OpenMP makes of that.
std::string backend_text() {
  try {
    const auto threads = static_cast<int>(process_cpus().size());
    { const TrialThreads trial(threads - 1, "raise the limit", threads - 1); }
    const auto backend = make_cpu_backend(threads, false);
    const std::string caveat = backend->caveat();
    return backend->description() + (caveat.empty() ? "" : "; " + caveat);
  } catch (const Error& error) {
    return error.what();  // its threads cannot be started
  }
}

Json build() {
  return {{"version", TRAINMARK_VERSION},
          {"build_type", TRAINMARK_BUILD_TYPE},
          {"compiler", "GCC-compatible " __VERSION__},
          {"build_id", build_id()},
          {"mpi", true},
          {"backends", built_backends()}};
}

/// Who started this process, as which of how many.
Json launch() {
  const Launcher* launcher = launcher_of_this_process();
  if (launcher == nullptr) return {};
  Json facts = {{"launcher", launcher->name}};
  for (const auto& [key, variable] :
       {std::pair("rank", launcher->rank), {"of", launcher->size}, {"rank_on_node", launcher->local}}) {
    if (const auto value = variable == nullptr ? std::nullopt : environment_number(variable); value)
      facts[key] = *value;
  }
  return facts;
}

Json environment(const std::string& mpi) {
  Json document = {{"trainmark", build()}, {"machine", machine()}, {"libraries", Json::object()}};
  // MPI sets some of these variables itself.
  if (Json facts = mpi.empty() ? launch() : Json(); !facts.empty()) document["launch"] = std::move(facts);
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

std::optional<std::int64_t> environment_number(std::string_view name) {
  const auto text = environment_variable(name);
  if (!text) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return value;
}

std::string build_id() {
  std::string id;
  const auto visit = [](dl_phdr_info* info, std::size_t, void* data) {
    for (int at = 0; at < info->dlpi_phnum; ++at) {
      const ElfW(Phdr)& header = info->dlpi_phdr[at];
      if (header.p_type != PT_NOTE) continue;
      // NOLINTNEXTLINE(performance-no-int-to-ptr): where the loader put this program
      const auto* note = reinterpret_cast<const std::byte*>(info->dlpi_addr + header.p_vaddr);
      const std::byte* end = note + header.p_memsz;
      const std::size_t boundary = header.p_align == 8 ? 8 : 4;
      const auto padded = [boundary](std::size_t bytes) { return (bytes + boundary - 1) / boundary * boundary; };
      while (static_cast<std::size_t>(end - note) > sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) head;
        std::memcpy(&head, note, sizeof(head));
        const std::byte* name = note + sizeof(head);
        const std::byte* text = name + padded(head.n_namesz);
        const bool found = head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0;
        for (std::size_t byte = 0; found && byte < head.n_descsz; ++byte)
          *static_cast<std::string*>(data) += fmt::format("{:02x}", static_cast<unsigned>(text[byte]));
        note = text + padded(head.n_descsz);
        if (note > end) break;
      }
    }
    return 1;  // the first is the program itself
  };
  dl_iterate_phdr(visit, &id);
  return id;
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
