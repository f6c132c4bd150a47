// Writes a whole dataset: sees what is there, deals out what is missing, and lets each rank write its files.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>

#include "load/dataset_target.hpp"
#include "load/hdf5_writer.hpp"
#include "synth/data_file.hpp"
#include "synth/dataset_plan.hpp"
#include "synth/weather.hpp"
#include "trainmark/load.hpp"
#include "trainmark/stage.hpp"
#include "trainmark/synth.hpp"

namespace trainmark {
namespace synth {
namespace {

// --- stats.h5: follows the training files that it is made of
// --------------------------------------------------------------

bool has_statistics(const SynthOptions& options) { return std::holds_alternative<DeepcamData>(options.content); }

/// What the statistics depend on, and no more: the same samples may lie in other files.
std::string origin_of(const SynthOptions& options) {
  const auto& images = std::get<DeepcamData>(options.content);
  return fmt::format("{} training samples of trainmark deepcam, version {}: height={} width={} seed={}",
                     options.train_samples, generator_version(options), images.height, images.width, options.seed);
}

void refuse_strange_statistics(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored) || !read_attribute(path, "made_from").empty()) return;
  throw Error(ExitCode::data, Complaint{path.string(), "is in the way: damaged, or not made by trainmark",
                                        "nothing that is there already is replaced",
                                        "remove it yourself, or generate into another folder"});
}

/// Collective. `written`: whether any training file is new.
void follow_with_statistics(const Group& all, const SynthOptions& options, const std::filesystem::path& target,
                            bool written, const std::function<void(double)>& progress) {
  const std::filesystem::path path = target / "stats.h5";
  std::array<std::int64_t, 1> stale = {written ? 1 : 0};
  if (all.rank() == 0 && read_attribute(path, "made_from") != origin_of(options)) stale[0] = 1;
  all.sum(stale);
  if (stale[0] == 0) return;
  const auto& images = std::get<DeepcamData>(options.content);
  const ChannelStats stats =
      channel_stats_of(all, target / "train", {}, deepcam_schema(images.height, images.width), progress);
  agree_on(all, [&] {
    if (all.rank() == 0) write_channel_stats(path, stats, origin_of(options));
  });
}

}  // namespace
}  // namespace synth

DataSchema deepcam_schema(std::int64_t height, std::int64_t width) {
  const auto channels = static_cast<std::int64_t>(synth::channels);
  return {.fields = {{.name = "data",
                      .shape = {height, width, channels},
                      .dtype = DType::f32,
                      .legal = {.why = "they are measured quantities"},
                      .stored_as = {"climate/data"}},
                     {.name = "labels",
                      .shape = {height, width},
                      .dtype = DType::u8,
                      .legal = {.least = 0.0, .most = 2.0, .why = "they are classes: background, cyclone, river"},
                      .stored_as = {"climate/labels_0"}}}};
}

DataSchema image_schema(std::int64_t extent, int classes) {
  constexpr double any = std::numeric_limits<std::int32_t>::max();
  return {.fields = {{.name = "image",
                      .shape = {extent, extent, 3},
                      .dtype = DType::u8,
                      .legal = {.least = 0.0, .most = 255.0, .why = "they are bytes"},
                      .stored_as = {"jpeg"}},
                     {.name = "label",
                      .shape = Shape{},
                      .dtype = DType::i32,
                      .legal = {.least = 0.0, .most = classes > 0 ? classes - 1.0 : any, .why = "it is a class"},
                      .stored_as = {"labels"}}},
          .images = CodedImages{}};
}

SynthReport generate_dataset(const World& world, const SynthOptions& options, const std::filesystem::path& target,
                             const std::function<void(double)>& progress) {
  using namespace synth;
  const Clock clock;
  const Group& all = world.all();
  SynthReport report;
  std::vector<FilePlan> files;
  std::vector<std::size_t> mine, missing;
  const auto path_of = [&](const FilePlan& file) { return target / file.split / file.name; };
  agree_on(all, [&] {
    require_sense(options);
    files = files_of(options);
    mine = files_of_rank(files.size(), all.rank(), all.size());
  });
  // Everything that is there is looked at before anything is written: a refusal leaves the folder as it was.
  agree_on(all, [&] {
    if (all.rank() == 0) refuse_strangers(target, files);
    if (all.rank() == 0 && has_statistics(options)) refuse_strange_statistics(target / "stats.h5");
    for (const std::size_t i : mine) {
      if (!present(path_of(files[i]), options, files[i])) missing.push_back(i);
    }
  });
  agree_on(all, [&] {
    if (all.rank() == 0) make_split_folders(target);
  });
  const double share = has_statistics(options) ? 0.8 : 0.999;  // of the work
  agree_on(all, [&] {
    std::int64_t total = 0, ready = 0;
    for (const std::size_t i : missing)
      total += files[i].samples;
    const SampleDone done = [&](std::int64_t samples) {
      ready += samples;
      if (progress && all.rank() == 0) progress(share * static_cast<double>(ready) / static_cast<double>(total));
    };
    const std::unique_ptr<Content> content = make_content(options);
    for (const std::size_t i : missing)
      write_file(*content, files[i], path_of(files[i]), done);
    for (const std::size_t i : mine)
      report.bytes += static_cast<std::int64_t>(std::filesystem::file_size(path_of(files[i])));
  });
  std::array<std::int64_t, 3> sums = {static_cast<std::int64_t>(missing.size()),
                                      static_cast<std::int64_t>(mine.size() - missing.size()), report.bytes};
  all.sum(sums);
  if (has_statistics(options)) {
    const bool written = std::ranges::any_of(missing, [&](std::size_t i) { return files[i].split == "train"; });
    follow_with_statistics(all, options, target, written, [&](double done) {
      if (progress) progress(share + (0.999 - share) * done);
    });
  }
  if (progress && all.rank() == 0) progress(1.0);
  return {sums[0], sums[1], sums[2], clock.seconds()};
}

}  // namespace trainmark
