// What was found, each text once; what no test reads fails the program at its end. Code addresses are turned into file
// and line only when somebody reads, by addr2line.
#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
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
// Never destroyed: the program's end reads them.
std::vector<Finding>& found = *new std::vector<Finding>;
std::set<std::pair<std::string, const void*>>& known = *new std::set<std::pair<std::string, const void*>>;

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

/// What nobody has read when the program ends is printed, and the program fails.
void fail_at_exit() {
  const auto unread = findings();
  for (const std::string& text : unread)
    std::fprintf(stderr, "device double: %s\n", text.c_str());
  std::fflush(nullptr);
  if (!unread.empty()) _exit(unread_findings);
}

void add_finding(std::string text, const void* code) {
  static const bool registered = std::atexit(fail_at_exit) == 0;
  static_cast<void>(registered);
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
