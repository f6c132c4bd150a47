// Generated datasets in the true shapes of the benchmarks, whose targets can be learnt from their inputs.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <variant>

#include "trainmark/comm.hpp"
#include "trainmark/load.hpp"

namespace trainmark {

/// CosmoFlow's cubes of counts, shaped by four parameters that are the targets.
struct CosmoflowData {
  int extent = 32;            ///< voxels along each axis of a sample; even
  int universe_extent = 128;  ///< layout universe: voxels along each axis of a file; a multiple of extent
  bool operator==(const CosmoflowData&) const = default;
};
/// DeepCAM's images of weather, whose labels mark tropical cyclones and atmospheric rivers. The true size is 768 x
/// 1152.
struct DeepcamData {
  int height = 96;     ///< pixels from pole to pole, 32 to 1536
  int width = 144;     ///< pixels around the globe, 32 to 3072
  int label_bits = 8;  ///< of the labels in the files: 8 (unsigned), 16, 32 or 64
  bool operator==(const DeepcamData&) const = default;
};
/// ResNet-50's JPEGs of drawn pictures, whose class is their texture, then their colour, period and shape.
struct ImageData {
  int classes = 10;  ///< 2 to 1000
  int size = 96;     ///< pixels; the sides of an image are 0.75 to 1.5 times as long, 32 to 2048
  bool operator==(const ImageData&) const = default;
};

/// What `data generate` makes. Bytes depend on these options alone, not on ranks, threads or time.
struct SynthOptions {
  std::variant<CosmoflowData, DeepcamData, ImageData> content;
  DatasetLayout layout = DatasetLayout::packed;  ///< block, packed; CosmoFlow also universe; images: jpeg
  std::int64_t train_samples = 3072;             ///< below <target>/train
  std::int64_t validation_samples = 256;         ///< below <target>/validation
  int samples_per_file = 64;                     ///< layouts packed and jpeg
  int gzip = 0;                                  ///< 0: contiguous; 1-9: chunked, shuffle + deflate
  bool big_endian = false;
  std::uint64_t seed = 20231;
  bool operator==(const SynthOptions&) const = default;
};

/// What samples of such a dataset are: data f32 [height,width,16]; labels u8 [height,width], 0 to 2. Extents of 0:
/// open.
[[nodiscard]] DataSchema deepcam_schema(std::int64_t height, std::int64_t width);

/// What samples of images are: image u8 [extent,extent,3], decoded from JPEGs; label i32 (one number) below `classes`
/// (0: any that is not negative).
[[nodiscard]] DataSchema image_schema(std::int64_t extent, int classes);

struct SynthReport {
  std::int64_t files_written = 0, files_kept = 0, bytes = 0;
  double seconds = 0.0;
};
/// Collective: writes files in parallel, one rank a file, each under a temporary name until complete. Bytes are equal
/// for any number of ranks on one machine; another C library may round a few values differently. A file that exists
/// with the same generator version and options (attributes say so) is kept; nothing is replaced. Everything that is
/// there is looked at before the first byte is written. DeepCAM's datasets also get <target>/stats.h5, made of their
/// training files (it follows them, where it is this generator's). `progress` is called on rank 0. Raises Error{usage}:
/// options that do not fit together; Error{data}: other data in the way (what differs is named), data files that do not
/// belong, a full disk.
SynthReport generate_dataset(const World& world, const SynthOptions& options, const std::filesystem::path& target,
                             const std::function<void(double fraction)>& progress);

/// One clustered field: counts[D][H][W][4] with mean 1 per channel, shaped by four parameters in [-1, 1]
/// (amplitude, tilt, scale, growth).
void cosmoflow_field(int extent, const std::array<float, 4>& parameters, std::uint64_t seed, std::uint64_t index,
                     std::span<std::int16_t> counts);

}  // namespace trainmark
