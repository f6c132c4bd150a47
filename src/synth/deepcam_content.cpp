// DeepCAM's files: images and two planes of labels in the group `climate`, with the statistics that the original files
// have besides where a file is one sample.
#include <algorithm>
#include <cmath>

#include "load/hdf5_writer.hpp"
#include "synth/data_file.hpp"
#include "synth/weather.hpp"

namespace trainmark::synth {
namespace {

constexpr std::size_t classes = 3;

/// [4][16]: mean, maximum, minimum, standard deviation. Each channel is summed up on its own, so that the bits do not
/// depend on the width of vectors.
std::vector<float> statistics_of(std::span<const float> data) {
  std::array<double, channels> sum{}, squares{};
  std::array<float, channels> least, most;
  std::copy_n(data.begin(), channels, least.begin());
  most = least;
  for (std::size_t at = 0; at < data.size(); at += channels) {
    const float* pixel = data.data() + at;
    for (std::size_t i = 0; i < channels; ++i) {
      const auto value = static_cast<double>(pixel[i]);
      sum[i] += value;
      squares[i] += value * value;
      least[i] = std::min(least[i], pixel[i]);
      most[i] = std::max(most[i], pixel[i]);
    }
  }
  const auto pixels = static_cast<double>(data.size() / channels);
  std::vector<float> statistics(4 * channels);
  for (std::size_t i = 0; i < channels; ++i) {
    const double mean = sum[i] / pixels;
    statistics[i] = static_cast<float>(mean);
    statistics[channels + i] = most[i];
    statistics[2 * channels + i] = least[i];
    statistics[3 * channels + i] = static_cast<float>(std::sqrt(std::max(0.0, squares[i] / pixels - mean * mean)));
  }
  return statistics;
}

/// [7][1]: mean, maximum, minimum, standard deviation, and the per cent of each class.
std::vector<float> statistics_of(std::span<const std::uint8_t> labels) {
  std::array<double, classes> counts{};
  for (const std::uint8_t label : labels)
    counts.at(label) += 1.0;
  const auto pixels = static_cast<double>(labels.size());
  const double mean = (counts[1] + 2.0 * counts[2]) / pixels, square = (counts[1] + 4.0 * counts[2]) / pixels;
  const float most = counts[2] > 0.0 ? 2.0F : counts[1] > 0.0 ? 1.0F : 0.0F;
  const float least = counts[0] > 0.0 ? 0.0F : counts[1] > 0.0 ? 1.0F : 2.0F;
  std::vector<float> statistics = {static_cast<float>(mean), most, least,
                                   static_cast<float>(std::sqrt(std::max(0.0, square - mean * mean)))};
  for (const double count : counts)
    statistics.push_back(static_cast<float>(100.0 * count / pixels));
  return statistics;
}

class DeepcamContent final : public Content {
 public:
  explicit DeepcamContent(const SynthOptions& options)
      : options_(options),
        images_(std::get<DeepcamData>(options.content)),
        maker_(images_.height, images_.width, options.seed),
        data_(maker_.storms().labels.size() * channels) {}

  void write(Hdf5Writer& file, const FilePlan& plan, const SampleDone& done) override {
    const auto height = static_cast<hsize_t>(images_.height), width = static_cast<hsize_t>(images_.width);
    const bool packed = options_.layout == DatasetLayout::packed;
    file.group("climate");
    make_dataset(file, "climate/data", Number::f32, plan, {height, width, channels});
    make_dataset(file, "climate/labels_0", label_number(), plan, {height, width});
    make_dataset(file, "climate/labels_1", label_number(), plan, {height, width});
    for (std::int64_t sample = 0; sample < plan.samples; ++sample) {
      maker_.make(plan.stream, static_cast<std::uint64_t>(plan.first + sample), data_);
      const Storms& storms = maker_.storms();
      const hsize_t first = packed ? static_cast<hsize_t>(sample) : 0, rows = packed ? 1 : height;
      file.write("climate/data", first, rows, Number::f32, std::as_bytes(std::span(data_)));
      file.write("climate/labels_0", first, rows, Number::u8, std::as_bytes(std::span(storms.labels)));
      file.write("climate/labels_1", first, rows, Number::u8, std::as_bytes(std::span(storms.relaxed)));
      if (!packed) write_statistics(file, storms);
      done(1);
    }
    describe(file, options_, plan,
             "generated data: weather whose cyclones (1) and rivers (2) can be found by their values; no simulation");
    std::vector<std::string> names, units;
    for (const Channel& channel : channel_table) {
      names.emplace_back(channel.name);
      units.emplace_back(channel.unit);
    }
    file.strings("climate/channels", names);
    file.strings("climate/units", units);
  }

 private:
  [[nodiscard]] Number label_number() const {
    switch (images_.label_bits) {
      case 16:
        return Number::i16;
      case 32:
        return Number::i32;
      case 64:
        return Number::i64;
      default:
        return Number::u8;
    }
  }

  void make_dataset(Hdf5Writer& file, const std::string& name, Number number, const FilePlan& plan,
                    std::vector<hsize_t> extents) const {
    std::vector<hsize_t> chunk = extents;
    if (options_.layout == DatasetLayout::packed) {
      extents.insert(extents.begin(), static_cast<hsize_t>(plan.samples));
      chunk.insert(chunk.begin(), 1);
    }
    if (options_.gzip == 0) chunk.clear();
    file.dataset(name, number, extents, {chunk, options_.gzip, options_.big_endian});
  }

  void write_statistics(Hdf5Writer& file, const Storms& storms) const {
    const auto floats = [&](const std::string& name, const std::vector<hsize_t>& extents,
                            const std::vector<float>& values) {
      file.values(name, Number::f32, extents, std::as_bytes(std::span(values)), options_.big_endian);
    };
    floats("climate/data_stats", {4, channels}, statistics_of(data_));
    floats("climate/labels_0_stats", {7, 1}, statistics_of(std::span<const std::uint8_t>(storms.labels)));
    floats("climate/labels_1_stats", {7, 1}, statistics_of(std::span<const std::uint8_t>(storms.relaxed)));
  }

  SynthOptions options_;
  DeepcamData images_;
  WeatherMaker maker_;
  std::vector<float> data_;
};

}  // namespace

std::unique_ptr<Content> make_deepcam(const SynthOptions& options) { return std::make_unique<DeepcamContent>(options); }

}  // namespace trainmark::synth
