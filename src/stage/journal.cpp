// Journals are text. Each run that was killed left a part in them that begins as a manifest does and has no end.
#include "stage/journal.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <sstream>

#include "core/reading.hpp"

namespace trainmark {
namespace {

constexpr std::string_view prefix = ".trainmark.journal.";

/// Anybody's.
std::vector<std::filesystem::path> all_journals_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code status;
  for (const auto& entry : std::filesystem::directory_iterator(folder, status))
    if (entry.path().filename().string().starts_with(prefix) && facts_of(entry.path())) found.push_back(entry.path());
  return found;
}

/// Those whose word can be taken.
std::vector<std::filesystem::path> journals_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found = all_journals_in(folder);
  std::erase_if(found, belongs_to_another);
  return found;
}

/// Lines of entries are the same in both.
bool begins_journal(std::string_view line) { return line == "trainmark manifest 2" || line == "trainmark manifest 3"; }

}  // namespace

Journal::Journal(const std::filesystem::path& folder, int node_rank, std::string_view source)
    : path_(folder / fmt::format("{}{}", prefix, node_rank)),
      file_(open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644)) {
  noted_ = '\n' + header_text(source);  // on a line of its own, whatever an earlier run was in the middle of
  flush();
}

void Journal::flush() noexcept {
  if (!file_ || noted_.empty()) return;
  try {
    write_all(file_.get(), std::as_bytes(std::span(noted_)), path_);
  } catch (const std::exception&) {
    file_.reset();  // a torn line must stay the last one
  }
  noted_.clear();
}

void read_journals(const std::filesystem::path& folder, Manifest& known, JournalsOf which) {
  const std::string ours = header_text(known.source);
  const std::string_view source = std::string_view(ours).substr(ours.find('\n') + 1);
  for (const std::filesystem::path& path : journals_in(folder)) {
    std::istringstream file(read_if_possible(path).value_or(""));
    bool wanted = which == JournalsOf::any_source;
    for (std::string line, before; std::getline(file, line) && !file.eof(); before = line) {
      const bool begins = begins_journal(line) || begins_journal(before);
      if (begins && which == JournalsOf::this_source) wanted = begins_journal(before) && line + '\n' == source;
      const std::optional<ManifestEntry> entry = wanted ? parse_entry(line, manifest_version) : std::nullopt;
      if (entry && is_safe_name(entry->name)) known.entries.push_back(*entry);
    }
  }
  keep_last_of_each_name(known);
}

bool is_staged_in_part(const std::filesystem::path& folder) { return !all_journals_in(folder).empty(); }

void remove_journals(const std::filesystem::path& folder) noexcept {
  try {
    for (const std::filesystem::path& path : all_journals_in(folder))
      unlink(path.c_str());
  } catch (const std::exception&) {  // out of memory: they stay, and are read again
  }
}

}  // namespace trainmark
