// What a process's reads cost the storage (man 5 proc, /proc/pid/io).
#include <fstream>

#include "trainmark/process.hpp"

namespace trainmark {

std::optional<std::int64_t> bytes_from_storage(const std::filesystem::path& root) {
  std::ifstream table(root / "proc/self/io");
  std::string word;
  for (std::int64_t value = 0; table >> word >> value;)
    if (word == "read_bytes:") return value;
  return std::nullopt;
}

}  // namespace trainmark
