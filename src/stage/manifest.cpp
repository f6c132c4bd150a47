// The list of a dataset's files, in memory and beside the data. The file's form is one that a person can read and that
// cannot be cut short unnoticed; names are checked on the way in and out, because they become paths.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <sstream>

#include "stage/files.hpp"
#include "stage/manifest.hpp"

namespace trainmark {
namespace {

constexpr std::string_view first_line = "trainmark manifest 1";
/// A pebibyte a file, and as many samples: sums over any manifest stay far from overflow.
constexpr std::int64_t most = std::int64_t{1} << 50;

std::string_view fault_of(std::string_view name) {
  if (name.empty()) return "it is empty";
  if (name.front() == '/') return "it is absolute";
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 32 || c == 127) return "it has a control character";
  }
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

/// The next tab-separated number of `line`.
bool take(std::string_view& line, std::int64_t& value) {
  const std::size_t end = std::min(line.find('\t'), line.size());
  const auto [stop, status] = std::from_chars(line.data(), line.data() + end, value);
  if (status != std::errc{} || stop != line.data() + end || value < 0) return false;
  line.remove_prefix(std::min(end + 1, line.size()));
  return true;
}

bool is_hash(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

[[noreturn]] void refuse(const std::filesystem::path& path, int line, std::string what) {
  throw Error(ExitCode::data, Complaint{fmt::format("{}:{}", path.string(), line), std::move(what),
                                        "the manifest says what the data must be",
                                        "write it again with `trainmark data verify --write`, or remove it"});
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

std::optional<ManifestEntry> parse_entry(std::string_view line) {
  ManifestEntry entry;
  const std::size_t end = line.find('\t');
  if (end == std::string_view::npos) return std::nullopt;
  if (line.substr(0, end) != "-") entry.xxh3 = line.substr(0, end);
  line.remove_prefix(end + 1);
  if (!entry.xxh3.empty() && !is_hash(entry.xxh3)) return std::nullopt;
  if (!take(line, entry.bytes) || !take(line, entry.samples) || !take(line, entry.modified_ns)) return std::nullopt;
  entry.name = line;
  if (entry.bytes > most || entry.samples > most) return std::nullopt;
  return entry;
}

std::string to_line(const ManifestEntry& entry) {
  return fmt::format("{}\t{}\t{}\t{}\t{}\n", entry.xxh3.empty() ? "-" : entry.xxh3, entry.bytes, entry.samples,
                     entry.modified_ns, entry.name);
}

std::string to_text(const Manifest& manifest) {
  std::string text = fmt::format("{}\n", first_line);
  for (const ManifestEntry& entry : manifest.entries)
    text += to_line(entry);
  return text + fmt::format("end {}\n", manifest.entries.size());
}

Manifest parse_manifest(const std::string& text, const std::filesystem::path& path) {
  std::istringstream lines(text);
  std::string line;
  int number = 1;
  if (!std::getline(lines, line) || line != first_line)
    refuse(path, 1, fmt::format("does not begin with '{}'", first_line));
  Manifest manifest;
  while (std::getline(lines, line)) {
    ++number;
    if (line == fmt::format("end {}", manifest.entries.size())) return manifest;
    std::optional<ManifestEntry> entry = parse_entry(line);
    if (!entry) refuse(path, number, "is not 'hash, bytes, samples, time, name' separated by tabs");
    check_name(entry->name, fmt::format("{}:{}", path.string(), number));
    if (!manifest.entries.empty() && manifest.entries.back().name >= entry->name) {
      refuse(path, number, fmt::format("'{}' is out of order or there twice", entry->name));
    }
    manifest.entries.push_back(std::move(*entry));
  }
  refuse(path, number, fmt::format("is cut short after {} entries", manifest.entries.size()));
}

std::optional<std::string> manifest_text(const std::filesystem::path& folder) {
  std::ifstream file(folder / manifest_name, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
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

void insert_entry(Manifest& manifest, const ManifestEntry& entry) {
  const auto at = std::lower_bound(manifest.entries.begin(), manifest.entries.end(), entry,
                                   [](const ManifestEntry& a, const ManifestEntry& b) { return a.name < b.name; });
  if (at != manifest.entries.end() && at->name == entry.name) {
    *at = entry;
  } else {
    manifest.entries.insert(at, entry);
  }
}

const ManifestEntry* find_entry(const Manifest& manifest, std::string_view name) {
  const auto at =
      std::lower_bound(manifest.entries.begin(), manifest.entries.end(), name,
                       [](const ManifestEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  return at != manifest.entries.end() && at->name == name ? &*at : nullptr;
}

}  // namespace trainmark
