// Small HDF5 files, one of each form in which samples are stored.
#pragma once

#include "fuzz/fuzz.hpp"

namespace trainmark::fuzz {

/// x: 4x4x4x2 i16, y: 4 f32.
[[nodiscard]] DataSchema sample_schema();
[[nodiscard]] DataSchema schema_as_found();  ///< the same with any extents
[[nodiscard]] std::vector<Seed> hdf5_seeds();

}  // namespace trainmark::fuzz
