// What was found, each text once. Code addresses are turned into file and line only when somebody reads, by addr2line.
#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <array>
#include <cstdio>
#include <mutex>
#include <set>

#include "cuda_double/device.hpp"

namespace trainmark::cuda_double {
namespace {

struct Finding {
  std::string text;
  const void* code = nullptr;
};
std::mutex mutex;
std::vector<Finding> found;
std::set<std::pair<std::string, const void*>> known;

std::string line_of(const void* code) {
  Dl_info info{};
  void* extra = nullptr;
  if (dladdr1(code, &info, &extra, RTLD_DL_LINKMAP) == 0) return {};
  const auto offset = reinterpret_cast<std::uintptr_t>(code) - static_cast<const link_map*>(extra)->l_addr - 1;
  const std::string command = fmt::format("addr2line -e '{}' {:#x} 2>/dev/null", info.dli_fname, offset);
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  std::array<char, 512> text{};
  std::string line = std::fgets(text.data(), static_cast<int>(text.size()), pipe) != nullptr ? text.data() : "";
  pclose(pipe);
  while (!line.empty() && (line.back() == '\n' || line.back() == ' '))
    line.pop_back();
  return line.starts_with("??") ? std::string{} : line;
}

}  // namespace

void add_finding(std::string text, const void* code) {
  const std::lock_guard guard(mutex);
  if (known.size() < 200 && known.emplace(text, code).second) found.push_back({std::move(text), code});
}

void forget_findings() {
  const std::lock_guard guard(mutex);
  found.clear();
  known.clear();
}

std::vector<std::string> findings() {
  const std::lock_guard guard(mutex);
  std::vector<std::string> texts;
  for (const Finding& finding : found) {
    const std::string line = finding.code == nullptr ? std::string{} : line_of(finding.code);
    texts.push_back(line.empty() ? finding.text : fmt::format("{} at {}", finding.text, line));
  }
  found.clear();
  known.clear();
  return texts;
}

}  // namespace trainmark::cuda_double
