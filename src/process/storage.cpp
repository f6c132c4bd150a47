// What a process's reads cost the storage (man 5 proc, /proc/pid/io).
#include <fstream>

#include "trainmark/process.hpp"

namespace trainmark {
namespace {

std::optional<std::int64_t> read_bytes_in(const std::filesystem::path& file) {
  std::ifstream table(file);
  std::string word;
  for (std::int64_t value = 0; table >> word >> value;)
    if (word == "read_bytes:") return value;
  return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> bytes_from_storage(const std::filesystem::path& root) {
  return read_bytes_in(root / "proc/self/io");
}

std::optional<std::int64_t> thread_bytes_from_storage(const std::filesystem::path& root) {
  return read_bytes_in(root / "proc/thread-self/io");
}

}  // namespace trainmark
