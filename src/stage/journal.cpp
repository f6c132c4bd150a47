// Journals are text, a manifest line an entry.
#include "stage/journal.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <fstream>

#include "stage/manifest.hpp"

namespace trainmark {
namespace {

constexpr std::string_view prefix = ".trainmark.journal.";

std::vector<std::filesystem::path> journals_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code status;
  for (const auto& entry : std::filesystem::directory_iterator(folder, status)) {
    if (entry.path().filename().string().starts_with(prefix) && facts_of(entry.path())) found.push_back(entry.path());
  }
  return found;
}

}  // namespace

Journal::Journal(const std::filesystem::path& folder, int node_rank)
    : path_(folder / fmt::format("{}{}", prefix, node_rank)),
      file_(open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644)) {}

void Journal::note(const ManifestEntry& entry) noexcept {
  if (!file_) return;
  try {
    const std::string line = to_line(entry);
    write_all(file_.get(), std::as_bytes(std::span(line)), path_);
  } catch (const std::exception&) {
    file_.reset();  // a torn line must stay the last one
  }
}

void read_journals(const std::filesystem::path& folder, Manifest& known) {
  for (const std::filesystem::path& path : journals_in(folder)) {
    std::ifstream file(path, std::ios::binary);
    for (std::string line; std::getline(file, line) && !file.eof();) {
      const std::optional<ManifestEntry> entry = parse_entry(line);
      if (entry && is_safe_name(entry->name)) insert_entry(known, *entry);
    }
  }
}

void remove_journals(const std::filesystem::path& folder) noexcept {
  try {
    for (const std::filesystem::path& path : journals_in(folder))
      unlink(path.c_str());
  } catch (const std::exception&) {  // out of memory: they stay, and are read again
  }
}

}  // namespace trainmark
