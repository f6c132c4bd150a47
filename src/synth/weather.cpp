#include "synth/weather.hpp"

#include <algorithm>
#include <cmath>

#include "trainmark/core.hpp"

namespace trainmark::synth {
namespace {

/// Streams of one sample's fields, within 64 for each split; the mountains are in the last.
constexpr std::uint32_t streams = 64, first_stream = 0x10000000U, mountains_stream = 0x1FFFFFC0U;

float bell(double latitude, double centre, double width) {
  const double x = (latitude - centre) / width;
  return static_cast<float>(std::exp(-x * x));
}

}  // namespace

WeatherMaker::WeatherMaker(int height, int width, std::uint64_t seed)
    : height_(height),
      width_(width),
      seed_(seed),
      large_(height, width, 4, 3, 0.45F),
      medium_(height, width, 6, 4, 0.5F),
      small_(height, width, 16, 3, 0.7F),
      storms_(height, width) {
  const std::size_t pixels = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  for (auto* plane : {&mountains_, &pressure_, &heat_, &moisture_, &convection_})
    plane->resize(pixels);
  rows_.resize(channels * static_cast<std::size_t>(width));
  for (int row = 0; row < height; ++row)
    climate_.push_back(climate_at(180.0 * ((row + 0.5) / height - 0.5)));
  medium_.make({seed, mountains_stream, 0}, mountains_);
  for (float& each : mountains_)
    each = std::clamp(2600.0F * (each - 0.7F), 0.0F, 5000.0F);
}

WeatherMaker::Climate WeatherMaker::climate_at(double latitude) {
  const double away = std::abs(latitude);
  const auto cold = static_cast<float>(away * away / 8100.0);  // 0 at the equator, 1 at the poles
  Climate at{};
  at.vapour = 5.0F + 44.0F * bell(latitude, 3.0, 27.0);                                          // kg/m2
  at.humidity = 0.0012F + 0.0145F * bell(latitude, 3.0, 32.0);                                   // kg/kg
  at.jet = 11.0F * bell(away, 42.0, 14.0);                                                       // m/s
  at.trade = -7.0F * bell(away, 13.0, 11.0);                                                     // m/s
  at.pressure = 101100.0F + 900.0F * bell(away, 30.0, 12.0) - 1400.0F * bell(away, 62.0, 14.0);  // Pa
  at.t200 = 217.0F - 10.0F * bell(away, 0.0, 30.0);  // K: coldest over the tropics
  at.t500 = 268.0F - 34.0F * cold;
  at.surface = 301.0F - 54.0F * cold;
  at.z200 = 12420.0F - 1250.0F * cold;                              // m
  at.disturbance = 0.25F + 0.75F * (1.0F - bell(away, 0.0, 32.0));  // weather is weaker near the equator
  return at;
}

void WeatherMaker::make(std::uint32_t stream, std::uint64_t index, std::span<float> data) {
  const std::size_t width = static_cast<std::size_t>(width_);
  TRAINMARK_CHECK(data.size() == pressure_.size() * channels, "sixteen channels a pixel");
  Rng random(seed_, Purpose::synthesise, index, 0x20000000U | stream);
  draw_storms(random, storms_);
  Key key{seed_, first_stream + stream * streams, index};
  const auto next = [&](SmoothNoise& noise, std::vector<float>& field) {
    noise.make(key, field);
    key.stream += SmoothNoise::most_octaves;
  };
  next(large_, pressure_);
  next(medium_, heat_);
  next(medium_, moisture_);
  next(small_, convection_);
  for (std::size_t row = 0; row < static_cast<std::size_t>(height_); ++row)
    fill_row(row, data.data() + row * width * channels);
}

void WeatherMaker::fill_row(std::size_t row, float* to) {
  const auto width = static_cast<std::size_t>(width_), height = static_cast<std::size_t>(height_);
  const Climate at = climate_[row];
  const std::size_t begin = row * width, below = (row > 0 ? row - 1 : row) * width,
                    above = (row + 1 < height ? row + 1 : row) * width;
  // Winds go around the disturbances of pressure: their speed is the slope over a distance of 1/60 of the height.
  const float slope = at.disturbance * static_cast<float>(height_) / 60.0F * 40.0F;
  const float turn = 2 * row < height ? -1.0F : 1.0F;  // by hemisphere
  const auto channel = [&](std::size_t number) { return rows_.data() + number * width; };
  for (std::size_t x = 0; x < width; ++x) {
    const std::size_t i = begin + x, west = begin + (x > 0 ? x - 1 : width - 1),
                      east = begin + (x + 1 < width ? x + 1 : 0);
    const float pressure = at.disturbance * pressure_[i], heat = at.disturbance * heat_[i];
    const float u = -0.5F * turn * slope * (pressure_[above + x] - pressure_[below + x]) + at.jet + at.trade;
    const float v = 0.5F * turn * slope * (pressure_[east] - pressure_[west]);
    const float ground = mountains_[i], rise = std::max(0.0F, convection_[i]);
    const float sea_level = at.pressure + 700.0F * pressure - storms_.depth[i];
    const float surface = at.surface + 3.5F * heat - 0.0055F * ground;
    const float vapour = at.vapour * (1.0F + 0.12F * moisture_[i]) * (1.0F - 0.00012F * ground);
    channel(0)[x] = std::max(0.3F, vapour + storms_.wet[i]);
    channel(1)[x] = u + storms_.east[i];
    channel(2)[x] = v + storms_.north[i];
    channel(3)[x] = 0.7F * u + 0.3F * at.trade + 0.8F * storms_.east[i];
    channel(4)[x] = 0.7F * v + 0.8F * storms_.north[i];
    channel(5)[x] = std::max(1e-5F, at.humidity * (1.0F + 0.1F * moisture_[i]) + 1.0e-4F * storms_.wet[i]);
    channel(6)[x] = sea_level * (1.0F - ground * (1.0F / 8400.0F - ground * (1.0F / 180e6F)));
    channel(7)[x] = sea_level;
    channel(8)[x] = at.t200 + 1.8F * heat + storms_.warm[i];
    channel(9)[x] = at.t500 + 2.5F * heat + 0.6F * storms_.warm[i];
    channel(10)[x] = 1e-9F + 3e-8F * rise * rise * rise * (0.2F + vapour / 50.0F) + 6e-7F * storms_.rain[i];
    channel(11)[x] = surface + 0.8F * convection_[i];
    channel(12)[x] = surface - 1.0F;
    channel(13)[x] = 0.083F * (sea_level - 100000.0F);
    channel(14)[x] = at.z200 + 45.0F * heat + 60.0F * pressure + 12.0F * storms_.warm[i];
    channel(15)[x] = 62.0F + 0.21F * (surface - 288.0F);
  }
  for (std::size_t x = 0; x < width; ++x) {
    for (std::size_t number = 0; number < channels; ++number)
      to[x * channels + number] = rows_[number * width + x];
  }
}

}  // namespace trainmark::synth
