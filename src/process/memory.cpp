// Memory that is left: the machine's (man 5 proc, MemAvailable) and that of control groups (memory.stat), which batch
// systems set for a job. Files in a tmpfs are memory of whoever writes them.
#include <algorithm>
#include <fstream>
#include <limits>

#include "trainmark/process.hpp"

namespace trainmark {
namespace fs = std::filesystem;

namespace {

/// The number behind a word that begins a line; nothing where there is none.
double number_behind(const fs::path& file, const std::string& word, double otherwise) {
  std::ifstream input(file);
  std::string first;
  for (double value = 0.0; input >> first; input.ignore(std::numeric_limits<std::streamsize>::max(), '\n'))
    if (first == word && input >> value) return value;
  return otherwise;
}

double number_in(const fs::path& file) {
  std::ifstream input(file);
  double value = 0.0;
  return input >> value ? value : 0.0;
}

/// Bytes in use below a limit that cannot be had back: pages of files on disks can.
double used_below(const fs::path& limit) {
  const fs::path group = limit.parent_path(), stat = group / "memory.stat";
  const bool v2 = limit.filename() == "memory.max";
  const std::string total = v2 ? "" : "total_";
  const double used = number_in(group / (v2 ? "memory.current" : "memory.usage_in_bytes"));
  const double cached =
      number_behind(stat, total + "inactive_file", 0.0) + number_behind(stat, total + "active_file", 0.0);
  return std::max(0.0, used - cached);
}

}  // namespace

MemoryRoom memory_room(const fs::path& root) {
  constexpr double kib = 1024.0;
  MemoryRoom least = {
      number_behind(root / "proc/meminfo", "MemAvailable:", std::numeric_limits<double>::max() / kib) * kib,
      "/proc/meminfo"};
  for (const GroupLimit& limit : group_limits(Resource::memory, root)) {
    const double left = std::max(0.0, limit.value - used_below(limit.file));
    if (left < least.bytes) least = {left, to_string(Resource::memory, limit)};
  }
  return least;
}

}  // namespace trainmark
