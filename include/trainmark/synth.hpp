// Generated datasets in the true shapes of the benchmarks, whose targets can be learnt from their inputs.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "trainmark/comm.hpp"

namespace trainmark {

/// What `data generate` makes. Bytes depend on these options alone, not on ranks, threads or time.
struct SynthOptions {
  std::string layout = "packed";     ///< universe, block, packed
  std::int64_t train_samples = 3072; ///< below <target>/train
  std::int64_t validation_samples = 256;  ///< below <target>/validation
  int extent = 32;                   ///< voxels along each axis of a sample; even
  int universe_extent = 128;         ///< layout universe: voxels along each axis of a file; a multiple of extent
  int samples_per_file = 64;         ///< layout packed
  int gzip = 0;                      ///< 0: contiguous; 1-9: chunked, shuffle + deflate
  bool big_endian = false;
  std::uint64_t seed = 20231;
  bool operator==(const SynthOptions&) const = default;
};

struct SynthReport {
  std::int64_t files_written = 0, files_kept = 0, bytes = 0;
  double seconds = 0.0;
};
/// Collective: writes files in parallel, one rank a file, each under a temporary name until complete. Bytes are equal for
/// any number of ranks on one machine; another C library may round a few counts differently. A file that exists with the
/// same generator version and options (attributes say so) is kept; nothing is replaced. Everything that is there is looked
/// at before the first byte is written. `progress` is called on rank 0. Raises Error{usage}: options that do not fit
/// together; Error{data}: other data in the way (what differs is named), data files that do not belong, a full disk.
SynthReport generate_cosmoflow(const World& world, const SynthOptions& options, const std::filesystem::path& target,
                               const std::function<void(double fraction)>& progress);

/// One clustered field: counts[D][H][W][4] with mean 1 per channel, shaped by four parameters in [-1, 1]
/// (amplitude, tilt, scale, growth).
void cosmoflow_field(int extent, const std::array<float, 4>& parameters, std::uint64_t seed, std::uint64_t index,
                     std::span<std::int16_t> counts);

}  // namespace trainmark
