// Bob Jenkins' lookup3 as HDF5 uses it for its metadata.
#pragma once

#include <cstdint>
#include <string_view>

namespace trainmark::fuzz {

[[nodiscard]] std::uint32_t hdf5_checksum(std::string_view bytes);

}  // namespace trainmark::fuzz
