// A clustered field from four parameters: a Gaussian random field of given power spectrum, its exponential, and counts.
// Bulk arithmetic calls none of the C library's transcendental functions, whose last bits differ between versions and
// CPUs; tables (spectrum, the transform's twiddles) do, so equal bytes are promised for one machine only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace trainmark::synth {

/// Makes fields of one extent, again and again, in memory taken once: 4 bytes a voxel. Not thread-safe.
class FieldMaker {
 public:
  /// `unit` is the extent (voxels) whose fundamental mode is wave number 1: a sample's, also within a larger universe.
  FieldMaker(int extent, int unit);
  ~FieldMaker();
  FieldMaker(const FieldMaker&) = delete;
  FieldMaker& operator=(const FieldMaker&) = delete;

  /// counts[D][H][W][4] with mean 1 a channel. (seed, stream, index) key everything random.
  void make(const std::array<float, 4>& parameters, std::uint64_t seed, std::uint32_t stream, std::uint64_t index,
            std::span<std::int16_t> counts);

 private:
  void gaussian(float tilt, float scale, std::uint64_t seed, std::uint32_t stream, std::uint64_t index);
  void tabulate(float tilt, float scale);
  void shape_modes();
  void make_hermitian(std::size_t z);
  void transform_axis(std::size_t lines, std::size_t stride, std::size_t columns, std::size_t jump);
  void transform();
  void normalise();

  struct Transforms;
  int extent_, unit_;
  std::unique_ptr<Transforms> transforms_;
  std::vector<float> field_;      // modes [E][E][E / 2 + 1] as pairs; after the transform [E][E][E], unit variance
  std::vector<float> amplitude_;  // by squared wave number
};

}  // namespace trainmark::synth
