// Generated weather has true magnitudes, the true share of each class, and labels that its values give away.
#include "synth/weather.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark::synth {
namespace {

constexpr std::uint64_t seed = 20231;

struct Image {
  std::vector<float> data;
  std::vector<std::uint8_t> labels, relaxed;
};

Image image(WeatherMaker& maker, int height, int width, std::uint64_t index, std::uint32_t stream = 0) {
  Image made;
  made.data.resize(static_cast<std::size_t>(height * width) * channels);
  maker.make(stream, index, made.data);
  made.labels = maker.storms().labels;
  made.relaxed = maker.storms().relaxed;
  return made;
}

std::array<double, 3> shares(int height, int width, int samples) {
  WeatherMaker maker(height, width, seed);
  std::array<double, 3> counts{};
  for (int i = 0; i < samples; ++i) {
    for (const std::uint8_t label : image(maker, height, width, static_cast<std::uint64_t>(i)).labels)
      counts.at(label) += 1.0 / (static_cast<double>(height) * width * samples);
  }
  return counts;
}

TEST(Weather, HasTheTrueShareOfEachClassAtFullSize) {
  const auto [background, cyclones, rivers] = shares(768, 1152, 40);
  EXPECT_NEAR(background, 0.986267818, 0.004);
  EXPECT_NEAR(cyclones, 0.00045787, 0.2 * 0.00045787);
  EXPECT_NEAR(rivers, 0.01327431, 0.2 * 0.01327431);
}

TEST(Weather, HasCyclonesAndRiversInMostSamplesHoweverSmallTheImage) {
  for (const auto& [height, width] : {std::pair{48, 72}, {64, 96}, {96, 144}}) {
    WeatherMaker maker(height, width, seed);
    int cyclones = 0, rivers = 0;
    constexpr int samples = 100, some = 8;  // pixels
    for (std::uint64_t i = 0; i < samples; ++i) {
      const Image made = image(maker, height, width, i);
      cyclones += std::ranges::count(made.labels, 1) >= some ? 1 : 0;
      rivers += std::ranges::count(made.labels, 2) >= some ? 1 : 0;
    }
    EXPECT_GT(cyclones, 80) << height;
    EXPECT_EQ(rivers, samples) << height;
    const auto [background, of_cyclones, of_rivers] = shares(height, width, samples);
    EXPECT_LT(of_cyclones, 0.02) << height;
    EXPECT_LT(of_rivers, 0.05) << height;
  }
}

TEST(Weather, HasNoCycloneInATenthOfItsSamples) {
  WeatherMaker maker(64, 96, seed);
  int without = 0;
  constexpr int samples = 400;
  for (std::uint64_t i = 0; i < samples; ++i)
    without += std::ranges::count(image(maker, 64, 96, i).labels, 1) == 0 ? 1 : 0;
  EXPECT_NEAR(without / static_cast<double>(samples), 0.1, 0.05);  // over three standard deviations
}

TEST(Weather, HasTheMagnitudesOfTheTrueChannels) {
  constexpr std::array<std::pair<float, float>, channels> bounds = {{{0.0F, 90.0F},
                                                                     {-80.0F, 80.0F},
                                                                     {-80.0F, 80.0F},
                                                                     {-80.0F, 80.0F},
                                                                     {-80.0F, 80.0F},
                                                                     {0.0F, 0.03F},
                                                                     {5e4F, 1.06e5F},
                                                                     {9e4F, 1.06e5F},
                                                                     {190.0F, 240.0F},
                                                                     {210.0F, 290.0F},
                                                                     {0.0F, 1e-5F},
                                                                     {200.0F, 320.0F},
                                                                     {200.0F, 320.0F},
                                                                     {-900.0F, 600.0F},
                                                                     {1e4F, 1.3e4F},
                                                                     {30.0F, 90.0F}}};
  constexpr std::array<float, channels> spread = {30, 40, 30,    30, 25, 0.01F, 2e4F, 4e3F,
                                                  10, 30, 1e-7F, 60, 60, 300,   1000, 10};
  WeatherMaker maker(96, 144, seed);
  std::array<float, channels> least, most;
  least.fill(INFINITY);
  most.fill(-INFINITY);
  double rain = 0.0;
  for (std::uint64_t i = 0; i < 20; ++i) {
    const Image made = image(maker, 96, 144, i);
    for (std::size_t at = 0; at < made.data.size(); ++at) {
      least[at % channels] = std::min(least[at % channels], made.data[at]);
      most[at % channels] = std::max(most[at % channels], made.data[at]);
      if (at % channels == 10) rain += static_cast<double>(made.data[at]) / (20.0 * 96 * 144);
    }
  }
  for (std::size_t i = 0; i < channels; ++i) {
    EXPECT_GE(least[i], bounds[i].first) << channel_table[i].name;
    EXPECT_LE(most[i], bounds[i].second) << channel_table[i].name;
    EXPECT_GT(most[i] - least[i], spread[i]) << channel_table[i].name;
  }
  EXPECT_GT(rain, 3e-9);
  EXPECT_LT(rain, 1e-7);
}

TEST(Weather, HasTheFiguresItAlwaysHad) {
  // A change here changes what equal options generate: raise generator_version with these numbers.
  WeatherMaker maker(96, 144, seed);
  std::array<double, channels> mean{}, square{};
  std::array<int, 3> labels{}, relaxed{};
  for (std::uint64_t i = 0; i < 4; ++i) {
    const Image made = image(maker, 96, 144, i, 1);
    for (std::size_t at = 0; at < made.data.size(); ++at) {
      const auto value = static_cast<double>(made.data[at]);
      mean[at % channels] += value / (4.0 * 96 * 144);
      square[at % channels] += value * value / (4.0 * 96 * 144);
    }
    for (std::size_t at = 0; at < made.labels.size(); ++at) {
      ++labels.at(made.labels[at]);
      ++relaxed.at(made.relaxed[at]);
    }
  }
  constexpr std::array<double, channels> means = {16.8097856288,    1.58596836937,    -0.0775124355762,  0.70418297561,
                                                  -0.0620099487954, 0.00585625798658, 98415.1815,        100867.669974,
                                                  214.186859716,    256.841695722,    1.92925360328e-08, 282.006233345,
                                                  280.993866708,    72.0166051375,    12002.8935371,     60.7387120215};
  constexpr std::array<double, channels> deviations = {
      15.2301693221, 6.74506300576, 4.67845531709, 5.25438181285, 3.42305012689,     0.0051990221525,
      6377.83943755, 869.571219466, 3.80048949295, 10.2825389118, 5.97138335197e-08, 16.3705255695,
      16.3377979202, 72.1744084537, 373.076471879, 3.43093745319};
  for (std::size_t c = 0; c < channels; ++c) {
    EXPECT_NEAR(mean[c], means[c], 1e-5 * deviations[c]) << channel_table[c].name;
    EXPECT_NEAR(std::sqrt(square[c] - mean[c] * mean[c]), deviations[c], 1e-5 * deviations[c]) << channel_table[c].name;
  }
  EXPECT_EQ(labels, (std::array<int, 3>{54018, 243, 1035}));
  EXPECT_EQ(relaxed, (std::array<int, 3>{53777, 321, 1198}));
}

TEST(Weather, IsTheSameWhateverWasMadeBefore) {
  WeatherMaker once(64, 96, seed), again(64, 96, seed), other(64, 96, seed + 1);
  (void)image(again, 64, 96, 3, 1);
  const Image first = image(once, 64, 96, 7), second = image(again, 64, 96, 7);
  EXPECT_EQ(first.data, second.data);
  EXPECT_EQ(first.labels, second.labels);
  EXPECT_NE(first.data, image(once, 64, 96, 8).data);
  EXPECT_NE(first.data, image(once, 64, 96, 7, 1).data) << "training and validation";
  EXPECT_NE(first.data, image(other, 64, 96, 7).data);
}

TEST(Weather, RelaxedLabelsHoldTheOthers) {
  WeatherMaker maker(96, 144, seed);
  std::size_t labelled = 0, relaxed = 0;
  for (std::uint64_t i = 0; i < 10; ++i) {
    const Image made = image(maker, 96, 144, i);
    for (std::size_t at = 0; at < made.labels.size(); ++at) {
      labelled += made.labels[at] != 0 ? 1 : 0;
      relaxed += made.relaxed[at] != 0 ? 1 : 0;
      if (made.labels[at] != 0) {
        EXPECT_NE(made.relaxed[at], 0);
      }
    }
  }
  EXPECT_GT(static_cast<double>(relaxed), 1.1 * static_cast<double>(labelled));
}

/// Sum over a cyclone's pixels of the turning sense of the wind around the pixel of the lowest pressure nearby: above 0
/// against the clock.
double turning(const Image& made, int height, int width, bool north) {
  double sum = 0.0;
  const auto at = [&](int y, int x) { return static_cast<std::size_t>(y * width + (x + width) % width); };
  for (int y = north ? height / 2 : 1; y < (north ? height - 1 : height / 2); ++y) {
    for (int x = 0; x < width; ++x) {
      if (made.labels[at(y, x)] != 1) continue;
      const float north_wind = made.data[at(y, x + 1) * channels + 2] - made.data[at(y, x - 1) * channels + 2];
      const float east_wind = made.data[at(y + 1, x) * channels + 1] - made.data[at(y - 1, x) * channels + 1];
      sum += static_cast<double>(north_wind - east_wind);
    }
  }
  return sum;
}

TEST(Weather, CyclonesTurnAgainstTheClockInTheNorthAndWithItInTheSouth) {
  WeatherMaker maker(96, 144, seed);
  double north = 0.0, south = 0.0;
  for (std::uint64_t i = 0; i < 20; ++i) {
    const Image made = image(maker, 96, 144, i);
    north += turning(made, 96, 144, true);
    south += turning(made, 96, 144, false);
  }
  EXPECT_GT(north, 100.0);
  EXPECT_LT(south, -100.0);
}

// --- Labels can be learnt --------------------------------------------------------------------------------------------

using Pixel = std::array<float, channels + 1>;  // scaled to [0, 1], and 1

/// Pixels of `samples` images from `first` on, channels scaled by the ranges of all of them.
struct Pixels {
  std::vector<Pixel> values;
  std::vector<std::uint8_t> labels;
};
Pixels pixels_of(std::uint64_t first, std::uint64_t samples) {
  WeatherMaker maker(64, 96, seed);
  Pixels pixels;
  constexpr std::array<float, channels> least = {0,   -60, -60, -50, -50, 0,    5e4F,    9.5e4F,
                                                 200, 220, 0,   210, 210, -400, 1.09e4F, 45};
  constexpr std::array<float, channels> most = {75,  60,  60,    50,  50,  0.022F, 1.04e5F,  1.04e5F,
                                                225, 278, 3e-6F, 307, 305, 300,    1.256e4F, 66};
  for (std::uint64_t i = first; i < first + samples; ++i) {
    const Image made = image(maker, 64, 96, i);
    for (std::size_t at = 0; at < made.labels.size(); ++at) {
      Pixel& pixel = pixels.values.emplace_back();
      for (std::size_t c = 0; c < channels; ++c)
        pixel[c] = (made.data[at * channels + c] - least[c]) / (most[c] - least[c]);
      pixel[channels] = 1.0F;
      pixels.labels.push_back(made.labels[at]);
    }
  }
  return pixels;
}

using Weights = std::array<std::array<double, channels + 1>, 3>;

std::array<double, 3> scores(const Weights& weights, const Pixel& pixel) {
  std::array<double, 3> result{};
  for (std::size_t k = 0; k < 3; ++k) {
    for (std::size_t c = 0; c <= channels; ++c)
      result[k] += weights[k][c] * static_cast<double>(pixel[c]);
  }
  return result;
}

/// Softmax regression on single pixels: Adam on batches in a fixed order.
Weights learn(const Pixels& pixels) {
  Weights weights{}, mean{}, square{};
  constexpr std::size_t batch_size = 1024;
  std::size_t next = 0;
  for (int step = 1; step <= 1000; ++step) {
    Weights gradient{};
    for (std::size_t i = 0; i < batch_size; ++i, next = (next + 7919) % pixels.values.size()) {
      const Pixel& pixel = pixels.values[next];
      std::array<double, 3> p = scores(weights, pixel);
      const double top = std::ranges::max(p);
      double total = 0.0;
      for (double& each : p)
        total += each = std::exp(each - top);
      for (std::size_t k = 0; k < 3; ++k) {
        const double difference = p[k] / total - (pixels.labels[next] == k ? 1.0 : 0.0);
        for (std::size_t c = 0; c <= channels; ++c)
          gradient[k][c] += difference * static_cast<double>(pixel[c]) / batch_size;
      }
    }
    for (std::size_t k = 0; k < 3; ++k) {
      for (std::size_t c = 0; c <= channels; ++c) {
        mean[k][c] = 0.9 * mean[k][c] + 0.1 * gradient[k][c];
        square[k][c] = 0.99 * square[k][c] + 0.01 * gradient[k][c] * gradient[k][c];
        weights[k][c] -= 0.2 * mean[k][c] / (std::sqrt(square[k][c]) + 1e-8);
      }
    }
  }
  return weights;
}

TEST(Weather, LabelsFollowFromTheValuesAtAPixel) {
  const Weights weights = learn(pixels_of(0, 24));
  const Pixels unseen = pixels_of(1000, 12);
  std::array<double, 3> both{}, either{};
  for (std::size_t i = 0; i < unseen.values.size(); ++i) {
    const auto p = scores(weights, unseen.values[i]);
    const auto guess = static_cast<std::size_t>(std::ranges::max_element(p) - p.begin());
    const std::size_t label = unseen.labels[i];
    if (guess == label) both[label] += 1.0;
    either[label] += 1.0;
    if (guess != label) either[guess] += 1.0;
  }
  // Guessing by share alone gives an intersection over union of 0 for the two rare classes.
  EXPECT_GT(both[0] / either[0], 0.98);
  EXPECT_GT(both[1] / either[1], 0.5);
  EXPECT_GT(both[2] / either[2], 0.7);
}

TEST(SmoothNoise, HasUnitVarianceAndNoSeam) {
  constexpr int height = 96, width = 144;
  SmoothNoise noise(height, width, 4, 4, 0.5F);
  std::vector<float> field(height * width);
  double sum = 0.0, square = 0.0, seam = 0.0, inside = 0.0;
  for (std::uint64_t index = 0; index < 50; ++index) {
    noise.make({seed, 5, index}, field);
    for (std::size_t y = 0; y < height; ++y) {
      const float* row = field.data() + y * width;
      for (std::size_t x = 0; x < width; ++x) {
        sum += static_cast<double>(row[x]);
        square += static_cast<double>(row[x] * row[x]);
      }
      seam += std::abs(static_cast<double>(row[0] - row[width - 1]));
      inside += std::abs(static_cast<double>(row[40] - row[39]));
    }
  }
  constexpr double values = 50.0 * height * width;
  EXPECT_NEAR(sum / values, 0.0, 0.1);
  EXPECT_NEAR(square / values, 1.0, 0.15);
  EXPECT_NEAR(seam / inside, 1.0, 0.25);
}

}  // namespace
}  // namespace trainmark::synth
