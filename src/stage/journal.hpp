// What was copied so far, kept beside the data while staging is under way, so that a run that was killed can go on
// where it stopped: the manifest is only written when all is there.
#pragma once

#include <filesystem>

#include "stage/files.hpp"
#include "stage/manifest.hpp"

namespace trainmark {

/// One rank's list, appended to after each commit of published files.
class Journal {
 public:
  Journal(const std::filesystem::path& folder, int node_rank, std::string_view source);
  ~Journal() { flush(); }
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  /// Kept until the next flush.
  void note(const ManifestEntry& entry) { noted_ += to_line(entry); }
  /// Best effort: what is not noted is copied again.
  void flush() noexcept;

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  std::string noted_;
};

enum class JournalsOf : std::uint8_t { this_source, any_source };
/// Adds what the folder's journals say of files from `known.source`, or from any; a line cut short by a kill is left
/// out.
void read_journals(const std::filesystem::path& folder, Manifest& known, JournalsOf which = JournalsOf::this_source);
/// Whether staging to this folder has begun, by whomever, and not come to its end: files may be missing there.
[[nodiscard]] bool is_staged_in_part(const std::filesystem::path& folder);
void remove_journals(const std::filesystem::path& folder) noexcept;

}  // namespace trainmark
