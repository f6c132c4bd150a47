// What a folder holds: names, sizes and sample counts, from file names and HDF5 headers alone.
#include <fmt/core.h>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "load/layout.hpp"
#include "load/scan.hpp"

namespace trainmark {
namespace fs = std::filesystem;

ManifestEntry entry_of(std::string name, const struct ::stat& info) {
  ManifestEntry entry;
  entry.name = std::move(name);
  entry.bytes = info.st_size;
  entry.modified_ns = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
  return entry;
}

ManifestEntry stat_entry(const fs::path& root, const std::string& name) {
  struct stat info {};
  const fs::path path = root / name;
  if (stat(path.c_str(), &info) != 0) {
    throw Error(ExitCode::data, Complaint{path.string(), fmt::format("cannot be examined: {}", std::strerror(errno)),
                                          "", "check the file system"});
  }
  return entry_of(name, info);
}

namespace {

/// What a manifest beside the data says of files that did not change since. Its sample counts depend on the extent of a
/// sample, so they are believed only if the first file's header agrees.
class KnownCounts {
 public:
  KnownCounts(const fs::path& root, const FormatOptions& format, const DataSchema& schema)
      : root_(root), format_(format), schema_(schema), manifest_(read_manifest(root)) {}

  void complete(ManifestEntry& entry) {
    const ManifestEntry* known = find(entry);
    if (known != nullptr && agrees_) {
      entry.samples = known->samples;
      entry.xxh3 = known->xxh3;
      return;
    }
    const FileLayout layout = resolve_layout(root_ / entry.name, format_, schema_);
    entry.samples = layout.samples;
    entry.companion = layout.companion();
    if (known == nullptr) return;
    entry.xxh3 = known->xxh3;
    agrees_ = entry.samples == known->samples;
    if (!agrees_) manifest_->entries.clear();
  }

 private:
  [[nodiscard]] const ManifestEntry* find(const ManifestEntry& entry) const {
    if (!manifest_) return nullptr;
    const auto at = std::lower_bound(manifest_->entries.begin(), manifest_->entries.end(), entry,
                                     [](const ManifestEntry& a, const ManifestEntry& b) { return a.name < b.name; });
    if (at == manifest_->entries.end() || at->name != entry.name) return nullptr;
    const bool unchanged = at->bytes == entry.bytes && at->modified_ns == entry.modified_ns && at->samples > 0;
    return unchanged ? &*at : nullptr;
  }

  const fs::path& root_;
  const FormatOptions& format_;
  const DataSchema& schema_;
  std::optional<Manifest> manifest_;
  bool agrees_ = false;
};

}  // namespace

Manifest scan_dataset(const fs::path& root, const FormatOptions& format, const DataSchema& schema,
                      const std::function<void()>& progress) {
  Manifest manifest{data_files(root, progress)};
  KnownCounts known(root, format, schema);
  for (ManifestEntry& entry : manifest.entries) {
    if (progress) progress();
    known.complete(entry);
  }
  return manifest;
}

}  // namespace trainmark
