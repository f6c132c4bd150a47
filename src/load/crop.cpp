// Random crops as DALI and torchvision draw them; the evaluation's as all references of the benchmark do.
#include "load/crop.hpp"

#include <algorithm>
#include <cmath>

namespace trainmark {
namespace {

/// The largest centred box with an aspect in the range.
CropBox clamped(const CodedImages& recipe, ImageExtent image) {
  const double width = image.width, height = image.height, aspect = width / height;
  CropBox box{0.0, 0.0, width, height};
  if (aspect < recipe.least_aspect) box.height = std::max(1.0, std::round(width / recipe.least_aspect));
  if (aspect > recipe.most_aspect) box.width = std::max(1.0, std::round(height * recipe.most_aspect));
  box.left = std::floor((width - box.width) / 2.0);
  box.top = std::floor((height - box.height) / 2.0);
  return box;
}

double between(Rng& random, double least, double most) { return least + (most - least) * random.uniform(); }

}  // namespace

CropBox random_crop(const CodedImages& recipe, ImageExtent image, Rng& random) {
  constexpr int attempts = 100;
  const bool flip = random.uniform() < 0.5;
  const double pixels = static_cast<double>(image.width) * image.height;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const double area = pixels * between(random, recipe.least_area, recipe.most_area);
    const double aspect = std::exp(between(random, std::log(recipe.least_aspect), std::log(recipe.most_aspect)));
    const auto width = static_cast<std::int64_t>(std::lround(std::sqrt(area * aspect)));
    const auto height = static_cast<std::int64_t>(std::lround(std::sqrt(area / aspect)));
    if (width < 1 || height < 1 || width > image.width || height > image.height) continue;
    const auto left = random.below(static_cast<std::uint64_t>(image.width - width + 1));
    const auto top = random.below(static_cast<std::uint64_t>(image.height - height + 1));
    return {static_cast<double>(left), static_cast<double>(top), static_cast<double>(width),
            static_cast<double>(height), flip};
  }
  CropBox box = clamped(recipe, image);
  box.flip = flip;
  return box;
}

CropBox centre_crop(ImageExtent image, int extent) {
  const double shorter = std::round(256.0 * extent / 224.0);
  const double factor = shorter / std::min(image.width, image.height);
  const auto along = [&](int side, double& begin, double& size) {
    const double resized = std::round(side * factor);
    begin = std::floor((resized - extent) / 2.0) * side / resized;
    size = static_cast<double>(extent) * side / resized;
  };
  CropBox box;
  along(image.width, box.left, box.width);
  along(image.height, box.top, box.height);
  return box;
}

CropBox crop_of(const CodedImages& recipe, const Cropping& cropping, const Visit& visit, ImageExtent image,
                int extent) {
  if (cropping.crop == Crop::whole)
    return {0.0, 0.0, static_cast<double>(image.width), static_cast<double>(image.height)};
  if (cropping.crop == Crop::centre || visit.epoch >= recipe.plain_from_epoch) return centre_crop(image, extent);
  Rng random(cropping.seed, Purpose::augment, static_cast<std::uint64_t>(visit.sample),
             static_cast<std::uint32_t>(visit.epoch));
  return random_crop(recipe, image, random);
}

}  // namespace trainmark
