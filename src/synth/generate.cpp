// A whole dataset: which files there are, which rank writes which, and what each of them holds.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "synth/field.hpp"
#include "synth/hdf5_writer.hpp"
#include "trainmark/load.hpp"
#include "trainmark/stage.hpp"
#include "trainmark/synth.hpp"

namespace trainmark {
namespace synth {
namespace {

constexpr std::string_view generator_version = "1";

struct SplitPlan {
  std::string name;
  std::uint32_t stream = 0;  // training and validation never share a field
  std::int64_t samples = 0;
};

/// One file: which samples (or which universe, or which block) it holds.
struct FilePlan {
  const SplitPlan* split = nullptr;
  std::string name;
  std::int64_t first = 0;
  std::int64_t samples = 0;
};

std::array<float, 4> parameters_of(const SynthOptions& options, std::uint32_t stream, std::uint64_t index) {
  Rng rng(options.seed, Purpose::synthesise, index, 0x40000000U | stream);
  std::array<float, 4> parameters{};
  for (float& each : parameters)
    each = static_cast<float>(2.0 * rng.uniform() - 1.0);
  return parameters;
}

void require_sense(const SynthOptions& options) {
  const auto refuse = [](std::string what, std::string remedy) {
    throw Error(ExitCode::usage, Complaint{"data generate", std::move(what), "", std::move(remedy)});
  };
  if (options.layout != "universe" && options.layout != "block" && options.layout != "packed") {
    refuse(fmt::format("layout \"{}\" does not exist", options.layout), "choose universe, block or packed");
  }
  if (options.extent < 2 || options.extent % 2 != 0 || options.extent > 512) {
    refuse(fmt::format("extent {} is not an even number from 2 to 512", options.extent), "choose e.g. 32, 64 or 128");
  }
  if (options.train_samples < 1 || options.validation_samples < 1 || options.samples_per_file < 1) {
    refuse("sample counts must be at least 1", "give positive numbers");
  }
  if (options.gzip < 0 || options.gzip > 9)
    refuse(fmt::format("gzip level {} is not 0 to 9", options.gzip), "choose 0 for none");
  if (options.layout != "universe") return;
  const int u = options.universe_extent;
  if (u < options.extent || u % options.extent != 0 || u > 1024) {
    refuse(fmt::format("universe extent {} is not a multiple of the sample extent {}", u, options.extent),
           "choose a multiple, e.g. 512 of 128");
  }
  const std::int64_t blocks =
      static_cast<std::int64_t>(u / options.extent) * (u / options.extent) * (u / options.extent);
  for (const std::int64_t samples : {options.train_samples, options.validation_samples}) {
    if (samples % blocks != 0) {
      refuse(fmt::format("{} samples are not whole universes of {} blocks", samples, blocks),
             fmt::format("give multiples of {}", blocks));
    }
  }
}

std::int64_t samples_in_file(const SynthOptions& options) {
  if (options.layout == "block") return 1;
  if (options.layout == "packed") return options.samples_per_file;
  const std::int64_t along = options.universe_extent / options.extent;
  return along * along * along;
}

std::vector<FilePlan> files_of(const SynthOptions& options, const std::vector<SplitPlan>& splits) {
  const std::string prefix = options.layout == "universe" ? "univ" : options.layout;
  const std::int64_t size = samples_in_file(options);
  std::vector<FilePlan> files;
  for (const SplitPlan& split : splits) {
    for (std::int64_t first = 0; first < split.samples; first += size) {
      files.push_back(
          {&split, fmt::format("{}_{:06}.hdf5", prefix, first / size), first, std::min(size, split.samples - first)});
    }
  }
  return files;
}

/// Everything that shapes a file's bytes, as one line.
std::string fingerprint(const SynthOptions& options, const FilePlan& file) {
  return fmt::format(
      "layout={} extent={} universe_extent={} gzip={} big_endian={} seed={} split={} first={} samples={}",
      options.layout, options.extent, options.layout == "universe" ? options.universe_extent : 0, options.gzip,
      options.big_endian ? 1 : 0, options.seed, file.split->name, file.first, file.samples);
}

/// Whether the file is already there; raises Error{data} where another one is.
bool present(const std::filesystem::path& path, const std::string& wanted) {
  if (!std::filesystem::exists(path)) return false;
  const std::string found = read_attribute(path, "options");
  if (found == wanted && read_attribute(path, "generator_version") == generator_version) return true;
  throw Error(ExitCode::data,
              Complaint{path.string(),
                        found.empty() ? "exists and was not made by this generator"
                                      : fmt::format("holds other data: {}", found),
                        fmt::format("wanted: {}", wanted), "remove the folder yourself, or generate into another one"});
}

void describe(Hdf5Writer& file, const SynthOptions& options, const FilePlan& plan, const std::string& counts,
              const std::string& targets) {
  file.attribute("generator", "trainmark cosmoflow");
  file.attribute("generator_version", std::string(generator_version));
  file.attribute("options", fingerprint(options, plan));
  file.attribute("seed", static_cast<std::int64_t>(options.seed));
  file.attribute("note", "generated data: clustered counts whose four parameters can be learnt; no simulation");
  file.unit(counts, "particles per voxel, at four redshifts");
  file.unit(targets, "amplitude, tilt, scale, growth; each mapped to [-1, 1]");
}

/// One universe: the original files' names, one field, its targets in unitPar.
void write_universe(Hdf5Writer& file, const SynthOptions& options, const FilePlan& plan) {
  const auto e = static_cast<hsize_t>(options.universe_extent);
  const auto block = static_cast<hsize_t>(options.extent);
  const std::uint64_t index = static_cast<std::uint64_t>(plan.first / samples_in_file(options));
  const std::array<float, 4> parameters = parameters_of(options, plan.split->stream, index);
  std::vector<std::int16_t> counts(e * e * e * 4);
  FieldMaker(options.universe_extent, options.extent).make(parameters, options.seed, plan.split->stream, index, counts);
  Storage storage{{}, options.gzip, options.big_endian};
  if (options.gzip > 0) storage.chunk = {block, block, block, 4};
  file.counts("full", {e, e, e, 4}, storage);
  file.write_counts("full", 0, e, counts);
  file.floats("unitPar", {4}, parameters, options.big_endian);
  const std::array<float, 4> physical = {
      static_cast<float>(1.4 * std::exp2(0.8 * parameters[0])), -1.8F + 1.8F * parameters[1],
      static_cast<float>(7.0 * std::exp2(1.1 * parameters[2])), 0.75F + 0.2F * parameters[3]};
  file.floats("physPar", {4}, physical, options.big_endian);
  file.strings("namePar", {"amplitude", "tilt", "scale", "growth"});
  file.floats("redshifts", {4}, std::array<float, 4>{0.0F, 0.5F, 1.5F, 3.0F}, options.big_endian);
  describe(file, options, plan, "full", "unitPar");
}

/// One block or many: an independent field a sample.
void write_samples(Hdf5Writer& file, const SynthOptions& options, const FilePlan& plan, FieldMaker& maker) {
  const auto e = static_cast<hsize_t>(options.extent);
  const auto n = static_cast<hsize_t>(plan.samples);
  const bool packed = options.layout == "packed";
  const std::vector<hsize_t> extents = packed ? std::vector<hsize_t>{n, e, e, e, 4} : std::vector<hsize_t>{e, e, e, 4};
  Storage storage{{}, options.gzip, options.big_endian};
  if (options.gzip > 0) storage.chunk = packed ? std::vector<hsize_t>{1, e, e, e, 4} : extents;
  file.counts("x", extents, storage);
  std::vector<std::int16_t> counts(e * e * e * 4);
  std::vector<float> targets;
  for (std::int64_t sample = 0; sample < plan.samples; ++sample) {
    const auto index = static_cast<std::uint64_t>(plan.first + sample);
    const std::array<float, 4> parameters = parameters_of(options, plan.split->stream, index);
    maker.make(parameters, options.seed, plan.split->stream, index, counts);
    file.write_counts("x", packed ? static_cast<hsize_t>(sample) : 0, packed ? 1 : e, counts);
    targets.insert(targets.end(), parameters.begin(), parameters.end());
  }
  file.floats("y", packed ? std::vector<hsize_t>{n, 4} : std::vector<hsize_t>{4}, targets, options.big_endian);
  describe(file, options, plan, "x", "y");
}

void write_file(const SynthOptions& options, const FilePlan& plan, const std::filesystem::path& path,
                FieldMaker* maker) {
  PartialFile partial(path);
  Hdf5Writer file(partial.path());
  if (options.layout == "universe") {
    write_universe(file, options, plan);
  } else {
    write_samples(file, options, plan, *maker);
  }
  file.close();
  partial.publish();
}

}  // namespace
}  // namespace synth

SynthReport generate_cosmoflow(const World& world, const SynthOptions& options, const std::filesystem::path& target,
                               const std::function<void(double)>& progress) {
  using namespace synth;
  const Clock clock;
  const Group& all = world.all();
  SynthReport report;
  const std::vector<SplitPlan> splits = {{"train", 0, options.train_samples},
                                         {"validation", 1, options.validation_samples}};
  agree_on(all, [&] {
    require_sense(options);
    if (all.rank() != 0) return;
    for (const SplitPlan& split : splits) {
      std::error_code error;
      std::filesystem::create_directories(target / split.name, error);
      if (error) {
        throw Error(ExitCode::data, Complaint{(target / split.name).string(),
                                              fmt::format("cannot create the folder: {}", error.message()), "",
                                              "choose a target that you may write to"});
      }
    }
  });
  const std::vector<FilePlan> files = files_of(options, splits);
  agree_on(all, [&] {
    std::unique_ptr<FieldMaker> maker;
    if (options.layout != "universe") maker = std::make_unique<FieldMaker>(options.extent, options.extent);
    for (std::size_t i = static_cast<std::size_t>(all.rank()); i < files.size();
         i += static_cast<std::size_t>(all.size())) {
      const std::filesystem::path path = target / files[i].split->name / files[i].name;
      const bool kept = present(path, fingerprint(options, files[i]));
      if (!kept) write_file(options, files[i], path, maker.get());
      ++(kept ? report.files_kept : report.files_written);
      report.bytes += static_cast<std::int64_t>(std::filesystem::file_size(path));
      if (progress && all.rank() == 0) progress(static_cast<double>(i + 1) / static_cast<double>(files.size()));
    }
  });
  std::array<std::int64_t, 3> sums = {report.files_written, report.files_kept, report.bytes};
  all.sum(sums);
  return {sums[0], sums[1], sums[2], clock.seconds()};
}

}  // namespace trainmark
