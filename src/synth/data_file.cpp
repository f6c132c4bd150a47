#include "synth/data_file.hpp"

#include <array>
#include <cmath>

#include "synth/hdf5_writer.hpp"
#include "trainmark/stage.hpp"

namespace trainmark::synth {
namespace {

std::array<float, 4> parameters_of(const SynthOptions& options, std::uint32_t stream, std::uint64_t index) {
  Rng rng(options.seed, Purpose::synthesise, index, 0x40000000U | stream);
  std::array<float, 4> parameters{};
  for (float& each : parameters)
    each = static_cast<float>(2.0 * rng.uniform() - 1.0);
  return parameters;
}

void describe(Hdf5Writer& file, const SynthOptions& options, const FilePlan& plan, const std::string& counts,
              const std::string& targets) {
  file.attribute("generator", "trainmark cosmoflow");
  file.attribute("generator_version", std::string(generator_version));
  file.attribute("options", fingerprint(options, plan));
  file.attribute("seed", options.seed);
  file.attribute("note", "generated data: clustered counts whose four parameters can be learnt; no simulation");
  file.unit(counts, "particles per voxel, at four redshifts");
  file.unit(targets, "amplitude, tilt, scale, growth; each mapped to [-1, 1]");
}

/// One universe: the original files' names, one field, its targets in unitPar.
void write_universe(Hdf5Writer& file, const SynthOptions& options, const FilePlan& plan) {
  const auto e = static_cast<hsize_t>(options.universe_extent);
  const auto block = static_cast<hsize_t>(options.extent);
  const std::uint64_t index = static_cast<std::uint64_t>(plan.first / samples_in_file(options));
  const std::array<float, 4> parameters = parameters_of(options, plan.stream, index);
  std::vector<std::int16_t> counts(e * e * e * 4);
  FieldMaker(options.universe_extent, options.extent).make(parameters, options.seed, plan.stream, index, counts);
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
void write_samples(Hdf5Writer& file, const SynthOptions& options, const FilePlan& plan, FieldMaker& maker,
                   const SampleDone& done) {
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
    const std::array<float, 4> parameters = parameters_of(options, plan.stream, index);
    maker.make(parameters, options.seed, plan.stream, index, counts);
    file.write_counts("x", packed ? static_cast<hsize_t>(sample) : 0, packed ? 1 : e, counts);
    targets.insert(targets.end(), parameters.begin(), parameters.end());
    done(1);
  }
  file.floats("y", packed ? std::vector<hsize_t>{n, 4} : std::vector<hsize_t>{4}, targets, options.big_endian);
  describe(file, options, plan, "x", "y");
}

}  // namespace

void write_file(const SynthOptions& options, const FilePlan& plan, const std::filesystem::path& path,
                std::unique_ptr<FieldMaker>& maker, const SampleDone& done) {
  PartialFile partial(path);
  Hdf5Writer file(partial.path(), path.string());
  if (options.layout == "universe") {
    write_universe(file, options, plan);
    done(plan.samples);
  } else {
    if (!maker) maker = std::make_unique<FieldMaker>(options.extent, options.extent);
    write_samples(file, options, plan, *maker, done);
  }
  file.close();
  partial.publish();
}

}  // namespace trainmark::synth
