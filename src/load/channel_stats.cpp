// stats.h5: what min-max scaling needs to know of each channel, read, written, and computed over all ranks.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "load/hdf5_writer.hpp"
#include "load/layout.hpp"
#include "load/links.hpp"
#include "load/region_reader.hpp"
#include "load/scan.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

constexpr const char* remedy = "make it with: trainmark data stats TRAIN_FOLDER";

[[noreturn]] void refuse(const fs::path& path, std::string what, std::string why = "", std::string cure = remedy) {
  throw Error(ExitCode::data, Complaint{path.string(), std::move(what), std::move(why), std::move(cure)});
}

/// Values of one dataset; a shape that does not fit is an error, but for values that are not needed.
std::vector<double> read_vector(hid_t file, const fs::path& path, const std::string& name, std::int64_t channels,
                                bool needed) {
  if (!link_exists(file, name)) {
    if (needed) refuse(path, fmt::format("has no dataset '{}'", name), "channels are scaled by it");
    return {};
  }
  const Stored stored = describe(file, name, path);
  const Shape expected{channels};
  if (!stored.readable || is_whole(stored.number) || stored.shape() != expected || !stored.unusable.empty()) {
    if (!needed) return {};
    refuse(path,
           fmt::format("dataset '{}' is {} of shape {}, expected {} floats", name, stored.type,
                       to_string(stored.shape()), channels),
           "it has a value for each channel of the images", "make it from the same data, or name the right file");
  }
  const Field field{name, expected, DType::f64, {}, {}};
  std::vector<double> values(static_cast<std::size_t>(channels));
  Stored through_library = stored;
  through_library.storage = Storage::library;  // a few numbers, in whatever form
  read_box({path}, through_library, {1, {}, stored.dims}, field, std::as_writable_bytes(std::span(values)));
  for (std::size_t i = 0; needed && i < values.size(); ++i) {
    if (!std::isfinite(values[i])) refuse(path, fmt::format("{}[{}] is {}", name, i, values[i]), "it is no number");
  }
  return values;
}

std::int64_t read_count(hid_t file) {
  if (!link_exists(file, "climate/count")) return 0;
  const DatasetHandle dataset = open_by_name(file, "climate/count");
  if (!dataset) return 0;
  const SpaceHandle space(H5Dget_space(dataset.get()));
  const hssize_t values = H5Sget_simple_extent_npoints(space.get());
  if (values < 1 || values > 4096) return 0;
  std::vector<std::int64_t> counts(static_cast<std::size_t>(values));
  const bool read = H5Dread(dataset.get(), H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, counts.data()) >= 0;
  return read ? std::max<std::int64_t>(counts.front(), 0) : 0;
}

/// `where` is the file, or the folder that the statistics are of.
void require_ranges(const ChannelStats& stats, const fs::path& where) {
  for (std::size_t i = 0; i < stats.minimum.size(); ++i) {
    if (stats.minimum[i] < stats.maximum[i]) continue;
    const bool constant = stats.minimum[i] == stats.maximum[i];
    refuse(where,
           constant ? fmt::format("channel {} is {} everywhere", i, stats.minimum[i])
                    : fmt::format("channel {} has a minimum of {} above its maximum of {}", i, stats.minimum[i],
                                  stats.maximum[i]),
           constant ? "scaling divides by the difference of maximum and minimum, which is 0" : "",
           "train on data in which every channel varies");
  }
}

/// Of one sample, or of several that were added in order.
struct Sums {
  explicit Sums(std::size_t channels)
      : minimum(channels, std::numeric_limits<double>::infinity()),
        maximum(channels, -std::numeric_limits<double>::infinity()) {}
  std::vector<double> minimum, maximum;
};

/// Adds the values of one sample to `sum` and `square`, each of a channel, and widens the ranges.
template <class T>
void add_sample(std::span<const std::byte> values, std::span<double> sum, std::span<double> square, Sums& ranges) {
  const std::size_t channels = sum.size();
  std::vector<T> least(channels, std::numeric_limits<T>::max()), most(channels, std::numeric_limits<T>::lowest());
  std::vector<T> place(channels);
  for (std::size_t at = 0; at < values.size(); at += channels * sizeof(T)) {
    std::memcpy(place.data(), values.data() + at, channels * sizeof(T));
    for (std::size_t i = 0; i < channels; ++i) {
      const auto value = static_cast<double>(place[i]);
      least[i] = std::min(least[i], place[i]);
      most[i] = std::max(most[i], place[i]);
      sum[i] += value;
      square[i] += value * value;
    }
  }
  for (std::size_t i = 0; i < channels; ++i) {
    ranges.minimum[i] = std::min(ranges.minimum[i], static_cast<double>(least[i]));
    ranges.maximum[i] = std::max(ranges.maximum[i], static_cast<double>(most[i]));
  }
}

/// Files whose samples' sums travel together: bounds memory, and how long ranks go without a word of each other.
constexpr std::int64_t samples_together = 4096;

/// Sums a dataset up, a group of files at a time.
class Survey {
 public:
  Survey(const Group& all, fs::path root, const Manifest& manifest, const FormatOptions& format,
         const DataSchema& schema, const std::function<void(double)>& progress)
      : all_(all),
        root_(std::move(root)),
        manifest_(manifest),
        format_(format),
        schema_(schema),
        progress_(progress),
        channels_(static_cast<std::size_t>(schema.fields.front().shape.extents().back())),
        ranges_(channels_),
        sum_(channels_),
        square_(channels_) {}

  ChannelStats result() {
    for (std::size_t first = 0; first < manifest_.entries.size();)
      first = add_group(first);
    std::vector<double> extremes;
    for (const double least : ranges_.minimum)
      extremes.push_back(-least);
    extremes.insert(extremes.end(), ranges_.maximum.begin(), ranges_.maximum.end());
    all_.max(extremes);
    ChannelStats stats;
    stats.count = manifest_.samples() * schema_.fields.front().shape.elements() / static_cast<std::int64_t>(channels_);
    for (std::size_t i = 0; i < channels_; ++i) {
      stats.minimum.push_back(-extremes[i]);
      stats.maximum.push_back(extremes[channels_ + i]);
      stats.mean.push_back(sum_[i] / static_cast<double>(stats.count));
      stats.mean_square.push_back(square_[i] / static_cast<double>(stats.count));
    }
    return stats;
  }

 private:
  /// Every rank fills in the sums of its samples; adding the others' zeros changes no bit of them.
  std::size_t add_group(std::size_t first) {
    std::size_t end = first;
    std::int64_t samples = 0;
    while (end < manifest_.entries.size() && (end == first || samples < samples_together))
      samples += manifest_.entries[end++].samples;
    std::vector<double> sums(static_cast<std::size_t>(samples) * 2 * channels_);
    agree_on(all_, [&] {
      std::size_t at = 0;
      for (std::size_t file = first; file < end; ++file) {
        const ManifestEntry& entry = manifest_.entries[file];
        const std::size_t length = static_cast<std::size_t>(entry.samples) * 2 * channels_;
        const bool mine = file % static_cast<std::size_t>(all_.size()) == static_cast<std::size_t>(all_.rank());
        if (mine) add_file(entry, std::span(sums).subspan(at, length));
        at += length;
        if (progress_ && all_.rank() == 0)
          progress_(static_cast<double>(file + 1) / static_cast<double>(manifest_.entries.size()));
      }
    });
    all_.sum(sums);
    for (std::size_t i = 0; i < sums.size(); ++i)
      (i / channels_ % 2 == 0 ? sum_ : square_)[i % channels_] += sums[i];
    return end;
  }

  void add_file(const ManifestEntry& entry, std::span<double> sums) {
    const auto source = open_hdf5(root_, Manifest{{entry}}, format_, schema_);
    SampleView view;
    memory_.resize(schema_.fields.size());
    for (std::size_t at = 0; at < memory_.size(); ++at) {
      memory_[at].resize(schema_.fields[at].bytes());
      view.emplace_back(memory_[at]);
    }
    for (std::int64_t i = 0; i < entry.samples; ++i) {
      source->read({.sample = i}, view);
      const std::span<double> here = sums.subspan(static_cast<std::size_t>(i) * 2 * channels_, 2 * channels_);
      with_type(schema_.fields.front().dtype, [&]<class T>() {
        add_sample<T>(memory_.front(), here.first(channels_), here.last(channels_), ranges_);
      });
    }
  }

  const Group& all_;
  fs::path root_;
  const Manifest& manifest_;
  const FormatOptions& format_;
  const DataSchema& schema_;
  const std::function<void(double)>& progress_;
  std::size_t channels_;
  Sums ranges_;
  std::vector<double> sum_, square_;
  std::vector<std::vector<std::byte>> memory_;
};

}  // namespace

ChannelStats read_channel_stats(const fs::path& path, std::int64_t channels) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) refuse(path, "is not there", "channels are scaled by what it says of them");
  const Hdf5Lock lock;
  const FileHandle file = open_file(path);
  const auto read = [&](const char* name, bool needed) {
    return read_vector(file.get(), path, std::string("climate/") + name, channels, needed);
  };
  ChannelStats stats{read_count(file.get()), read("minval", true), read("maxval", true), read("mean", false),
                     read("sqmean", false)};
  require_ranges(stats, path);
  return stats;
}

void write_channel_stats(const fs::path& path, const ChannelStats& stats, const std::string& made_from) {
  PartialFile partial(path);
  Hdf5Writer file(partial.path(), path.string());
  const auto bytes = [](const auto& values) { return std::as_bytes(std::span(values)); };
  const std::vector<hsize_t> extents = {stats.minimum.size()};
  file.group("climate");
  file.values("climate/count", Number::i64, extents,
              bytes(std::vector<std::int64_t>(stats.minimum.size(), stats.count)));
  const std::vector<float> minimum(stats.minimum.begin(), stats.minimum.end());  // exact where the images are float32
  const std::vector<float> maximum(stats.maximum.begin(), stats.maximum.end());
  file.values("climate/minval", Number::f32, extents, bytes(minimum));
  file.values("climate/maxval", Number::f32, extents, bytes(maximum));
  if (!stats.mean.empty()) file.values("climate/mean", Number::f64, extents, bytes(stats.mean));
  if (!stats.mean_square.empty()) file.values("climate/sqmean", Number::f64, extents, bytes(stats.mean_square));
  file.attribute("made_from", made_from);
  file.close();
  partial.publish();
}

ChannelStats channel_stats_of(const Group& all, const fs::path& root, const FormatOptions& format,
                              const DataSchema& schema, const std::function<void(double)>& progress) {
  const DataSchema images{{schema.fields.front()}, schema.cut};
  std::string text;
  agree_on(all, [&] {
    if (all.rank() > 0) return;  // one look at all the headers
    const DataSchema found = schema_of_file(root / data_files(root).front().name, format, images);
    text = to_text(scan_dataset(root, format, found, {}, {.hashes_compared = false}));
  });
  text = all.broadcast(std::move(text));
  Manifest manifest;
  DataSchema found;
  agree_on(all, [&] {
    manifest = parse_manifest(text, root);
    found = schema_of_file(root / manifest.entries.front().name, format, images);
  });
  const ChannelStats stats = Survey(all, root, manifest, format, found, progress).result();
  agree_on(all, [&] { require_ranges(stats, root); });
  return stats;
}

}  // namespace trainmark
