// Every byte of a dataset read and compared with what its manifest says.
#include <fmt/core.h>

#include <algorithm>

#include "load/listed_layout.hpp"
#include "load/scan.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

/// Opens the file and reads all its samples; raises Error{data} at the first that is wrong.
void read_all_samples(const fs::path& root, const FormatOptions& format, const DataSchema& schema, FileForms& forms,
                      ManifestEntry& entry) {
  forms.add(complete_entry(root, format, schema, entry), entry.name);
  const auto source = open_hdf5(root, Manifest{{entry}}, format, schema, Values::legal, {Crop::whole});
  std::vector<std::vector<std::byte>> memory;
  SampleView view;
  for (const Field& field : schema.fields)
    memory.emplace_back(field.bytes());
  for (auto& bytes : memory)
    view.emplace_back(bytes);
  for (std::int64_t i = 0; i < source->size(); ++i)
    source->read({.sample = i}, view);
}

void compare(const ManifestEntry& found, const ManifestEntry& listed, const FormatOptions& format,
             const DataSchema& schema, std::vector<std::string>& differences) {
  const auto differs = [&](std::string_view what, const auto& is, const auto& was) {
    differences.push_back(fmt::format("{}: {} {}, the manifest says {}", found.name, what, is, was));
  };
  if (found.bytes != listed.bytes) return differs("bytes", found.bytes, listed.bytes);
  if (!listed.xxh3.empty() && found.xxh3 != listed.xxh3) return differs("XXH3", found.xxh3, listed.xxh3);
  if (found.samples != listed.samples) differs("samples", found.samples, listed.samples);
  // A layout that answers for other names of datasets says nothing here.
  if (!listed.layout.form || !fields_of_form(*listed.layout.form, format, schema) || found.layout == listed.layout)
    return;
  const auto text = [](const ListedLayout& layout) {
    return layout.form ? fmt::format("{} at {}", *layout.form, layout.places) : "is for the header to tell";
  };
  differs("layout", text(found.layout), text(listed.layout));
}

void compare(const Manifest& found, const Manifest& listed, const FormatOptions& format, const DataSchema& schema,
             std::vector<std::string>& differences) {
  auto at = found.entries.begin();
  for (const ManifestEntry& entry : listed.entries) {
    for (; at != found.entries.end() && at->name < entry.name; ++at)
      differences.push_back(fmt::format("{}: is not in the manifest", at->name));
    if (at == found.entries.end() || at->name != entry.name) {
      differences.push_back(fmt::format("{}: is missing, the manifest lists it", entry.name));
    } else {
      compare(*at++, entry, format, schema, differences);
    }
  }
  for (; at != found.entries.end(); ++at)
    differences.push_back(fmt::format("{}: is not in the manifest", at->name));
}

}  // namespace

Verification verify_dataset(const fs::path& root, const FormatOptions& format, const DataSchema& schema, bool write,
                            const std::function<void(std::int64_t bytes)>& progress) {
  const Clock clock;
  Verification result;
  const std::vector<ManifestEntry> files = data_files(root);
  const DataSchema wanted = schema_of_file(root / files.front().name, format, schema);
  const std::optional<Manifest> listed = write ? std::nullopt : read_manifest(root);
  result.manifest_found = listed.has_value();
  Manifest found;
  FileForms forms;
  bool sound = true;
  const auto add_fault = [&](const Error& error) {
    sound = false;
    result.differences.emplace_back(error.what());
  };
  for (const ManifestEntry& file : files) {
    ManifestEntry entry = stat_entry(root, file.name);  // anew: the files before this one may have taken hours
    try {
      entry.xxh3 = hash_file(root / entry.name, progress);
      read_all_samples(root, format, wanted, forms, entry);
      if (write || listed) require_self_contained(root, Manifest{{entry}}, "a manifest vouches for");
    } catch (const Error& error) {
      add_fault(error);
    }
    found.entries.push_back(std::move(entry));
  }
  try {
    forms.require_one(root);
  } catch (const Error& error) {
    add_fault(error);
  }
  result.files = std::ssize(found.entries);
  result.samples = found.samples();
  result.bytes = found.bytes();
  if (listed) compare(found, *listed, format, wanted, result.differences);
  if (write && sound) {
    write_manifest(root, found);
    result.manifest_written = true;
  }
  result.seconds = clock.seconds();
  return result;
}

}  // namespace trainmark
