// Drawn pictures: their class can be told from their pixels, and their JPEGs depend on options alone.
#include "synth/picture.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "load/jpeg_decoder.hpp"
#include "synth/jpeg_encoder.hpp"

namespace trainmark::synth {
namespace {

constexpr int classes = 10;
using Features = std::array<double, 6>;

Picture picture_of(int label, std::uint64_t index) {
  Rng random(5, Purpose::test, index);
  return draw_picture(label, classes, 96, random);
}

/// Steps along three directions, and two differences of colours: what a first layer of a network can see.
Features features_of(const Picture& picture) {
  Features features{};
  const auto at = [&](int x, int y, std::size_t c) {
    return static_cast<double>(picture.pixels[(static_cast<std::size_t>(y) * static_cast<std::size_t>(picture.width) +
                                               static_cast<std::size_t>(x)) *
                                                  3 +
                                              c]);
  };
  for (int y = 1; y < picture.height; ++y) {
    for (int x = 1; x < picture.width; ++x) {
      const double here = at(x, y, 0) + at(x, y, 1) + at(x, y, 2);
      const auto step = [&](int u, int v) { return std::abs(here - at(u, v, 0) - at(u, v, 1) - at(u, v, 2)); };
      features[0] += step(x - 1, y);
      features[1] += step(x, y - 1);
      features[2] += 5.0 * (at(x, y, 0) - at(x, y, 1));
      features[3] += 5.0 * (at(x, y, 2) - at(x, y, 1));
      features[4] += here;
    }
  }
  const double steps = features[0] + features[1];
  features[5] = 4.0 * (features[0] - features[1]) / steps;
  for (std::size_t i = 0; i < 5; ++i)
    features[i] /= 100.0 * picture.width * picture.height;
  return features;
}

TEST(Picture, ItsClassIsSeenByTheNearestMean) {
  std::array<Features, classes> means{};
  constexpr int of_each = 60;
  for (int i = 0; i < classes * of_each; ++i) {
    const Features features = features_of(picture_of(i % classes, static_cast<std::uint64_t>(i)));
    for (std::size_t f = 0; f < features.size(); ++f)
      means[static_cast<std::size_t>(i % classes)][f] += features[f] / of_each;
  }
  int right = 0;
  constexpr int tests = 300;
  for (int i = 0; i < tests; ++i) {
    const Features features = features_of(picture_of(i % classes, static_cast<std::uint64_t>(10000 + i)));
    std::map<double, int> by_distance;
    for (int label = 0; label < classes; ++label) {
      double distance = 0.0;
      for (std::size_t f = 0; f < features.size(); ++f)
        distance += std::pow(features[f] - means[static_cast<std::size_t>(label)][f], 2.0);
      by_distance[distance] = label;
    }
    right += by_distance.begin()->second == i % classes ? 1 : 0;
  }
  EXPECT_GT(right, tests * 4 / 10) << "of 10 classes, so that chance is a tenth";
}

TEST(Picture, HasThePixelsItAlwaysHad) {
  // A change here changes what equal options generate: raise generator_version with these numbers.
  const auto hash = [](int label, int of, std::uint64_t index) {
    Rng random(5, Purpose::test, index);
    std::uint64_t sum = 14695981039346656037ULL;
    for (const std::uint8_t byte : draw_picture(label, of, 40, random).pixels)
      sum = (sum ^ byte) * 1099511628211ULL;
    return sum;
  };
  std::vector<std::uint64_t> few, most;
  for (int label = 0; label < 10; ++label)
    few.push_back(hash(label, 10, static_cast<std::uint64_t>(label)));
  for (int label = 7; label < most_classes; label += 111)
    most.push_back(hash(label, most_classes, static_cast<std::uint64_t>(label)));
  EXPECT_EQ(few, (std::vector<std::uint64_t>{7972372311812676198ULL, 13715718326626928647ULL, 1863112228498651720ULL,
                                             11594382425923709308ULL, 187368483677191650ULL, 2247324595975342479ULL,
                                             16212020559600378259ULL, 10674125296108677587ULL, 10298075795888931258ULL,
                                             11369817611543191955ULL}));
  EXPECT_EQ(most,
            (std::vector<std::uint64_t>{7763776997349709461ULL, 488972900286721428ULL, 12389094380421341492ULL,
                                        3054370351253449127ULL, 529279697565944648ULL, 8457502219787393986ULL,
                                        13861022097084439295ULL, 14299142620365132692ULL, 7670781153994173044ULL}));
}

TEST(Picture, SidesAndFormsVaryWithinTheirBounds) {
  std::set<int> widths;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const Picture picture = picture_of(static_cast<int>(i % classes), i);
    for (const int side : {picture.width, picture.height}) {
      ASSERT_GE(side, 72);
      ASSERT_LT(side, 144);
    }
    ASSERT_EQ(picture.pixels.size(), static_cast<std::size_t>(picture.width * picture.height * 3));
    widths.insert(picture.width);
  }
  EXPECT_GT(widths.size(), 40U);
}

TEST(Picture, EachFormOfJpegShowsItAtEachPlace) {
  const Picture picture = picture_of(4, 7);
  for (const JpegForm& form :
       {JpegForm{}, JpegForm{.quality = 60}, JpegForm{.halves_colour = false}, JpegForm{.progressive = true}}) {
    const std::vector<std::byte> coded = encode_jpeg(picture, form);
    JpegDecoder decoder;
    const ImageExtent extent = decoder.open(coded);
    ASSERT_EQ(extent.width, picture.width);
    ASSERT_EQ(extent.height, picture.height);
    const DecodedPart shown = decoder.decode_whole(1);
    ASSERT_EQ(shown.bytes(), picture.pixels.size());
    double difference = 0.0;
    for (std::size_t i = 0; i < picture.pixels.size(); ++i)
      difference += std::abs(std::to_integer<int>(shown.rgb[i]) - int{picture.pixels[i]});
    EXPECT_LT(difference / static_cast<double>(picture.pixels.size()), 12.0) << "of 255, at sharp edges most";
  }
}

TEST(Picture, EachFormOfJpegHasBytesOfItsOwnThatAreTheSameEachTime) {
  const Picture picture = picture_of(3, 1);
  std::set<std::vector<std::byte>> different;
  for (const JpegForm& form :
       {JpegForm{}, JpegForm{.quality = 60}, JpegForm{.halves_colour = false}, JpegForm{.progressive = true}}) {
    const std::vector<std::byte> coded = encode_jpeg(picture, form);
    EXPECT_EQ(coded, encode_jpeg(picture, form));
    ASSERT_GT(coded.size(), 500U);
    EXPECT_EQ(coded[0], std::byte{0xff});
    EXPECT_EQ(coded[1], std::byte{0xd8});
    EXPECT_EQ(coded[coded.size() - 1], std::byte{0xd9});
    different.insert(coded);
  }
  EXPECT_EQ(different.size(), 4U);
}

}  // namespace
}  // namespace trainmark::synth
