// What a folder holds: names, sizes and sample counts, from file names and HDF5 headers alone.
#include <fmt/core.h>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "load/listed_layout.hpp"
#include "load/scan.hpp"

namespace trainmark {
namespace fs = std::filesystem;

ManifestEntry entry_of(std::string name, const struct ::stat& info, bool stable_inodes) {
  ManifestEntry entry;
  entry.name = std::move(name);
  entry.bytes = info.st_size;
  entry.modified_ns = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
  entry.stamp = stamp_of(info, stable_inodes);
  return entry;
}

ManifestEntry stat_entry(const fs::path& root, const std::string& name) {
  struct stat info {};
  const fs::path path = root / name;
  if (stat(path.c_str(), &info) != 0) {
    throw Error(ExitCode::data, system_complaint(path.string(), "cannot be examined", errno));
  }
  return entry_of(name, info, has_stable_inodes(path));
}

namespace {

/// Opens the header of an entry and takes over what it tells.
FileLayout read_header(const fs::path& root, const FormatOptions& format, const DataSchema& schema,
                       ManifestEntry& entry) {
  const fs::path path = root / entry.name;
  const Hdf5Lock lock;
  const FileHandle file = open_file(path);
  FileLayout layout = resolve_layout(file.get(), path, format, schema);
  entry.samples = layout.samples;
  entry.companion = layout.companion();
  entry.layout = to_listed(file.get(), path, layout, format, schema);
  return layout;
}

/// What a manifest beside the data says; the files must be those that it lists. Its sample counts depend on the extent
/// of a sample, so they are believed only if the first file's header agrees, and never those of a manifest of the first
/// version, which says less of what it lists. Layouts that it lists are judged by the schema as headers are.
class KnownCounts {
 public:
  KnownCounts(const fs::path& root, const FormatOptions& format, const DataSchema& schema, const ManifestUse& use)
      : root_(root),
        format_(format),
        schema_(schema),
        use_(use),
        manifest_(use.ignored ? std::nullopt : read_manifest(root)),
        forms_(format, schema) {}

  /// Raises Error{data} where `found` is not what the manifest lists. Files that differ in their times alone are so if
  /// their contents are: returns those that are to be compared.
  [[nodiscard]] std::vector<std::size_t> require(const Manifest& found) const {
    if (!manifest_) return {};
    const std::vector<std::string> other_times = written_at_other_times(*manifest_, found);
    const bool known = std::ranges::all_of(other_times, [&](const auto& name) { return !listed(name)->xxh3.empty(); });
    if (other_times.empty() || !known || manifest_differences(*manifest_, found).size() > other_times.size()) {
      require_as_listed(root_, *manifest_, found);
      return {};
    }
    std::int64_t bytes = 0;
    for (const std::string& name : other_times)
      bytes += listed(name)->bytes;
    if (use_.say) {
      use_.say(fmt::format(
          "{} of the files below {} were written at other times than {} lists, as after a copy without times: "
          "their contents ({:.1f} MiB) are compared with its hashes{}; `trainmark data verify {} --write` "
          "makes that unnecessary",
          other_times.size(), root_.string(), manifest_name, static_cast<double>(bytes) / 1048576.0,
          use_.hashes_compared ? " now" : " when they are copied", root_.string()));
    }
    std::vector<std::size_t> unread;
    if (!use_.hashes_compared) return unread;
    for (std::size_t i = 0; i < found.entries.size(); ++i)
      if (std::ranges::binary_search(other_times, found.entries[i].name)) unread.push_back(i);
    return unread;
  }

  /// Takes over what is known of an entry, and tells its form; false where its header has to tell its samples.
  [[nodiscard]] bool recall(ManifestEntry& entry, FileForms& forms) {
    const ManifestEntry* known = manifest_ ? listed(entry.name) : nullptr;
    if (known == nullptr) return false;
    entry.xxh3 = known->xxh3;
    if (manifest_->version < 2 || known->samples <= 0 || agrees_ == Agreement::no) return false;
    if (agrees_ == Agreement::unknown) {
      const FileLayout layout = read_header(root_, format_, schema_, entry);
      const bool same_layout = !layout_of(*known, entry) || known->layout == entry.layout;
      agrees_ = entry.samples == known->samples && same_layout ? Agreement::yes : Agreement::no;
      form_ = form_of(layout, format_);
      const bool alike = layout.layout == DatasetLayout::block || layout.layout == DatasetLayout::universe;
      if (alike && !form_.empty()) each_ = entry.samples;
      forms.add(form_, entry.name);
      return true;
    }
    if (const std::optional<FileLayout> layout = layout_of(*known, entry)) {
      if (layout->samples != known->samples) return false;
      entry.samples = known->samples;
      entry.layout = known->layout;
      forms.add(form_of(*layout, format_), entry.name);
      return true;
    }
    if (use_.all_layouts && !schema_.images) return false;
    // Of another form than the first: its header must tell which.
    if (each_ && known->samples != *each_) return false;
    entry.samples = known->samples;
    forms.add(form_, entry.name);
    return true;
  }

 private:
  /// Of the very file that was listed: one of equal size and time may hold its values elsewhere.
  [[nodiscard]] std::optional<FileLayout> layout_of(const ManifestEntry& known, const ManifestEntry& entry) {
    if (known.stamp == 0 || known.stamp != entry.stamp) return std::nullopt;
    return forms_.layout(known.layout, root_ / known.name, known.bytes);
  }

  [[nodiscard]] const ManifestEntry* listed(std::string_view name) const {
    const auto at = std::ranges::lower_bound(manifest_->entries, name, {}, &ManifestEntry::name);
    return at != manifest_->entries.end() && at->name == name ? &*at : nullptr;
  }

  enum class Agreement { unknown, yes, no };

  const fs::path& root_;
  const FormatOptions& format_;
  const DataSchema& schema_;
  const ManifestUse& use_;
  std::optional<Manifest> manifest_;
  FormReader forms_;
  Agreement agrees_ = Agreement::unknown;
  std::string form_;                    // of the first file
  std::optional<std::int64_t> each_{};  // samples of every file, where all have as many
};

}  // namespace

std::string complete_entry(const fs::path& root, const FormatOptions& format, const DataSchema& schema,
                           ManifestEntry& entry) {
  return form_of(read_header(root, format, schema, entry), format);
}

void require_content(const fs::path& root, const ManifestEntry& entry, const std::function<void()>& progress) {
  const std::string hash = hash_file(root / entry.name, [&](std::int64_t) {
    if (progress) progress();
  });
  if (hash == entry.xxh3) return;
  throw Error(
      ExitCode::data,
      Complaint{(root / entry.name).string(),
                fmt::format("was written at another time than {} lists, and its content has XXH3 {} instead of {}",
                            manifest_name, hash, entry.xxh3),
                "a manifest beside the data says what a run is to train on",
                fmt::format("restore the file; if it is right as it is, list the files anew with `trainmark data "
                            "verify {} --write`",
                            root.string())});
}

Listing list_dataset(const fs::path& root, const FormatOptions& format, const DataSchema& schema,
                     const std::function<void()>& progress, const ManifestUse& use) {
  Listing listing{Manifest{data_files(root, progress)}, {}, {}, {}};
  KnownCounts known(root, format, schema, use);
  listing.unread = known.require(listing.manifest);
  for (std::size_t i = 0; i < listing.manifest.entries.size(); ++i) {
    if (progress) progress();
    ManifestEntry& entry = listing.manifest.entries[i];
    if (!known.recall(entry, listing.forms)) listing.unopened.push_back(i);
  }
  return listing;
}

Manifest scan_dataset(const fs::path& root, const FormatOptions& format, const DataSchema& schema,
                      const std::function<void()>& progress, const ManifestUse& use) {
  Listing listing = list_dataset(root, format, schema, progress, use);
  const Clock clock;
  for (const std::size_t i : listing.unread)
    require_content(root, listing.manifest.entries[i], progress);
  if (!listing.unread.empty() && use.say)
    use.say(fmt::format("their contents are as listed ({:.1f} s)", clock.seconds()));
  for (const std::size_t i : listing.unopened) {
    if (progress) progress();
    ManifestEntry& entry = listing.manifest.entries[i];
    listing.forms.add(complete_entry(root, format, schema, entry), entry.name);
  }
  listing.forms.require_one(root);
  return std::move(listing.manifest);
}

}  // namespace trainmark
