// What a folder holds: names, sizes and sample counts, from file names and HDF5 headers alone.
#include <fmt/core.h>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "load/layout.hpp"
#include "load/scan.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

bool is_data_file(const fs::path& path) {
  // Names that begin with a dot are partial files of a copy under way, or nobody's business.
  const std::string extension = path.extension().string();
  return path.filename().string().front() != '.' && (extension == ".hdf5" || extension == ".h5");
}

}  // namespace

std::vector<std::string> data_files(const fs::path& root) {
  std::error_code status;
  if (!fs::is_directory(root, status)) {
    throw Error(ExitCode::data,
                Complaint{root.string(), fs::exists(root, status) ? "is not a folder" : "the folder does not exist",
                          "a dataset is a folder of HDF5 files",
                          "check data.train and data.validation, or make one with `trainmark data generate`"});
  }
  std::vector<std::string> names;
  const auto options = fs::directory_options::follow_directory_symlink;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root, options)) {
    if (is_data_file(entry.path()) && entry.is_regular_file())
      names.push_back(entry.path().lexically_relative(root).generic_string());
  }
  if (names.empty()) {
    throw Error(ExitCode::data, Complaint{root.string(), "has no *.hdf5 or *.h5 files", "nothing could be read",
                                          "check the path, or make a dataset with `trainmark data generate`"});
  }
  std::sort(names.begin(), names.end());
  return names;
}

ManifestEntry stat_entry(const fs::path& root, const std::string& name) {
  struct stat info {};
  const fs::path path = root / name;
  if (stat(path.c_str(), &info) != 0) {
    throw Error(ExitCode::data, Complaint{path.string(), fmt::format("cannot be examined: {}", std::strerror(errno)),
                                          "", "check the file system"});
  }
  ManifestEntry entry;
  entry.name = name;
  entry.bytes = info.st_size;
  entry.modified_ns = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
  return entry;
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

Manifest scan_dataset(const fs::path& root, const FormatOptions& format, const DataSchema& schema) {
  const std::vector<std::string> names = data_files(root);
  KnownCounts known(root, format, schema);
  Manifest manifest;
  for (const std::string& name : names) {
    manifest.entries.push_back(stat_entry(root, name));
    known.complete(manifest.entries.back());
  }
  return manifest;
}

}  // namespace trainmark
