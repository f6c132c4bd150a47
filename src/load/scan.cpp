// What a folder holds: names, sizes and sample counts, from file names and HDF5 headers alone.
#include <fmt/core.h>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "load/layout.hpp"
#include "load/scan.hpp"

namespace trainmark {
namespace fs = std::filesystem;

ManifestEntry entry_of(std::string name, const struct ::stat& info) {
  ManifestEntry entry;
  entry.name = std::move(name);
  entry.bytes = info.st_size;
  entry.modified_ns = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
  entry.stamp = stamp_of(info);
  return entry;
}

ManifestEntry stat_entry(const fs::path& root, const std::string& name) {
  struct stat info {};
  const fs::path path = root / name;
  if (stat(path.c_str(), &info) != 0) {
    throw Error(ExitCode::data, system_complaint(path.string(), "cannot be examined", errno));
  }
  return entry_of(name, info);
}

namespace {

/// What a manifest beside the data says; the files must be those that it lists. Its sample counts depend on the extent
/// of a sample, so they are believed only if the first file's header agrees, and never those of a manifest of the first
/// version, which says less of what it lists.
class KnownCounts {
 public:
  KnownCounts(const fs::path& root, const FormatOptions& format, const DataSchema& schema)
      : root_(root), format_(format), schema_(schema), manifest_(read_manifest(root)) {}

  /// Raises Error{data} where `found` is not what the manifest lists.
  void require(const Manifest& found) const {
    if (manifest_) require_as_listed(root_, *manifest_, found);
  }

  void complete(ManifestEntry& entry) {
    const ManifestEntry* known = find(entry);
    if (known != nullptr) entry.xxh3 = known->xxh3;
    const bool counted = known != nullptr && manifest_->version > 1 && known->samples > 0 && agrees_ != Agreement::no;
    if (counted && agrees_ == Agreement::yes) {
      entry.samples = known->samples;
      return;
    }
    const FileLayout layout = resolve_layout(root_ / entry.name, format_, schema_);
    entry.samples = layout.samples;
    entry.companion = layout.companion();
    if (counted) agrees_ = entry.samples == known->samples ? Agreement::yes : Agreement::no;
  }

 private:
  [[nodiscard]] const ManifestEntry* find(const ManifestEntry& entry) const {
    if (!manifest_) return nullptr;
    const auto at = std::lower_bound(manifest_->entries.begin(), manifest_->entries.end(), entry,
                                     [](const ManifestEntry& a, const ManifestEntry& b) { return a.name < b.name; });
    return at != manifest_->entries.end() && at->name == entry.name ? &*at : nullptr;
  }

  enum class Agreement { unknown, yes, no };

  const fs::path& root_;
  const FormatOptions& format_;
  const DataSchema& schema_;
  std::optional<Manifest> manifest_;
  Agreement agrees_ = Agreement::unknown;
};

}  // namespace

Manifest scan_dataset(const fs::path& root, const FormatOptions& format, const DataSchema& schema,
                      const std::function<void()>& progress) {
  Manifest manifest{data_files(root, progress)};
  KnownCounts known(root, format, schema);
  known.require(manifest);
  for (ManifestEntry& entry : manifest.entries) {
    if (progress) progress();
    known.complete(entry);
  }
  return manifest;
}

}  // namespace trainmark
