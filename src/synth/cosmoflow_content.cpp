// CosmoFlow's files: fields, their parameters, and for universes what the original files have besides.
#include <array>
#include <cmath>

#include "load/hdf5_writer.hpp"
#include "synth/data_file.hpp"
#include "synth/field.hpp"

namespace trainmark::synth {
namespace {

class CosmoflowContent final : public Content {
 public:
  explicit CosmoflowContent(const SynthOptions& options)
      : options_(options), cubes_(std::get<CosmoflowData>(options.content)) {}

  void write(Hdf5Writer& file, const FilePlan& plan, const SampleDone& done) override {
    if (options_.layout != DatasetLayout::universe) return write_samples(file, plan, done);
    write_universe(file, plan);
    done(plan.samples);
  }

 private:
  using Parameters = std::array<float, 4>;

  [[nodiscard]] Parameters parameters_of(std::uint32_t stream, std::uint64_t index) const {
    Rng rng(options_.seed, Purpose::synthesise, index, 0x40000000U | stream);
    Parameters parameters{};
    for (float& each : parameters)
      each = static_cast<float>(2.0 * rng.uniform() - 1.0);
    return parameters;
  }

  void describe_all(Hdf5Writer& file, const FilePlan& plan, const std::string& counts,
                    const std::string& targets) const {
    describe(file, options_, plan,
             "generated data: clustered counts whose four parameters can be learnt; no simulation");
    file.unit(counts, "particles per voxel, at four redshifts");
    file.unit(targets, "amplitude, tilt, scale, growth; each mapped to [-1, 1]");
  }

  void floats(Hdf5Writer& file, const std::string& name, const std::vector<hsize_t>& extents,
              std::span<const float> values) const {
    file.values(name, Number::f32, extents, std::as_bytes(values), options_.big_endian);
  }

  /// One universe: the original files' names, one field, its targets in unitPar.
  void write_universe(Hdf5Writer& file, const FilePlan& plan) const {
    const auto e = static_cast<hsize_t>(cubes_.universe_extent);
    const auto block = static_cast<hsize_t>(cubes_.extent);
    const auto index = static_cast<std::uint64_t>(plan.first / samples_in_file(options_));
    const Parameters parameters = parameters_of(plan.stream, index);
    std::vector<std::int16_t> counts(e * e * e * 4);
    FieldMaker(cubes_.universe_extent, cubes_.extent).make(parameters, options_.seed, plan.stream, index, counts);
    Packing packing{{}, options_.gzip, options_.big_endian};
    if (options_.gzip > 0) packing.chunk = {block, block, block, 4};
    file.dataset("full", Number::i16, {e, e, e, 4}, packing);
    file.write("full", 0, e, Number::i16, std::as_bytes(std::span(counts)));
    floats(file, "unitPar", {4}, parameters);
    const Parameters physical = {static_cast<float>(1.4 * std::exp2(0.8 * parameters[0])), -1.8F + 1.8F * parameters[1],
                                 static_cast<float>(7.0 * std::exp2(1.1 * parameters[2])),
                                 0.75F + 0.2F * parameters[3]};
    floats(file, "physPar", {4}, physical);
    file.strings("namePar", {"amplitude", "tilt", "scale", "growth"});
    floats(file, "redshifts", {4}, Parameters{0.0F, 0.5F, 1.5F, 3.0F});
    describe_all(file, plan, "full", "unitPar");
  }

  /// One block or many: an independent field a sample.
  void write_samples(Hdf5Writer& file, const FilePlan& plan, const SampleDone& done) {
    if (!maker_) maker_ = std::make_unique<FieldMaker>(cubes_.extent, cubes_.extent);
    const auto e = static_cast<hsize_t>(cubes_.extent);
    const auto n = static_cast<hsize_t>(plan.samples);
    const bool packed = options_.layout == DatasetLayout::packed;
    const std::vector<hsize_t> extents =
        packed ? std::vector<hsize_t>{n, e, e, e, 4} : std::vector<hsize_t>{e, e, e, 4};
    Packing packing{{}, options_.gzip, options_.big_endian};
    if (options_.gzip > 0) packing.chunk = packed ? std::vector<hsize_t>{1, e, e, e, 4} : extents;
    file.dataset("x", Number::i16, extents, packing);
    std::vector<std::int16_t> counts(e * e * e * 4);
    std::vector<float> targets;
    for (std::int64_t sample = 0; sample < plan.samples; ++sample) {
      const auto index = static_cast<std::uint64_t>(plan.first + sample);
      const Parameters parameters = parameters_of(plan.stream, index);
      maker_->make(parameters, options_.seed, plan.stream, index, counts);
      file.write("x", packed ? static_cast<hsize_t>(sample) : 0, packed ? 1 : e, Number::i16,
                 std::as_bytes(std::span(counts)));
      targets.insert(targets.end(), parameters.begin(), parameters.end());
      done(1);
    }
    floats(file, "y", packed ? std::vector<hsize_t>{n, 4} : std::vector<hsize_t>{4}, targets);
    describe_all(file, plan, "x", "y");
  }

  SynthOptions options_;
  CosmoflowData cubes_;
  std::unique_ptr<FieldMaker> maker_;
};

}  // namespace

std::unique_ptr<Content> make_cosmoflow(const SynthOptions& options) {
  return std::make_unique<CosmoflowContent>(options);
}

}  // namespace trainmark::synth
