// One image of weather: sixteen channels in their true magnitudes, made of a climate that depends on latitude, smooth
// disturbances, and storms whose masks are the labels. Nothing here is a simulation.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "synth/smooth_noise.hpp"
#include "synth/storms.hpp"

namespace trainmark::synth {

inline constexpr std::size_t channels = 16;
struct Channel {
  std::string_view name, unit;
};
/// In the order of the published data.
inline constexpr std::array<Channel, channels> channel_table = {{{"TMQ", "kg/m2"},
                                                                 {"U850", "m/s"},
                                                                 {"V850", "m/s"},
                                                                 {"UBOT", "m/s"},
                                                                 {"VBOT", "m/s"},
                                                                 {"QREFHT", "kg/kg"},
                                                                 {"PS", "Pa"},
                                                                 {"PSL", "Pa"},
                                                                 {"T200", "K"},
                                                                 {"T500", "K"},
                                                                 {"PRECT", "m/s"},
                                                                 {"TS", "K"},
                                                                 {"TREFHT", "K"},
                                                                 {"Z1000", "m"},
                                                                 {"Z200", "m"},
                                                                 {"ZBOT", "m"}}};

/// Makes images of one size, again and again, in memory taken once. Not thread-safe.
class WeatherMaker {
 public:
  /// Mountains depend on the seed alone: they are the same in all samples.
  WeatherMaker(int height, int width, std::uint64_t seed);

  /// data[height][width][16]; the labels are in storms() afterwards. (seed, stream, index) key everything random.
  void make(std::uint32_t stream, std::uint64_t index, std::span<float> data);
  [[nodiscard]] const Storms& storms() const noexcept { return storms_; }

 private:
  /// What depends on latitude alone, a row.
  struct Climate {
    float vapour, humidity, jet, trade, pressure, t200, t500, surface, z200, disturbance;
  };
  static Climate climate_at(double latitude);
  void fill_row(std::size_t row, float* to);

  int height_, width_;
  std::uint64_t seed_;
  SmoothNoise large_, medium_, small_;
  Storms storms_;
  std::vector<Climate> climate_;                                // by row
  std::vector<float> mountains_;                                // m
  std::vector<float> pressure_, heat_, moisture_, convection_;  // disturbances of variance 1
  std::vector<float> rows_;                                     // a row of each channel
};

}  // namespace trainmark::synth
