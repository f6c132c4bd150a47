// Control groups as /proc/self/cgroup and /proc/self/mountinfo tell of them (man 7 cgroups, man 5 proc). A process is
// bound by its own group and by every one above, so the walk goes up to the mount point; inside a container that is as
// far as one can see.
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

#include "trainmark/process.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

constexpr double no_limit = std::int64_t{1} << 60;  // v1 writes "unlimited" memory as the largest whole page

/// Where a hierarchy of groups is mounted: `root` is the group that the mount point shows.
struct Mount {
  fs::path point;
  std::string root;
};

/// man 5 proc: spaces, tabs, newlines and backslashes of a path are written in octal.
std::string unescaped(const std::string& text) {
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 3 < text.size()) {
      plain += static_cast<char>(std::strtol(text.substr(at + 1, 3).c_str(), nullptr, 8));
      at += 3;
    } else {
      plain += text[at];
    }
  }
  return plain;
}

bool lists(std::string_view names, std::string_view name) {
  for (std::size_t at = 0; at <= names.size();) {
    const std::size_t end = std::min(names.find(',', at), names.size());
    if (names.substr(at, end - at) == name) return true;
    at = end + 1;
  }
  return false;
}

/// `controller` empty: the v2 hierarchy.
std::optional<Mount> mount_of(const std::string& controller, const fs::path& root) {
  std::ifstream table(root / "proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string id, parent, device, shown, point, word, type, source, options;
    words >> id >> parent >> device >> shown >> point;
    while (words >> word && word != "-") {
    }
    words >> type >> source >> options;
    const bool wanted = controller.empty() ? type == "cgroup2" : type == "cgroup" && lists(options, controller);
    if (wanted) return Mount{root / fs::path(unescaped(point)).relative_path(), unescaped(shown)};
  }
  return std::nullopt;
}

std::optional<std::string> group_of(const std::string& controller, const fs::path& root) {
  std::ifstream table(root / "proc/self/cgroup");
  for (std::string line; std::getline(table, line);) {  // hierarchy:controllers:path
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool wanted = controller.empty() ? line.starts_with("0:") && controllers.empty()
                                           : !controllers.empty() && lists(controllers, controller);
    if (wanted) return line.substr(second + 1);
  }
  return std::nullopt;
}

std::optional<double> number_in(const fs::path& file) {
  std::ifstream input(file);
  double value = 0.0;
  if (!(input >> value)) return std::nullopt;  // "max" is no number
  return value;
}

struct Found {
  fs::path file;
  double value;
};

std::optional<Found> whole_number(const fs::path& file) {
  const auto value = number_in(file);
  if (!value || *value < 0.0 || *value >= no_limit) return std::nullopt;
  return Found{file, *value};
}

std::optional<Found> cpus_of(const fs::path& group, bool v2) {
  const fs::path file = group / (v2 ? "cpu.max" : "cpu.cfs_quota_us");
  const auto quota = number_in(file);
  double period = 0.0;
  if (v2) {
    std::ifstream input(file);
    std::string skipped;
    input >> skipped >> period;
  } else {
    period = number_in(group / "cpu.cfs_period_us").value_or(0.0);
  }
  if (!quota || *quota <= 0.0 || period <= 0.0) return std::nullopt;
  return Found{file, *quota / period};
}

std::optional<Found> limit_of(Resource resource, const fs::path& group, bool v2) {
  switch (resource) {
    case Resource::cpus:
      return cpus_of(group, v2);
    case Resource::threads:
      return whole_number(group / "pids.max");
    case Resource::memory:
      return whole_number(group / (v2 ? "memory.max" : "memory.limit_in_bytes"));
  }
  return std::nullopt;
}

const char* controller_of(Resource resource) {
  switch (resource) {
    case Resource::cpus:
      return "cpu";
    case Resource::threads:
      return "pids";
    case Resource::memory:
      break;
  }
  return "memory";
}

void add_limits(Resource resource, const std::string& controller, const fs::path& root, std::vector<GroupLimit>& to) {
  const auto mount = mount_of(controller, root);
  const auto group = group_of(controller, root);
  if (!mount || !group) return;
  fs::path below = fs::path(*group).relative_path();
  const fs::path shown = fs::path(mount->root).relative_path();
  // A container may see its own group as the mount point and still be told its path on the host.
  if (!shown.empty()) below = below.lexically_relative(shown);
  const std::string text = below.string();
  if (text == "." || text.starts_with("..")) below.clear();
  for (fs::path folder = mount->point / below;; folder = folder.parent_path()) {
    if (!folder.has_filename()) folder = folder.parent_path();  // "/sys/fs/cgroup/"
    if (const auto found = limit_of(resource, folder, controller.empty())) {
      struct stat status {};
      const bool known = ::stat(folder.c_str(), &status) == 0;
      to.push_back({found->file.string(), known ? status.st_ino : 0, found->value});
    }
    if (folder == mount->point || folder == folder.parent_path()) return;
  }
}

}  // namespace

std::vector<GroupLimit> group_limits(Resource resource, const std::filesystem::path& root) {
  std::vector<GroupLimit> limits;
  add_limits(resource, controller_of(resource), root, limits);
  add_limits(resource, {}, root, limits);
  std::ranges::stable_sort(limits, {}, &GroupLimit::value);
  return limits;
}

std::string to_string(Resource resource, const GroupLimit& limit) {
  switch (resource) {
    case Resource::cpus:
      return fmt::format("{:.4g} CPU{} ({})", limit.value, limit.value == 1.0 ? "" : "s", limit.file);
    case Resource::threads:
      return fmt::format("{:.0f} threads ({})", limit.value, limit.file);
    case Resource::memory:
      break;
  }
  return fmt::format("{:.0f} MiB ({})", limit.value / 1048576.0, limit.file);
}

}  // namespace trainmark
