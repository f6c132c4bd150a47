// Which part of an image a visit sees.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "load/crop.hpp"

namespace trainmark {
namespace {

TEST(Crop, RandomCropsKeepToTheRecipeAndFillIt) {
  const ImageExtent image{500, 375};
  for (const CodedImages& recipe :
       {CodedImages{}, CodedImages{.most_area = 0.9, .least_aspect = 2.0 / 3.0, .most_aspect = 1.5}}) {
    Rng random(3, Purpose::test);
    double least_area = 1.0, most_area = 0.0, least_aspect = 9.0, most_aspect = 0.0, flipped = 0.0;
    constexpr int trials = 4000;
    for (int trial = 0; trial < trials; ++trial) {
      const CropBox box = random_crop(recipe, image, random);
      ASSERT_GE(box.left, 0.0);
      ASSERT_GE(box.top, 0.0);
      ASSERT_LE(box.left + box.width, 500.0);
      ASSERT_LE(box.top + box.height, 375.0);
      const double area = box.width * box.height / (500.0 * 375.0), aspect = box.width / box.height;
      least_area = std::min(least_area, area);
      most_area = std::max(most_area, area);
      least_aspect = std::min(least_aspect, aspect);
      most_aspect = std::max(most_aspect, aspect);
      flipped += box.flip ? 1.0 : 0.0;
    }
    EXPECT_NEAR(least_area, recipe.least_area, 0.005);
    EXPECT_GT(most_area, 0.97 * recipe.most_area);  // boxes of nearly all of the image seldom fit
    EXPECT_LE(most_area, recipe.most_area + 0.003);
    EXPECT_NEAR(least_aspect, recipe.least_aspect, 0.02);
    EXPECT_NEAR(most_aspect, recipe.most_aspect, 0.02);
    EXPECT_NEAR(flipped / trials, 0.5, 0.03);
  }
}

TEST(Crop, RandomCropsReachEveryEdge) {
  Rng random(5, Purpose::test);
  bool left = false, right = false, top = false, bottom = false;
  for (int trial = 0; trial < 500; ++trial) {
    const CropBox box = random_crop({}, {8, 6}, random);
    if (box.width < 8.0) {
      left |= box.left == 0.0;
      right |= box.left + box.width == 8.0;
    }
    if (box.height < 6.0) {
      top |= box.top == 0.0;
      bottom |= box.top + box.height == 6.0;
    }
  }
  EXPECT_TRUE(left && right && top && bottom) << left << right << top << bottom;
}

TEST(Crop, AnImageThatNoBoxFitsIsTakenFromTheMiddle) {
  Rng random(3, Purpose::test);
  CropBox tall = random_crop({.least_area = 0.5}, {30, 400}, random);
  tall.flip = false;
  EXPECT_EQ(tall, (CropBox{0.0, 180.0, 30.0, 40.0}));
  CropBox wide = random_crop({.least_area = 0.5}, {400, 30}, random);
  wide.flip = false;
  EXPECT_EQ(wide, (CropBox{180.0, 0.0, 40.0, 30.0}));
  CropBox least = random_crop({}, {1, 1}, random);
  least.flip = false;
  EXPECT_EQ(least, (CropBox{0.0, 0.0, 1.0, 1.0}));
}

TEST(Crop, TheCentreCropIsThatOfTheImageResizedTo256) {
  // 500 x 375 becomes 341 x 256; 224 x 224 from (58, 16) of it.
  const CropBox box = centre_crop({500, 375}, 224);
  EXPECT_DOUBLE_EQ(box.left, 58.0 * 500.0 / 341.0);
  EXPECT_DOUBLE_EQ(box.top, 16.0 * 375.0 / 256.0);
  EXPECT_DOUBLE_EQ(box.width, 224.0 * 500.0 / 341.0);
  EXPECT_DOUBLE_EQ(box.height, 224.0 * 375.0 / 256.0);
  // 32 pixels: the shorter side becomes 37.
  const CropBox small = centre_crop({74, 148}, 32);
  EXPECT_EQ(small, (CropBox{4.0, 42.0, 64.0, 64.0}));
}

TEST(Crop, ARandomCropDependsOnSeedEpochAndSampleAndOnNothingElse) {
  const CodedImages recipe;
  const ImageExtent image{320, 240};
  const auto box = [&](std::uint64_t seed, std::int64_t epoch, std::int64_t sample) {
    return crop_of(recipe, {Crop::random, seed}, {.sample = sample, .epoch = epoch}, image, 64);
  };
  EXPECT_EQ(box(1, 2, 3), box(1, 2, 3));
  EXPECT_NE(box(1, 2, 3), box(2, 2, 3));
  EXPECT_NE(box(1, 2, 3), box(1, 3, 3));
  EXPECT_NE(box(1, 2, 3), box(1, 2, 4));
  EXPECT_NE(box(1, 2, 3), box(1, 3, 2));
}

TEST(Crop, TrainingTakesPlainCropsFromTheEpochOnThatTheRecipeNames) {
  const CodedImages recipe{.plain_from_epoch = 85};
  const ImageExtent image{320, 240};
  const CropBox plain = centre_crop(image, 64);
  EXPECT_NE(crop_of(recipe, {Crop::random, 5}, {.sample = 9, .epoch = 84}, image, 64), plain);
  EXPECT_EQ(crop_of(recipe, {Crop::random, 5}, {.sample = 9, .epoch = 85}, image, 64), plain);
  EXPECT_EQ(crop_of(recipe, {Crop::centre, 5}, {.sample = 9, .epoch = 0}, image, 64), plain);
  EXPECT_EQ(crop_of(recipe, {Crop::whole, 5}, {.sample = 9, .epoch = 0}, image, 64), (CropBox{0.0, 0.0, 320.0, 240.0}));
}

}  // namespace
}  // namespace trainmark
