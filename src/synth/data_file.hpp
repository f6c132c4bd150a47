// One file of a dataset: the fields in it, their parameters, and the attributes that tell what it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "synth/dataset_plan.hpp"
#include "synth/field.hpp"

namespace trainmark::synth {

using SampleDone = std::function<void(std::int64_t samples)>;

/// Writes the file under a temporary name, then publishes it. `maker` is made when first needed, for all samples of
/// layouts packed and block. `done` hears of samples as they are written. Raises Error{data}.
void write_file(const SynthOptions& options, const FilePlan& plan, const std::filesystem::path& path,
                std::unique_ptr<FieldMaker>& maker, const SampleDone& done);

}  // namespace trainmark::synth
