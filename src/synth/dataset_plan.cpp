#include "synth/dataset_plan.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <sstream>
#include <tuple>
#include <utility>

#include "load/dataset_target.hpp"
#include "load/hdf5_writer.hpp"
#include "synth/picture.hpp"
#include "trainmark/load.hpp"

namespace trainmark::synth {
namespace {

namespace fs = std::filesystem;

constexpr const char* remedy = "remove the folder yourself, or generate into another one";

[[noreturn]] void refuse(std::string what, std::string why, std::string cure) {
  throw Error(ExitCode::usage, Complaint{"data generate", std::move(what), std::move(why), std::move(cure)});
}

void require_universes(const SynthOptions& options, const CosmoflowData& cubes) {
  const int universe = cubes.universe_extent;
  if (universe < cubes.extent || universe % cubes.extent != 0 || universe > 1024) {
    refuse(
        fmt::format("universe extent {} is not a multiple of the sample extent {}, up to 1024", universe, cubes.extent),
        "a universe is cut into whole samples", "choose a multiple, e.g. 512 of 128");
  }
  const std::int64_t blocks = samples_in_file(options);
  for (const auto& [split, samples] :
       {std::pair{"training", options.train_samples}, {"validation", options.validation_samples}}) {
    if (samples % blocks == 0) continue;
    const std::int64_t below = samples / blocks * blocks;
    refuse(fmt::format("{} {} samples are not whole universes of {} blocks", samples, split, blocks), "",
           below > 0 ? fmt::format("give {} or {}", below, below + blocks) : fmt::format("give {} or more", blocks));
  }
}

void require_sense(const SynthOptions& options, const CosmoflowData& cubes) {
  if (options.layout != DatasetLayout::universe && options.layout != DatasetLayout::block &&
      options.layout != DatasetLayout::packed)
    refuse(fmt::format("layout \"{}\" does not exist", word(options.layout)), "", "choose universe, block or packed");
  if (cubes.extent < 2 || cubes.extent % 2 != 0 || cubes.extent > 512) {
    refuse(fmt::format("extent {} is not an even number from 2 to 512", cubes.extent), "", "choose e.g. 32, 64 or 128");
  }
}

void require_sense(const SynthOptions& options, const DeepcamData& images) {
  if (options.layout != DatasetLayout::block && options.layout != DatasetLayout::packed)
    refuse(fmt::format("layout \"{}\" does not exist for DeepCAM", word(options.layout)), "", "choose block or packed");
  for (const auto& [what, extent, most] : {std::tuple{"height", images.height, 1536}, {"width", images.width, 3072}}) {
    if (extent < 32 || extent > most || extent % 2 != 0) {
      refuse(fmt::format("{} {} is not an even number from 32 to {}", what, extent, most),
             "cyclones are drawn some pixels wide", "choose e.g. 768 x 1152, or 96 x 144");
    }
  }
  if (images.label_bits != 8 && images.label_bits != 16 && images.label_bits != 32 && images.label_bits != 64)
    refuse(fmt::format("labels of {} bits do not exist", images.label_bits), "", "choose 8, 16, 32 or 64");
  constexpr std::int64_t most_samples = 8000LL * 365 * 8;
  if (options.layout == DatasetLayout::block &&
      std::max(options.train_samples, options.validation_samples) > most_samples)
    refuse(fmt::format("{} samples have no dates of four digits to be named by", options.train_samples), "",
           fmt::format("give at most {}, or choose layout packed", most_samples));
}

void require_sense(const SynthOptions& options, const ImageData& images) {
  if (options.layout != DatasetLayout::jpeg)
    refuse(fmt::format("layout \"{}\" does not exist for ResNet-50", word(options.layout)), "",
           "leave it out: jpeg is the only one");
  if (options.gzip != 0)
    refuse(fmt::format("gzip level {} is of no use", options.gzip), "JPEGs are compressed already", "leave it out");
  if (images.classes < 2 || images.classes > most_classes)
    refuse(fmt::format("{} classes are not 2 to {}", images.classes, most_classes), "so many can be told apart",
           "choose e.g. 10");
  if (images.size < 32 || images.size > 2048)
    refuse(fmt::format("images of {} pixels are not of 32 to 2048", images.size), "",
           "choose e.g. 96, or 400 as ImageNet's");
}

/// DeepCAM's pattern: year, month, day (of years without leap days, as the model has them), step of three hours, run.
std::string dated(std::int64_t number, std::uint32_t stream) {
  constexpr std::array<int, 12> days = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  constexpr std::int64_t first_year = 1996, steps = 8;
  auto day = static_cast<int>(number / steps % 365);
  std::size_t month = 0;
  for (; day >= days.at(month); ++month)
    day -= days.at(month);
  return fmt::format("data-{:04}-{:02}-{:02}-{:02}-{}.h5", first_year + number / steps / 365, month + 1, day + 1,
                     number % steps, stream + 1);
}

std::string file_name(const SynthOptions& options, std::int64_t number, std::uint32_t stream) {
  if (std::holds_alternative<DeepcamData>(options.content) && options.layout == DatasetLayout::block)
    return dated(number, stream);
  return fmt::format("{}_{:06}.hdf5", options.layout == DatasetLayout::universe ? "univ" : word(options.layout),
                     number);
}

std::string shape_of(const SynthOptions& options, const CosmoflowData& cubes) {
  return fmt::format("extent={} universe_extent={}", cubes.extent,
                     options.layout == DatasetLayout::universe ? cubes.universe_extent : 0);
}
std::string shape_of(const SynthOptions&, const DeepcamData& images) {
  return fmt::format("height={} width={} label_bits={}", images.height, images.width, images.label_bits);
}
std::string shape_of(const SynthOptions&, const ImageData& images) {
  return fmt::format("classes={} size={}", images.classes, images.size);
}

std::map<std::string, std::string> values_of(const std::string& line) {
  std::map<std::string, std::string> values;
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    if (equals != std::string::npos) values[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return values;
}

/// "seed is 7, not 8; gzip is 0, not 4"
std::string differences(const std::string& found, const std::string& wanted) {
  const auto there = values_of(found);
  std::string text;
  for (const auto& [name, value] : values_of(wanted)) {
    const auto other = there.find(name);
    if (other != there.end() && other->second == value) continue;
    text += fmt::format("{}{} is {}, not {}", text.empty() ? "" : "; ", name,
                        other == there.end() ? "unknown" : other->second, value);
  }
  return text;
}

}  // namespace

std::string_view workload_of(const SynthOptions& options) noexcept {
  if (std::holds_alternative<ImageData>(options.content)) return "resnet50";
  return std::holds_alternative<DeepcamData>(options.content) ? "deepcam" : "cosmoflow";
}
std::string_view generator_version(const SynthOptions& options) noexcept {
  return std::holds_alternative<CosmoflowData>(options.content) ? "2" : "1";
}

void require_sense(const SynthOptions& options) {
  std::visit([&](const auto& content) { require_sense(options, content); }, options.content);
  for (const auto& [what, count] : {std::pair{"training samples", options.train_samples},
                                    {"validation samples", options.validation_samples},
                                    {"samples a file", std::int64_t{options.samples_per_file}}}) {
    if (count < 1) refuse(fmt::format("{} {} make no dataset", count, what), "", "give at least 1");
  }
  if (options.gzip < 0 || options.gzip > 9)
    refuse(fmt::format("gzip level {} is not 0 to 9", options.gzip), "", "choose 0 for contiguous data");
  const auto* cubes = std::get_if<CosmoflowData>(&options.content);
  if (cubes != nullptr && options.layout == DatasetLayout::universe) require_universes(options, *cubes);
}

std::int64_t samples_in_file(const SynthOptions& options) {
  if (options.layout == DatasetLayout::block) return 1;
  if (options.layout == DatasetLayout::packed || options.layout == DatasetLayout::jpeg) return options.samples_per_file;
  const auto& cubes = std::get<CosmoflowData>(options.content);
  const std::int64_t along = cubes.universe_extent / cubes.extent;
  return along * along * along;
}

std::vector<FilePlan> files_of(const SynthOptions& options) {
  const std::int64_t size = samples_in_file(options);
  std::vector<FilePlan> files;
  const auto add = [&](const std::string& split, std::uint32_t stream, std::int64_t samples) {
    for (std::int64_t first = 0; first < samples; first += size) {
      files.push_back(
          {split, stream, file_name(options, first / size, stream), first, std::min(size, samples - first)});
    }
  };
  add("train", 0, options.train_samples);
  add("validation", 1, options.validation_samples);
  return files;
}

std::vector<std::size_t> files_of_rank(std::size_t total, int rank, int size) {
  std::vector<std::size_t> mine;
  for (auto i = static_cast<std::size_t>(rank); i < total; i += static_cast<std::size_t>(size))
    mine.push_back(i);
  return mine;
}

std::string fingerprint(const SynthOptions& options, const FilePlan& file) {
  const std::string shape =
      std::visit([&](const auto& content) { return shape_of(options, content); }, options.content);
  return fmt::format("layout={} {} gzip={} big_endian={} seed={} split={} first={} samples={}", word(options.layout),
                     shape, options.gzip, options.big_endian ? 1 : 0, options.seed, file.split, file.first,
                     file.samples);
}

bool present(const fs::path& path, const SynthOptions& options, const FilePlan& file) {
  std::error_code status;
  if (!fs::exists(fs::symlink_status(path, status))) return false;
  const std::string wanted = fingerprint(options, file);
  const std::string found = read_attribute(path, "options");
  const std::string version = read_attribute(path, "generator_version");
  if (found == wanted && version == generator_version(options)) return true;
  std::string what = "is in the way: damaged, or not made by this generator";
  if (!found.empty() && found != wanted) {
    what = fmt::format("holds other data: {}", differences(found, wanted));
  } else if (!found.empty()) {
    what = fmt::format("holds the same options' data by generator version {}, not {}", version,
                       generator_version(options));
  }
  throw Error(ExitCode::data, Complaint{path.string(), what, "nothing that is there already is replaced", remedy});
}

void refuse_strangers(const fs::path& target, const std::vector<FilePlan>& files) {
  std::set<std::string> expected;
  for (const FilePlan& file : files)
    expected.insert(file.split + "/" + file.name);
  trainmark::refuse_strangers(target, expected, remedy);
}

}  // namespace trainmark::synth
