// Samples of a folder of HDF5 files. A file's header is read when its first sample is asked for, then never again.
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>

#include "load/coded_images.hpp"
#include "load/descriptors.hpp"
#include "load/listed_layout.hpp"
#include "load/region_reader.hpp"
#include "load/values.hpp"

namespace trainmark {
namespace {

/// Two splits keep theirs open at a time, beside what MPI, logs and the library need.
std::size_t most_open_files() { return std::clamp<std::uint64_t>(open_file_limit() / 4, 2, 64); }

class Hdf5Source final : public SampleSource {
 public:
  Hdf5Source(std::filesystem::path root, const Manifest& manifest, FormatOptions format, DataSchema schema,
             Values values, const Cropping& cropping, const std::filesystem::path& meanwhile,
             const std::vector<ContainerPlace>& places)
      : root_(std::move(root)),
        format_(std::move(format)),
        schema_(std::move(schema)),
        values_(values),
        cropping_(cropping),
        cache_(schema_.images && cropping.crop == Crop::random && cropping.cache_bytes > 0
                   ? std::make_unique<ImageCache>(cropping.cache_bytes)
                   : nullptr),
        descriptors_(most_open_files()) {
    for (const ManifestEntry& entry : manifest.entries) {
      const ContainerPlace place = places.empty() ? ContainerPlace{} : places.at(files_.size());
      files_.push_back(std::make_unique<File>());
      files_.back()->path = root_ / entry.name;
      if (place.container >= 0) lies_in_container(*files_.back(), place, entry);
      if (!meanwhile.empty()) files_.back()->meanwhile = meanwhile / entry.name;
      files_.back()->staged = meanwhile.empty();
      files_.back()->samples = entry.samples;
      files_.back()->bytes = entry.bytes;
      files_.back()->listed = entry.layout;
      files_.back()->modified_ns = entry.modified_ns;
      begins_.push_back(size_);
      size_ += entry.samples;
    }
    found_legal_ = std::vector<std::atomic<bool>>(static_cast<std::size_t>(size_));
  }

  [[nodiscard]] std::int64_t size() const override { return size_; }
  [[nodiscard]] KeptStats kept() const override { return cache_ ? cache_->stats() : KeptStats{}; }

  [[nodiscard]] PlaceStats places() const override {
    return {at_source_, at_target_, static_cast<std::int64_t>(schema_.sample_bytes())};
  }

  ReadFrom read(const Visit& visit, const SampleView& to) override {
    const std::int64_t index = visit.sample;
    TRAINMARK_CHECK(index >= 0 && index < size_, fmt::format("sample {} of {}", index, size_));
    const auto after = std::upper_bound(begins_.begin(), begins_.end(), index);
    const auto number = static_cast<std::size_t>(after - begins_.begin()) - 1;
    File& file = *files_[number];
    const bool staged = is_staged_now(file);
    const std::filesystem::path& path = staged ? file.path : file.meanwhile;
    const auto descriptor = opened(staged ? number : number + files_.size(), file, path);
    const std::int64_t within = index - begins_[number];
    const OpenFile open{path, descriptor->get(), within, file.range};
    const FileLayout& layout = layout_of(file, open);
    ReadFrom from = ReadFrom::files;
    for (std::size_t at = 0; at < to.size(); ++at) {
      if (at == 0 && layout.layout == DatasetLayout::jpeg) {
        from = read_image(open, layout, schema_, cropping_, visit, cache_.get(), to[at]);
      } else {
        read_box(open, layout.fields[at], box_of(layout, schema_, at, within), schema_.fields[at], to[at]);
      }
    }
    if (from == ReadFrom::files) ++(staged ? at_target_ : at_source_);
    // Once a sample: later epochs read the same bytes.
    std::atomic<bool>& found_legal = found_legal_[static_cast<std::size_t>(index)];
    if (values_ == Values::any || found_legal.load(std::memory_order_relaxed)) return from;
    for (std::size_t at = 0; at < to.size(); ++at)
      require_legal(schema_.fields[at], to[at], path, within, layout.fields[at].name);
    found_legal.store(true, std::memory_order_relaxed);
    return from;
  }

 private:
  /// Opened once, or anew where many other files are: it must be the same each time.
  struct OpenContainer {
    std::filesystem::path path;
    std::size_t number = 0;  // among the descriptors
    std::mutex mutex;
    std::optional<std::uint64_t> stamp;  // as first seen
  };
  struct File {
    std::filesystem::path path, meanwhile;
    OpenContainer* container = nullptr;  // that it lies in; null: it is a file of its own
    FileRange range;
    std::atomic<bool> staged{true};  // false: it was read from `meanwhile` when it was last looked for
    std::int64_t samples = 0;
    std::int64_t bytes = 0, modified_ns = 0;  // 0: not known
    std::atomic<std::uint64_t> inode{0};      // as first seen
    std::mutex mutex;                         // not call_once: some implementations hang after an exception
    std::atomic<bool> known{false};
    ListedLayout listed;  // until it is known
    FileLayout layout;
  };

  /// Asked for each sample until it is, for a file may be open all the time: its name costs less than its sample.
  static bool is_staged_now(File& file) {
    if (file.staged.load(std::memory_order_relaxed)) return true;
    if (!is_staged(file.path, file.bytes, file.modified_ns)) return false;
    file.staged.store(true, std::memory_order_relaxed);
    return true;
  }

  void lies_in_container(File& file, const ContainerPlace& place, const ManifestEntry& entry) {
    std::unique_ptr<OpenContainer>& container = containers_[place.container];
    if (!container) {
      container = std::make_unique<OpenContainer>();
      container->path = container_path(root_, place.container);
      container->number = ~static_cast<std::size_t>(place.container);  // no file's
    }
    file.container = container.get();
    file.path = container->path / entry.name;
    file.range = {static_cast<std::uint64_t>(place.offset), static_cast<std::uint64_t>(entry.bytes), true};
  }

  std::shared_ptr<const Descriptor> opened(std::size_t number, File& file, const std::filesystem::path& path) {
    if (file.container != nullptr) return open_container(*file.container);
    return descriptors_.get(number, path, [&](int descriptor) {
      struct stat info {};
      if (fstat(descriptor, &info) == 0) require_unchanged(file, path, info);
    });
  }

  std::shared_ptr<const Descriptor> open_container(OpenContainer& container) {
    return descriptors_.get(container.number, container.path, [&](int opened) {
      struct stat info {};
      if (fstat(opened, &info) != 0) return;
      const std::lock_guard one_reader(container.mutex);
      const std::uint64_t stamp = stamp_of(info, has_stable_inodes(container.path));
      if (container.stamp.value_or(stamp) == stamp) {
        container.stamp = stamp;
        return;
      }
      throw Error(ExitCode::data, Complaint{container.path.string(), "was written or replaced since it was first read",
                                            "a run must not go on with other data than it began with",
                                            "see who changed it, then run again"});
    });
  }

  const FileLayout& layout_of(File& file, const OpenFile& open) {
    if (file.known.load(std::memory_order_acquire)) return file.layout;
    const std::lock_guard one_reader(file.mutex);
    if (!file.known.load(std::memory_order_relaxed)) {
      std::optional<FileLayout> listed = from_listed(file.listed, open.path, file.bytes, format_, schema_);
      file.layout = listed && begins_as_hdf5(open) ? std::move(*listed) : read_layout(file, open);
      require_as_scanned(file, open.path, file.layout);
      file.listed = {};
      file.known.store(true, std::memory_order_release);
    }
    return file.layout;
  }

  /// The file whose header and bytes are read must be the one that was scanned or staged, each time that it is opened.
  /// (Nodes that share a target may stage a file to it one after the other: there it may be another, and is the same.)
  static void require_unchanged(File& file, const std::filesystem::path& path, const struct stat& info) {
    std::uint64_t inode = 0;
    const bool being_staged = !file.meanwhile.empty() && &path == &file.path;
    const bool same_file =
        being_staged || file.inode.compare_exchange_strong(inode, info.st_ino) || inode == info.st_ino;
    const std::int64_t modified_ns = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
    std::string what;
    if (file.bytes != 0 && file.bytes != info.st_size) {
      what = fmt::format("has {} bytes now, not {}", info.st_size, file.bytes);
    } else if (file.modified_ns != 0 && !same_time(file.modified_ns, modified_ns)) {
      what = "was written again";
    } else if (!same_file && has_stable_inodes(path)) {
      what = "is another file now";
    } else {
      return;
    }
    throw Error(ExitCode::data, Complaint{path.string(), what + " since the dataset was scanned or staged",
                                          "a run must not go on with other data than it began with",
                                          "see who changed it, then run again"});
  }

  [[nodiscard]] FileLayout read_layout(File& file, const OpenFile& open) {
    const std::filesystem::path& path = open.path;
    struct stat info {};  // the library opens it by its name
    if (file.container == nullptr && stat(path.c_str(), &info) == 0) require_unchanged(file, path, info);
    const Hdf5Lock lock;
    const FileHandle opened = open_by_library(open);
    FileLayout layout = resolve_layout(opened.get(), path, format_, schema_);
    for (Stored& stored : layout.fields)
      if (stored.storage == Storage::chunked) locate_chunks(opened.get(), stored, path);
    return layout;
  }

  void require_as_scanned(const File& file, const std::filesystem::path& path, const FileLayout& layout) {
    if (layout.samples != file.samples) {
      throw Error(ExitCode::data,
                  Complaint{path.string(), fmt::format("holds {} samples, not {}", layout.samples, file.samples),
                            "it changed since the dataset was scanned", "run again"});
    }
    {
      // A manifest may have told the samples of files that nobody opened.
      const std::lock_guard one_at_a_time(forms_mutex_);
      forms_.add(form_of(layout, format_), path.filename().string());
      forms_.require_one(root_);
    }
    for (const Stored& stored : layout.fields) {
      diagnose(LogLevel::debug, [&] {
        const bool library = stored.storage == Storage::library;
        return fmt::format("{}: dataset '{}' is read {}", path.string(), stored.name,
                           library ? "by the HDF5 library, one thread at a time: " + stored.why_library
                           : stored.storage == Storage::chunked ? "chunk by chunk, without the HDF5 library"
                                                                : "by its offset, without the HDF5 library");
      });
    }
  }

  std::filesystem::path root_;
  FormatOptions format_;
  DataSchema schema_;
  Values values_;
  Cropping cropping_;
  std::map<int, std::unique_ptr<OpenContainer>> containers_;  // by their numbers
  std::vector<std::unique_ptr<File>> files_;
  std::vector<std::int64_t> begins_;  // id of each file's first sample
  std::int64_t size_ = 0;
  std::vector<std::atomic<bool>> found_legal_;             // by sample
  std::unique_ptr<ImageCache> cache_;                      // null: images are decoded each time
  std::atomic<std::int64_t> at_source_{0}, at_target_{0};  // samples that were read there
  DescriptorCache descriptors_;
  std::mutex forms_mutex_;
  FileForms forms_;
};

}  // namespace

std::unique_ptr<SampleSource> open_hdf5(const std::filesystem::path& root, const Manifest& manifest,
                                        const FormatOptions& format, const DataSchema& schema, Values values,
                                        const Cropping& cropping, const std::filesystem::path& meanwhile,
                                        const std::vector<ContainerPlace>& places) {
  return std::make_unique<Hdf5Source>(root, manifest, format, schema, values, cropping, meanwhile, places);
}

}  // namespace trainmark
