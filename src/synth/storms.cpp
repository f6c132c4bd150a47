#include "synth/storms.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace trainmark::synth {
namespace {

constexpr float reach = 3.0F;  // of a profile, in radii

/// (1 - q/9)^4 of the squared distance q in radii: about a Gaussian of that radius, but it ends, and needs no exp.
float profile(float q) {
  const float rest = std::max(0.0F, 1.0F - q / (reach * reach));
  return rest * rest * rest * rest;
}

float between(Rng& random, double least, double most) {
  return static_cast<float>(least + (most - least) * random.uniform());
}

/// Row of a latitude in degrees north.
float row_of(const Storms& storms, float latitude) {
  return static_cast<float>(storms.height) * (0.5F + latitude / 180.0F);
}

/// Calls visit(pixel, dy, dx) for the pixels of a window around (row, column), which goes on around the globe.
template <class Visit>
void for_each_near(const Storms& storms, float row, float column, float distance, Visit&& visit) {
  const int top = std::max(0, static_cast<int>(row - distance)),
            bottom = std::min(storms.height - 1, static_cast<int>(row + distance) + 1);
  const int half = std::min(static_cast<int>(distance) + 1, storms.width / 2 - 1);
  const int centre = static_cast<int>(column);
  for (int y = top; y <= bottom; ++y) {
    for (int x = centre - half; x <= centre + half; ++x) {
      const int wrapped = (x % storms.width + storms.width) % storms.width;
      visit(static_cast<std::size_t>(y) * static_cast<std::size_t>(storms.width) + static_cast<std::size_t>(wrapped),
            static_cast<float>(y) + 0.5F - row, static_cast<float>(x) + 0.5F - column);
    }
  }
}

// --- Tropical cyclones: a pressure minimum with rotating winds, a warm core, moisture and rain.
// ------------------------

constexpr float cyclone_mask = 1500.0F, cyclone_mask_relaxed = 1000.0F;  // Pa below the surroundings
constexpr float true_height = 768.0F;

void draw_cyclone(Rng& random, Storms& storms) {
  const float hemisphere = random.uniform() < 0.6 ? 1.0F : -1.0F;
  const float row = row_of(storms, hemisphere * between(random, 8.0, 28.0));
  const float column = between(random, 0.0, storms.width);
  const float depth = between(random, 2500.0, 6000.0);
  const float size = between(random, 0.8, 1.2);
  const float radius = size * std::max(6.5F * static_cast<float>(storms.height) / true_height, 2.2F);
  const float speed = 0.65F * std::sqrt(depth) / 0.624F / radius;  // r times the profile is 0.624 radii at its most
  for_each_near(storms, row, column, reach * radius, [&](std::size_t pixel, float dy, float dx) {
    const float shape = profile((dy * dy + dx * dx) / (radius * radius));
    const float fall = depth * shape;
    storms.depth[pixel] += fall;
    storms.warm[pixel] += 0.0016F * fall;
    storms.wet[pixel] += 16.0F * shape;
    storms.rain[pixel] = std::max(storms.rain[pixel], shape * shape);
    storms.east[pixel] -= hemisphere * speed * dy * shape;
    storms.north[pixel] += hemisphere * speed * dx * shape;
    if (fall > cyclone_mask) storms.labels[pixel] = 1;
    if (fall > cyclone_mask_relaxed) storms.relaxed[pixel] = 1;
  });
}

// --- Atmospheric rivers: long curved filaments of water vapour with the wind along them, from the subtropics
// polewards. -

constexpr float river_mask = 11.0F, river_mask_relaxed = 8.0F;  // kg/m2 above the surroundings
constexpr int pieces = 32;

struct Point {
  float row = 0.0F, column = 0.0F;
};

struct River {
  std::array<Point, pieces + 1> course;
  float width = 0.0F;  // pixels, radius of the profile
  float vapour = 0.0F, speed = 0.0F;
};

River plan_river(Rng& random, const Storms& storms) {
  const float hemisphere = random.uniform() < 0.5 ? 1.0F : -1.0F;
  const float start = between(random, 18.0, 28.0), end = between(random, 46.0, 60.0);
  const float along = between(random, 40.0, 75.0) * static_cast<float>(storms.width) / 360.0F;
  const float column = between(random, 0.0, storms.width), bend = between(random, 0.15, 0.85);
  const Point from{row_of(storms, hemisphere * start), column}, to{row_of(storms, hemisphere * end), column + along},
      through{row_of(storms, hemisphere * (start + bend * (end - start))), column + (1.0F - bend) * along};
  River river;
  for (std::size_t i = 0; i <= pieces; ++i) {
    const float t = static_cast<float>(i) / pieces, s = 1.0F - t;
    river.course[i] = {s * s * from.row + 2.0F * s * t * through.row + t * t * to.row,
                       s * s * from.column + 2.0F * s * t * through.column + t * t * to.column};
  }
  river.width = between(random, 0.8, 1.2) * std::max(11.5F * static_cast<float>(storms.height) / true_height, 1.8F);
  river.vapour = between(random, 20.0, 32.0);
  river.speed = between(random, 14.0, 24.0);
  return river;
}

/// One straight piece of the course. Of all pieces and rivers the one that is felt most at a pixel counts there.
void draw_piece(const River& river, std::size_t piece, std::vector<float>& felt, Storms& storms) {
  const Point from = river.course[piece], to = river.course[piece + 1];
  const float down = to.row - from.row, across = to.column - from.column;
  const float length = std::sqrt(down * down + across * across);
  const Point middle{0.5F * (from.row + to.row), 0.5F * (from.column + to.column)};
  const float t = (static_cast<float>(piece) + 0.5F) / pieces;
  const float width = river.width * (0.5F + 2.0F * t * (1.0F - t));
  const float vapour = river.vapour * std::min(1.0F, 0.5F + 5.0F * t * (1.0F - t));
  for_each_near(
      storms, middle.row, middle.column, reach * width + 0.5F * length, [&](std::size_t pixel, float dy, float dx) {
        const float forward = std::clamp((dy * down + dx * across) / length, -0.5F * length, 0.5F * length) / length;
        const float beside_y = dy - forward * down, beside_x = dx - forward * across;
        const float shape = profile((beside_y * beside_y + beside_x * beside_x) / (width * width));
        if (vapour * shape <= felt[pixel]) return;
        felt[pixel] = vapour * shape;
        storms.east[pixel] = river.speed * shape * across / length;
        storms.north[pixel] = river.speed * shape * down / length;
      });
}

void draw_rivers(Rng& random, Storms& storms) {
  const std::uint64_t count = 1 + random.below(3);
  for (std::uint64_t i = 0; i < count; ++i) {
    const River river = plan_river(random, storms);
    for (std::size_t piece = 0; piece < pieces; ++piece)
      draw_piece(river, piece, storms.wet, storms);
  }
  for (std::size_t pixel = 0; pixel < storms.wet.size(); ++pixel) {
    storms.rain[pixel] = 0.01F * storms.wet[pixel];
    storms.labels[pixel] = storms.wet[pixel] > river_mask ? 2 : 0;
    storms.relaxed[pixel] = storms.wet[pixel] > river_mask_relaxed ? 2 : 0;
  }
}

}  // namespace

Storms::Storms(int rows, int columns) : height(rows), width(columns) {
  const std::size_t pixels = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  for (auto* plane : {&depth, &warm, &wet, &rain, &east, &north})
    plane->resize(pixels);
  labels.resize(pixels);
  relaxed.resize(pixels);
}

void Storms::clear() {
  for (auto* plane : {&depth, &warm, &wet, &rain, &east, &north})
    std::ranges::fill(*plane, 0.0F);
}

void draw_storms(Rng& random, Storms& storms) {
  storms.clear();
  draw_rivers(random, storms);
  const double draw = random.uniform();
  const int cyclones = draw < 0.1 ? 0 : draw < 0.5 ? 1 : draw < 0.8 ? 2 : 3;
  for (int i = 0; i < cyclones; ++i)
    draw_cyclone(random, storms);
}

}  // namespace trainmark::synth
