#include "synth/dataset_plan.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "synth/hdf5_writer.hpp"
#include "trainmark/load.hpp"

namespace trainmark::synth {
namespace {

namespace fs = std::filesystem;

constexpr const char* remedy = "remove the folder yourself, or generate into another one";

[[noreturn]] void refuse(std::string what, std::string why, std::string cure) {
  throw Error(ExitCode::usage, Complaint{"data generate", std::move(what), std::move(why), std::move(cure)});
}

void require_universes(const SynthOptions& options) {
  const int universe = options.universe_extent;
  if (universe < options.extent || universe % options.extent != 0 || universe > 1024) {
    refuse(fmt::format("universe extent {} is not a multiple of the sample extent {}, up to 1024", universe,
                       options.extent),
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

void require_sense(const SynthOptions& options) {
  if (options.layout != "universe" && options.layout != "block" && options.layout != "packed")
    refuse(fmt::format("layout \"{}\" does not exist", options.layout), "", "choose universe, block or packed");
  if (options.extent < 2 || options.extent % 2 != 0 || options.extent > 512) {
    refuse(fmt::format("extent {} is not an even number from 2 to 512", options.extent), "",
           "choose e.g. 32, 64 or 128");
  }
  for (const auto& [what, count] : {std::pair{"training samples", options.train_samples},
                                    {"validation samples", options.validation_samples},
                                    {"samples a file", std::int64_t{options.samples_per_file}}}) {
    if (count < 1) refuse(fmt::format("{} {} make no dataset", count, what), "", "give at least 1");
  }
  if (options.gzip < 0 || options.gzip > 9)
    refuse(fmt::format("gzip level {} is not 0 to 9", options.gzip), "", "choose 0 for contiguous data");
  if (options.layout == "universe") require_universes(options);
}

std::int64_t samples_in_file(const SynthOptions& options) {
  if (options.layout == "block") return 1;
  if (options.layout == "packed") return options.samples_per_file;
  const std::int64_t along = options.universe_extent / options.extent;
  return along * along * along;
}

std::vector<FilePlan> files_of(const SynthOptions& options) {
  const std::string prefix = options.layout == "universe" ? "univ" : options.layout;
  const std::int64_t size = samples_in_file(options);
  std::vector<FilePlan> files;
  const auto add = [&](const std::string& split, std::uint32_t stream, std::int64_t samples) {
    for (std::int64_t first = 0; first < samples; first += size) {
      files.push_back(
          {split, stream, fmt::format("{}_{:06}.hdf5", prefix, first / size), first, std::min(size, samples - first)});
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
  return fmt::format(
      "layout={} extent={} universe_extent={} gzip={} big_endian={} seed={} split={} first={} samples={}",
      options.layout, options.extent, options.layout == "universe" ? options.universe_extent : 0, options.gzip,
      options.big_endian ? 1 : 0, options.seed, file.split, file.first, file.samples);
}

bool present(const fs::path& path, const SynthOptions& options, const FilePlan& file) {
  std::error_code status;
  if (!fs::exists(fs::symlink_status(path, status))) return false;
  const std::string wanted = fingerprint(options, file);
  const std::string found = read_attribute(path, "options");
  const std::string version = read_attribute(path, "generator_version");
  if (found == wanted && version == generator_version) return true;
  std::string what = "is in the way: damaged, or not made by this generator";
  if (!found.empty() && found != wanted) {
    what = fmt::format("holds other data: {}", differences(found, wanted));
  } else if (!found.empty()) {
    what = fmt::format("holds the same options' data by generator version {}, not {}", version, generator_version);
  }
  throw Error(ExitCode::data, Complaint{path.string(), what, "nothing that is there already is replaced", remedy});
}

void refuse_strangers(const fs::path& target, const std::vector<FilePlan>& files) {
  std::set<std::string> expected;
  for (const FilePlan& file : files)
    expected.insert(file.split + "/" + file.name);
  for (const char* split : {"train", "validation"}) {
    std::error_code status;
    if (!fs::exists(target / split, status)) continue;
    fs::recursive_directory_iterator at(target / split, status);
    for (; !status && at != fs::recursive_directory_iterator(); at.increment(status)) {
      const fs::directory_entry& entry = *at;
      const std::string name = entry.path().filename().string();
      // Hidden names are files that another run is still writing.
      if (name.starts_with('.') || !looks_like_samples(name)) continue;
      if (expected.contains(entry.path().lexically_relative(target).generic_string())) continue;
      throw Error(ExitCode::data, Complaint{entry.path().string(), "does not belong to the dataset that was asked for",
                                            "runs read every file of a folder", remedy});
    }
    if (status) {
      throw Error(ExitCode::data,
                  Complaint{(target / split).string(), fmt::format("cannot be looked through: {}", status.message()),
                            "what is there already must fit", remedy});
    }
  }
}

}  // namespace trainmark::synth
