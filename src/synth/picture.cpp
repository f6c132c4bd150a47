#include "synth/picture.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace trainmark::synth {
namespace {

constexpr int textures = 5, hues = 8, periods = 5, shapes = 5;
using Colour = std::array<double, 3>;  // 0 to 1

/// What is seen, in pixels of the picture.
struct Scene {
  int texture = 0, shape = 0;
  double period = 0.0, shift_x = 0.0, shift_y = 0.0, slant = 1.0;
  double centre_x = 0.0, centre_y = 0.0, radius = 0.0;
  Colour ink{}, ground{};
  double light_x = 0.0, light_y = 0.0;  // slopes of the brightness, over the whole picture
};

double between(Rng& random, double least, double most) { return least + (most - least) * random.uniform(); }

/// Full colours: hue 0 to 1 around the circle.
Colour colour_of(double hue, double saturation, double value) {
  Colour colour{};
  for (std::size_t c = 0; c < 3; ++c) {
    const double place = std::fmod(hue + (3.0 - static_cast<double>(c)) / 3.0, 1.0) * 6.0;
    const double pure = std::clamp(std::abs(place - 3.0) - 1.0, 0.0, 1.0);
    colour[c] = value * (1.0 - saturation + saturation * pure);
  }
  return colour;
}

/// One attribute of a class: its value where classes differ in it, else any.
int attribute(int& rest, int& classes, int values, Rng& random) {
  const int any = static_cast<int>(random.below(static_cast<std::uint64_t>(values)));
  if (classes <= 1) return any;
  const int value = rest % values;
  rest /= values;
  classes = (classes + values - 1) / values;
  return value;
}

Scene scene_of(int label, int classes, int width, int height, Rng& random) {
  Scene scene;
  int rest = label, left = classes;
  scene.texture = attribute(rest, left, textures, random);
  const int told_apart = left <= 1 ? hues : std::min(left, hues);  // as far apart as they can be
  const double hue = attribute(rest, left, hues, random) % told_apart;
  const bool by_period = left > 1;
  const int period = attribute(rest, left, periods, random);
  scene.shape = attribute(rest, left, shapes, random);
  const double shorter = std::min(width, height);
  scene.period = shorter / (by_period ? 3.0 * std::pow(1.5, period) : between(random, 4.0, 7.0));
  scene.shift_x = between(random, 0.0, scene.period);
  scene.shift_y = between(random, 0.0, scene.period);
  scene.slant = random.uniform() < 0.5 ? -1.0 : 1.0;  // a flip makes one of the other
  scene.centre_x = width * between(random, 0.4, 0.6);
  scene.centre_y = height * between(random, 0.4, 0.6);
  scene.radius = shorter * between(random, 0.3, 0.5);
  const double turn = (hue + between(random, -0.2, 0.2)) / told_apart;
  scene.ink = colour_of(turn + 1.0, between(random, 0.7, 1.0), between(random, 0.7, 1.0));
  const double grey = between(random, 0.3, 0.8);
  scene.ground = {grey, grey, grey};
  scene.light_x = between(random, -0.2, 0.2);
  scene.light_y = between(random, -0.2, 0.2);
  return scene;
}

bool odd_half(double place, double period) {
  const double turns = place / period;
  return turns - std::floor(turns) >= 0.5;
}

bool textured(const Scene& scene, double x, double y) {
  x += scene.shift_x;
  y += scene.shift_y;
  switch (scene.texture) {
    case 0:
      return odd_half(x, scene.period);
    case 1:
      return odd_half(y, scene.period);
    case 2:
      return odd_half(x + scene.slant * y, scene.period * 1.414);
    case 3:
      return odd_half(x, scene.period) != odd_half(y, scene.period);
    default: {
      const double u = x / scene.period - std::floor(x / scene.period) - 0.5;
      const double v = y / scene.period - std::floor(y / scene.period) - 0.5;
      return u * u + v * v < 0.1;
    }
  }
}

bool inside(const Scene& scene, double x, double y) {
  const double u = (x - scene.centre_x) / scene.radius, v = (y - scene.centre_y) / scene.radius;
  const double far = std::max(std::abs(u), std::abs(v)), square = u * u + v * v;
  switch (scene.shape) {
    case 0:
      return square < 1.0;
    case 1:
      return far < 0.9;
    case 2:
      return v < 0.8 && v > 2.0 * std::abs(u) - 1.0;
    case 3:
      return square < 1.0 && square > 0.3;
    default:
      return far < 1.0 && std::min(std::abs(u), std::abs(v)) < 0.35;
  }
}

}  // namespace

Picture draw_picture(int label, int classes, int size, Rng& random) {
  Picture picture;
  picture.width = static_cast<int>(size * between(random, 0.75, 1.5));
  picture.height = static_cast<int>(size * between(random, 0.75, 1.5));
  const Scene scene = scene_of(label, classes, picture.width, picture.height, random);
  picture.pixels.reserve(static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height) * 3);
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const double share = inside(scene, x, y) ? 1.0 : 0.4;  // of the ink: the ground shows the texture, too
      const double ink = textured(scene, x, y) ? share : share * 0.15;
      const double light =
          1.0 + scene.light_x * (1.0 * x / picture.width - 0.5) + scene.light_y * (1.0 * y / picture.height - 0.5);
      const double grain = 0.06 * (static_cast<double>(unit_float(random.bits())) - 0.5);
      for (std::size_t c = 0; c < 3; ++c) {
        const double value = (scene.ground[c] + (scene.ink[c] - scene.ground[c]) * ink) * light + grain;
        picture.pixels.push_back(static_cast<std::uint8_t>(std::clamp(value, 0.0, 1.0) * 255.0 + 0.5));
      }
    }
  }
  return picture;
}

}  // namespace trainmark::synth
