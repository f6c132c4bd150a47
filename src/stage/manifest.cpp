// The list of a dataset's files, in memory and beside the data. The file's form is one that a person can read and that
// cannot be cut short unnoticed; names are checked on the way in and out, because they become paths.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "core/reading.hpp"
#include "stage/files.hpp"
#include "stage/manifest.hpp"

namespace trainmark {
namespace {

constexpr std::string_view title = "trainmark manifest ";
constexpr std::string_view source_mark = "source\t";
/// A pebibyte a file, and as many samples: sums over any manifest stay far from overflow.
constexpr std::int64_t most = std::int64_t{1} << 50;

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; });
}

std::string_view fault_of(std::string_view name) {
  if (name.empty()) return "it is empty";
  if (name.front() == '/') return "it is absolute";
  if (has_control_character(name)) return "it has a control character";
  std::size_t begin = 0;
  while (begin <= name.size()) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part == "..") return "it leaves the dataset's folder";
    if (part.empty() || part == ".") return "it has an empty part";
    begin = end + 1;
  }
  return "";
}

/// The next tab-separated number of `line`, not negative.
template <class Number>
bool take(std::string_view& line, Number& value, int base = 10) {
  const std::size_t end = std::min(line.find('\t'), line.size());
  const auto [stop, status] = std::from_chars(line.data(), line.data() + end, value, base);
  if (status != std::errc{} || stop != line.data() + end || value < Number{}) return false;
  line.remove_prefix(std::min(end + 1, line.size()));
  return true;
}

bool is_hash(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

[[noreturn]] void refuse(const std::filesystem::path& path, int line, std::string what) {
  throw Error(ExitCode::data, Complaint{fmt::format("{}:{}", path.string(), line), std::move(what),
                                        "the manifest says what the data must be",
                                        "write it again with `trainmark data verify FOLDER --write`, or remove it"});
}

}  // namespace

std::int64_t Manifest::bytes() const noexcept {
  std::int64_t total = 0;
  for (const ManifestEntry& entry : entries)
    total += entry.bytes;
  return total;
}

std::int64_t Manifest::samples() const noexcept {
  std::int64_t total = 0;
  for (const ManifestEntry& entry : entries)
    total += entry.samples;
  return total;
}

bool is_safe_name(std::string_view name) { return fault_of(name).empty(); }

void check_name(std::string_view name, const std::string& where) {
  const std::string_view fault = fault_of(name);
  if (fault.empty()) return;
  throw Error(ExitCode::data,
              Complaint{where, fmt::format("the name '{}' is refused: {}", name, fault),
                        "files are written and read below the dataset's folder only", "rename the file"});
}

std::optional<ManifestEntry> parse_entry(std::string_view line, int version) {
  ManifestEntry entry;
  const std::size_t end = line.find('\t');
  if (end == std::string_view::npos) return std::nullopt;
  if (line.substr(0, end) != "-") entry.xxh3 = line.substr(0, end);
  line.remove_prefix(end + 1);
  if (!entry.xxh3.empty() && !is_hash(entry.xxh3)) return std::nullopt;
  if (!take(line, entry.bytes) || !take(line, entry.samples) || !take(line, entry.modified_ns)) return std::nullopt;
  if (version > 1 && !take(line, entry.stamp, 16)) return std::nullopt;
  entry.name = line;
  if (entry.bytes > most || entry.samples > most) return std::nullopt;
  return entry;
}

std::string to_line(const ManifestEntry& entry) {
  return fmt::format("{}\t{}\t{}\t{}\t{:x}\t{}\n", entry.xxh3.empty() ? "-" : entry.xxh3, entry.bytes, entry.samples,
                     entry.modified_ns, entry.stamp, entry.name);
}

std::string header_text(std::string_view source) {
  // A folder whose name cannot stand in a line vouches for nothing: without a source no entry is taken for its.
  return fmt::format("{}{}\n{}{}\n", title, manifest_version, source_mark,
                     source.empty() || has_control_character(source) ? "-" : source);
}

std::string to_text(const Manifest& manifest) {
  std::string text = header_text(manifest.source);
  for (const ManifestEntry& entry : manifest.entries)
    text += to_line(entry);
  text += layouts_text(manifest.entries);
  return text + end_text(text, manifest.entries.size());
}

std::string end_text(std::string_view before, std::size_t entries) {
  ContentHash hash;
  hash.add(std::as_bytes(std::span(before)));
  return fmt::format("end {}\t{}\n", entries, hash.hex());
}

Manifest parse_manifest(const std::string& text, const std::filesystem::path& path) {
  std::istringstream lines(text);
  std::string line;
  int number = 1;
  Manifest manifest;
  if (!std::getline(lines, line) || !line.starts_with(title)) {
    if (const FileKind* kind = kind_of(std::string_view(text).substr(0, kind_head_bytes)))
      refuse(path, 1, fmt::format("is {}, not a manifest", kind->name));
    refuse(path, 1, fmt::format("does not begin with '{}{}'", title, manifest_version));
  }
  if (line.ends_with('\r')) refuse(path, 1, "ends in CR LF, as lines do on Windows or after a transfer as text");
  std::string_view version = std::string_view(line).substr(title.size());
  if (!take(version, manifest.version) || !version.empty() || manifest.version < 1 ||
      manifest.version > manifest_version) {
    refuse(path, 1, fmt::format("is '{}', this program reads versions 1 to {}", line, manifest_version));
  }
  if (manifest.version > 1) {
    ++number;
    if (!std::getline(lines, line) || !line.starts_with(source_mark)) refuse(path, 2, "does not name its source");
    if (line.substr(source_mark.size()) != "-") manifest.source = line.substr(source_mark.size());
  }
  LayoutLines layouts({});
  bool in_layouts = false;
  for (auto begin = lines.tellg(); std::getline(lines, line); begin = lines.tellg()) {
    ++number;
    const std::string end = fmt::format("end {}", manifest.entries.size());
    if (manifest.version < 3 && line == end) return manifest;
    if (manifest.version >= 3 && line.starts_with(end + '\t')) {
      const std::string_view before = std::string_view(text).substr(0, static_cast<std::size_t>(begin));
      if (line + '\n' == end_text(before, manifest.entries.size())) return manifest;
      refuse(path, number, "has another hash than the lines before it: they were changed since they were written");
    }
    if (manifest.version >= 3 && line.starts_with(form_mark)) {
      if (!in_layouts) layouts = LayoutLines(manifest.entries);
      in_layouts = true;
    }
    if (in_layouts) {
      if (!layouts.take(line)) refuse(path, number, "is not 'form, layout' or 'at, first-last entry, places'");
      continue;
    }
    std::optional<ManifestEntry> entry = parse_entry(line, manifest.version);
    if (!entry) refuse(path, number, "is not 'hash, bytes, samples, time, stamp, name' separated by tabs");
    check_name(entry->name, fmt::format("{}:{}", path.string(), number));
    if (!manifest.entries.empty() && manifest.entries.back().name >= entry->name) {
      refuse(path, number, fmt::format("'{}' is out of order or there twice", entry->name));
    }
    manifest.entries.push_back(std::move(*entry));
  }
  refuse(path, number, fmt::format("is cut short after {} entries", manifest.entries.size()));
}

std::optional<std::string> manifest_text(const std::filesystem::path& folder) {
  // Taken for none where it cannot be read, it would vouch for nothing, and nobody would know.
  return read_if_there(folder / manifest_name, {.code = ExitCode::data,
                                                .wanted = "manifest",
                                                .why = "a manifest lists the dataset's files",
                                                .remedy = "remove or rename it"});
}

std::optional<Manifest> read_manifest(const std::filesystem::path& folder) {
  const std::optional<std::string> text = manifest_text(folder);
  if (!text) return std::nullopt;
  return parse_manifest(*text, folder / manifest_name);
}

void write_manifest(const std::filesystem::path& folder, const Manifest& manifest) {
  for (const ManifestEntry& entry : manifest.entries)
    check_name(entry.name, folder.string());
  const std::string text = to_text(manifest);
  PartialFile file(folder / manifest_name);
  write_all(file.descriptor(), std::as_bytes(std::span(text)), file.path());
  file.publish();
}

std::vector<std::string> manifest_differences(const Manifest& listed, const Manifest& found) {
  std::vector<std::string> differences;
  for (const ManifestEntry& entry : listed.entries) {
    const ManifestEntry* there = find_entry(found, entry.name);
    if (there == nullptr) {
      differences.push_back(fmt::format("{} is missing", entry.name));
    } else if (there->bytes != entry.bytes) {
      differences.push_back(fmt::format("{} has {} bytes instead of {}", entry.name, there->bytes, entry.bytes));
    } else if (!same_time(there->modified_ns, entry.modified_ns)) {
      differences.push_back(fmt::format("{} was written at another time", entry.name));
    }
  }
  for (const ManifestEntry& entry : found.entries) {
    if (find_entry(listed, entry.name) == nullptr) differences.push_back(fmt::format("{} is not listed", entry.name));
  }
  return differences;
}

std::vector<std::string> written_at_other_times(const Manifest& listed, const Manifest& found) {
  std::vector<std::string> names;
  for (const ManifestEntry& entry : listed.entries) {
    const ManifestEntry* there = find_entry(found, entry.name);
    if (there != nullptr && there->bytes == entry.bytes && !same_time(there->modified_ns, entry.modified_ns))
      names.push_back(entry.name);
  }
  return names;
}

void require_as_listed(const std::filesystem::path& root, const Manifest& listed, const Manifest& found) {
  std::vector<std::string> differences = manifest_differences(listed, found);
  if (differences.empty()) return;
  constexpr std::size_t shown = 3;
  const std::size_t all = differences.size();
  differences.resize(std::min(all, shown));
  throw Error(
      ExitCode::data,
      Complaint{
          (root / manifest_name).string(),
          fmt::format("{} of the files are not as it lists them: {}{}", all, fmt::join(differences, "; "),
                      all > shown ? "; ..." : ""),
          "a manifest beside the data says what a run is to train on",
          fmt::format("restore the files; if they are right as they are, check and list them anew with `trainmark "
                      "data verify {} --write`; where nothing can be written, /data/manifest \"ignore\" goes on "
                      "without it",
                      root.string())});
}

void keep_last_of_each_name(Manifest& manifest) {
  std::vector<ManifestEntry>& entries = manifest.entries;
  std::ranges::stable_sort(entries, {}, &ManifestEntry::name);
  // From behind: of equal names the first that unique() meets is the one that was added last.
  const auto kept =
      std::unique(entries.rbegin(), entries.rend(), [](const auto& a, const auto& b) { return a.name == b.name; });
  entries.erase(entries.begin(), kept.base());
}

const ManifestEntry* find_entry(const Manifest& manifest, std::string_view name) {
  const auto at =
      std::lower_bound(manifest.entries.begin(), manifest.entries.end(), name,
                       [](const ManifestEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  return at != manifest.entries.end() && at->name == name ? &*at : nullptr;
}

}  // namespace trainmark
