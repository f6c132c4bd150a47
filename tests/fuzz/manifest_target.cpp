// The manifest beside a dataset and the journal of a copy under way. A manifest must be read as it was written or raise
// Error{data}; a journal, cut short at any byte, must add nothing but entries that may be used.
#include <fmt/core.h>

#include "fuzz/fuzz.hpp"
#include "stage/journal.hpp"
#include "stage/manifest.hpp"

namespace trainmark::fuzz {
namespace {

std::vector<Seed> seeds() {
  Manifest manifest;
  for (const char* name : {"a.hdf5", "b/c d.h5", "b/\xc3\xa9.hdf5", "z.hdf5"})
    manifest.entries.push_back({name, 4096, 16, 1700000000123456789, std::string(32, 'a')});
  manifest.entries.back().xxh3.clear();
  const auto form = std::make_shared<const std::string>(R"([{"dataset":"x","dims":[4]}])");
  manifest.entries[0].layout = manifest.entries[1].layout = {form, "2048"};
  manifest.entries[3].layout = {form, "2048 96 0"};
  std::string journal = header_text(manifest.source);
  for (const ManifestEntry& entry : manifest.entries)
    journal += to_line(entry);
  return {{to_text(manifest)}, {journal}, {to_text({})}, {to_text(manifest) + "\n=== journal\n" + journal}};
}

/// Mutated text would nearly always end with another hash than its own: as if who changed it had hashed it anew.
std::string with_own_hash(std::string_view text) {
  const std::size_t end = text.rfind("\nend ");
  if (end == std::string_view::npos) return std::string(text);
  const std::string_view before = text.substr(0, end + 1), last = text.substr(end + 1);
  const std::size_t tab = last.find('\t');
  if (tab == std::string_view::npos) return std::string(text);
  const std::string anew = end_text(before, 0);
  return std::string(before) + std::string(last.substr(0, tab)) + anew.substr(anew.find('\t'));
}

void check_sound(const Manifest& manifest) {
  for (std::size_t i = 0; i < manifest.entries.size(); ++i) {
    const ManifestEntry& entry = manifest.entries[i];
    require(is_safe_name(entry.name), "a name stays below the folder", entry.name);
    require(entry.bytes >= 0 && entry.samples >= 0, "counts are not negative", entry.name);
    require(i == 0 || manifest.entries[i - 1].name < entry.name, "entries are sorted, each there once", entry.name);
    require(find_entry(manifest, entry.name) == &entry, "an entry is found by its name", entry.name);
  }
  require(manifest.bytes() >= 0 && manifest.samples() >= 0, "sums are not negative",
          fmt::format("{} {}", manifest.bytes(), manifest.samples()));
}

}  // namespace

const Target& target() {
  static const Target target{"manifest", true, seeds};
  return target;
}

}  // namespace trainmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainmark;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  Manifest known;
  try {
    known = parse_manifest(fuzz::with_own_hash(fuzz::part_of(input, "")), "m");
    fuzz::check_sound(known);
    const std::string text = to_text(known);
    fuzz::require(to_text(parse_manifest(text, "m")) == text, "a manifest is written as it was read", text);
  } catch (const Error& error) {
    fuzz::require(error.code() == ExitCode::data, "a broken manifest is a fault of data", error.what());
  }
  const std::string_view journal = fuzz::part_of(input, "journal");
  fuzz::write_file(fuzz::scratch() / ".trainmark.journal.0", journal.empty() ? fuzz::part_of(input, "") : journal);
  try {
    read_journals(fuzz::scratch(), known);
    fuzz::check_sound(known);
  } catch (const Error& error) {
    fuzz::require(error.code() == ExitCode::data, "a broken journal is a fault of data", error.what());
  }
  return 0;
}
