// What the staging engine does with manifests beyond reading and writing them: text to send, names to check, look-up.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "trainmark/stage.hpp"

namespace trainmark {

/// The form that is written.
inline constexpr int manifest_version = 3;

/// Raises Error{data} for a name that is absolute, leaves the folder or would corrupt a line of text.
void check_name(std::string_view name, const std::string& where);

[[nodiscard]] bool is_safe_name(std::string_view name);

[[nodiscard]] std::string to_line(const ManifestEntry& entry);
/// A line without its newline, of a manifest of that version.
[[nodiscard]] std::optional<ManifestEntry> parse_entry(std::string_view line, int version);
/// The first lines: version, and where the files come from.
[[nodiscard]] std::string header_text(std::string_view source);
/// With which a line of a layout that files share begins.
inline constexpr std::string_view form_mark = "form\t";
/// The last line of a text that begins so.
[[nodiscard]] std::string end_text(std::string_view before, std::size_t entries);
/// Reads layouts line by line into those entries.
class LayoutLines {
 public:
  explicit LayoutLines(std::span<ManifestEntry> entries) : entries_(entries) {}
  /// False where it is no such line, or speaks of other entries or of one that has a layout.
  [[nodiscard]] bool take(std::string_view line);

 private:
  std::span<ManifestEntry> entries_;
  std::shared_ptr<const std::string> form_;
};
/// The file's text; nothing where there is none.
[[nodiscard]] std::optional<std::string> manifest_text(const std::filesystem::path& folder);

/// Keeps the manifest sorted; replaces an entry of the same name.
void keep_last_of_each_name(Manifest& manifest);
/// By name, in a sorted manifest; null if absent.
[[nodiscard]] const ManifestEntry* find_entry(const Manifest& manifest, std::string_view name);

}  // namespace trainmark
