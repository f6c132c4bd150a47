// Decoding a part of a JPEG and resampling it, against all of its pixels and exact arithmetic.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "load/jpeg_decoder.hpp"
#include "load/resize.hpp"
#include "unit/load/make_jpeg.hpp"

namespace trainmark {
namespace {

using testing::Coding;
using testing::Colour;
using testing::decode_whole;
using testing::jpeg_of;
using testing::picture;

std::vector<std::byte> coded_picture(ImageExtent extent, const Coding& coding = {}, int detail = 3) {
  return jpeg_of(picture(extent, detail), extent, coding);
}

std::vector<std::uint8_t> sample_of(std::span<const std::byte> coded, const CropBox& box, int extent) {
  JpegDecoder decoder;
  (void)decoder.open(coded);
  std::vector<std::uint8_t> sample(static_cast<std::size_t>(extent * extent) * 3);
  resize_bilinear(decoder.decode(box, extent), box, extent, std::as_writable_bytes(std::span(sample)));
  return sample;
}

/// In fp64, from all pixels, one sample after the other. The box lies on whole pixels.
double exact(const std::vector<std::uint8_t>& pixels, ImageExtent image, const CropBox& box, int extent, int x, int y,
             int channel) {
  if (box.flip) x = extent - 1 - x;
  const double u = std::clamp((x + 0.5) * box.width / extent - 0.5, 0.0, box.width - 1.0) + box.left;
  const double v = std::clamp((y + 0.5) * box.height / extent - 0.5, 0.0, box.height - 1.0) + box.top;
  const int left = static_cast<int>(u), top = static_cast<int>(v);
  const int right = std::min(left + 1, image.width - 1), bottom = std::min(top + 1, image.height - 1);
  const auto at = [&](int column, int row) {
    return static_cast<double>(pixels[static_cast<std::size_t>((row * image.width + column) * 3 + channel)]);
  };
  const double upper = at(left, top) + (at(right, top) - at(left, top)) * (u - left);
  const double lower = at(left, bottom) + (at(right, bottom) - at(left, bottom)) * (u - left);
  return upper + (lower - upper) * (v - top);
}

double largest_difference(const std::vector<std::uint8_t>& sample, const std::vector<std::uint8_t>& pixels,
                          ImageExtent image, const CropBox& box, int extent) {
  double largest = 0.0;
  for (int i = 0; i < extent * extent * 3; ++i) {
    const double truth = exact(pixels, image, box, extent, i / 3 % extent, i / 3 / extent, i % 3);
    largest = std::max(largest, std::abs(truth - sample[static_cast<std::size_t>(i)]));
  }
  return largest;
}

TEST(Jpeg, ACropIsTheBilinearMeanOfAllPixelsWithinOne) {
  const ImageExtent image{157, 122};
  Rng random(7, Purpose::test);
  const CodedImages recipe;
  for (const Coding& coding : {Coding{}, Coding{.sampling_h = 1, .sampling_v = 1},
                               Coding{.sampling_h = 2, .sampling_v = 1}, Coding{.progressive = true}}) {
    const std::vector<std::byte> coded = coded_picture(image, coding);
    const std::vector<std::uint8_t> pixels = decode_whole(coded);
    for (int trial = 0; trial < 40; ++trial) {
      const CropBox box = random_crop(recipe, image, random);
      const int extent = 64;  // larger than some boxes, and more than half of all
      ASSERT_EQ(reduction_for(box, extent), 1);
      ASSERT_LE(largest_difference(sample_of(coded, box, extent), pixels, image, box, extent), 1.0)
          << box.left << " " << box.top << " " << box.width << " " << box.height;
    }
  }
}

TEST(Jpeg, APartAtAnyReductionHasThePixelsOfTheWholeImageAtThatReduction) {
  const ImageExtent image{333, 250};
  Rng random(11, Purpose::test);
  for (const Coding& coding : {Coding{}, Coding{.sampling_h = 1, .sampling_v = 1},
                               Coding{.sampling_h = 1, .sampling_v = 2}, Coding{.progressive = true}}) {
    const std::vector<std::byte> coded = coded_picture(image, coding);
    for (const int reduction : {1, 2, 4, 8}) {
      const std::vector<std::uint8_t> whole = decode_whole(coded, reduction);
      const int whole_width = (image.width + reduction - 1) / reduction;
      for (int trial = 0; trial < 30; ++trial) {
        CropBox box = random_crop(CodedImages{.least_area = 0.1}, image, random);
        const int extent = static_cast<int>(std::min(box.width, box.height)) / reduction;
        if (extent < 2 || reduction_for(box, extent) != reduction) continue;
        JpegDecoder decoder;
        ASSERT_EQ(decoder.open(coded), image);
        const DecodedPart part = decoder.decode(box, extent);
        ASSERT_EQ(part.reduction, reduction);
        const int left = static_cast<int>(box.left) / reduction, top = static_cast<int>(box.top) / reduction;
        const int right = static_cast<int>(std::ceil((box.left + box.width) / reduction));
        const int bottom = static_cast<int>(std::ceil((box.top + box.height) / reduction));
        ASSERT_LE(part.left, left);
        ASSERT_GE(part.left + part.width, right);
        ASSERT_EQ(part.top, top);
        ASSERT_EQ(part.top + part.height, bottom);
        for (int y = top; y < bottom; ++y) {
          for (int x = left; x < right; ++x) {
            for (int c = 0; c < 3; ++c) {
              const auto is = part.rgb[static_cast<std::size_t>(((y - part.top) * part.width + x - part.left) * 3 + c)];
              ASSERT_EQ(std::to_integer<int>(is), whole[static_cast<std::size_t>((y * whole_width + x) * 3 + c)])
                  << "reduction " << reduction << " at " << x << ", " << y << " of " << box.left << " " << box.top
                  << " " << box.width << " " << box.height;
            }
          }
        }
      }
    }
  }
}

TEST(Jpeg, AReducedCropLiesWhereTheUnreducedOneDoes) {
  const ImageExtent image{640, 480};
  const std::vector<std::byte> coded = coded_picture(image, {}, 1);  // smooth: neighbours differ by some steps only
  const std::vector<std::uint8_t> pixels = decode_whole(coded);
  for (const int reduction : {2, 4, 8}) {
    const CropBox box{37.0, 21.0, 500.0, 400.0, reduction == 4};
    const int extent = 400 / reduction;
    ASSERT_EQ(reduction_for(box, extent), reduction);
    // A shift by one pixel of the reduced image would be 4, 8 and 16 here.
    EXPECT_LE(largest_difference(sample_of(coded, box, extent), pixels, image, box, extent), 3.0) << reduction;
  }
}

TEST(Jpeg, AFlippedCropIsTheOtherReadFromRightToLeft) {
  const ImageExtent image{90, 70};
  const std::vector<std::byte> coded = coded_picture(image);
  CropBox box{11.0, 9.0, 60.0, 50.0};
  const std::vector<std::uint8_t> plain = sample_of(coded, box, 32);
  box.flip = true;
  const std::vector<std::uint8_t> flipped = sample_of(coded, box, 32);
  EXPECT_NE(plain, flipped);
  for (std::size_t y = 0; y < 32; ++y) {
    for (std::size_t x = 0; x < 32; ++x) {
      for (std::size_t c = 0; c < 3; ++c)
        ASSERT_EQ(plain[(y * 32 + x) * 3 + c], flipped[(y * 32 + 31 - x) * 3 + c]);
    }
  }
}

TEST(Jpeg, GreyHasThreeEqualChannels) {
  const ImageExtent image{64, 48};
  std::vector<std::uint8_t> grey;
  for (int i = 0; i < 64 * 48; ++i)
    grey.push_back(static_cast<std::uint8_t>(i % 64 * 3 + 20));
  const auto sample = sample_of(jpeg_of(grey, image, {.colour = Colour::grey}), {0.0, 0.0, 48.0, 48.0}, 48);
  for (std::size_t i = 0; i < sample.size(); i += 3) {
    ASSERT_EQ(sample[i], sample[i + 1]);
    ASSERT_EQ(sample[i], sample[i + 2]);
    ASSERT_NEAR(sample[i], static_cast<double>(i / 3 % 48 * 3 + 20), 3.0);
  }
}

TEST(Jpeg, InksBecomeTheColoursThatTheyPrint) {
  const ImageExtent image{32, 32};
  // Adobe's files hold 255 minus the ink: full red is no cyan, all magenta, all yellow, and half of the black.
  std::vector<std::uint8_t> inverted, plain;
  for (int i = 0; i < 32 * 32; ++i) {
    inverted.insert(inverted.end(), {255, 0, 0, 128});
    plain.insert(plain.end(), {0, 255, 255, 127});
  }
  const CropBox all{0.0, 0.0, 32.0, 32.0};
  for (const auto& [pixels, coding] : {std::pair{inverted, Coding{.colour = Colour::cmyk}},
                                       {inverted, Coding{.colour = Colour::ycck}},
                                       {plain, Coding{.colour = Colour::cmyk, .adobe_marker = false}}}) {
    const auto sample = sample_of(jpeg_of(pixels, image, coding), all, 16);
    for (std::size_t i = 0; i < sample.size(); i += 3) {
      ASSERT_NEAR(sample[i], 128, 3);
      ASSERT_NEAR(sample[i + 1], 0, 3);
      ASSERT_NEAR(sample[i + 2], 0, 3);
    }
  }
}

std::string refusal(std::span<const std::byte> coded, bool to_the_end = true) {
  JpegDecoder decoder;
  try {
    const ImageExtent image = decoder.open(coded);
    const CropBox all{0.0, 0.0, static_cast<double>(image.width), static_cast<double>(image.height)};
    (void)decoder.decode(all, 8, to_the_end);
  } catch (const ImageError& error) {
    // What was refused leaves nothing behind: the next image is decoded as by a new decoder.
    const ImageExtent next{40, 30};
    const std::vector<std::byte> sound = coded_picture(next);
    EXPECT_EQ(decoder.open(sound), next);
    const DecodedPart part = decoder.decode({0.0, 0.0, 40.0, 30.0}, 30);
    const std::vector<std::uint8_t> pixels = decode_whole(sound);
    EXPECT_TRUE(std::ranges::equal(part.rgb, std::as_bytes(std::span(pixels))));
    return error.what();
  }
  return "";
}

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

TEST(Jpeg, WhatIsNoJpegIsNamed) {
  EXPECT_EQ(refusal({}), "is empty (0 bytes)");
  EXPECT_EQ(refusal(bytes_of("\x89PNG\r\n\x1a\n0000")), "is a PNG file, not a JPEG");
  EXPECT_EQ(refusal(bytes_of("GIF89a....")), "is a GIF file, not a JPEG");
  EXPECT_EQ(refusal(bytes_of("version https://git-lfs.github.com/spec/v1")), "is a pointer of Git LFS, not a JPEG");
  EXPECT_EQ(refusal(bytes_of("hello")), "is not a JPEG: it does not begin with the bytes ff d8");
}

TEST(Jpeg, ATruncatedJpegIsAnErrorWhereverItEnds) {
  for (const bool progressive : {false, true}) {
    const std::vector<std::byte> coded = coded_picture({120, 90}, {.progressive = progressive});
    EXPECT_EQ(refusal(coded), "");
    for (std::size_t end = 2; end < coded.size() - 2; end += 97)
      ASSERT_NE(refusal(std::span(coded).first(end)).find("damaged"), std::string::npos) << end;
  }
}

TEST(Jpeg, DamageInThePixelsIsAnErrorAndNoPicture) {
  std::vector<std::byte> coded = coded_picture({120, 90});
  for (std::size_t at = coded.size() / 2; at < coded.size() / 2 + 6; ++at)
    coded[at] = at % 2 == 0 ? std::byte{0xff} : std::byte{0xc4};
  EXPECT_NE(refusal(coded).find("is damaged: "), std::string::npos);
}

/// The picture with `count` bytes put before its first marker of that kind.
std::vector<std::byte> with_stray_bytes(std::vector<std::byte> coded, unsigned char marker, std::size_t count) {
  std::size_t at = 2;
  while (coded[at] != std::byte{0xff} || coded[at + 1] != std::byte{marker})
    ++at;
  coded.insert(coded.begin() + static_cast<std::ptrdiff_t>(at), count, std::byte{0x5a});
  return coded;
}

TEST(Jpeg, BytesThatBelongToNothingArePassedOverAndCounted) {
  const ImageExtent image{120, 90};
  const std::vector<std::byte> sound = coded_picture(image);
  const std::vector<std::uint8_t> truth = decode_whole(sound);
  const CropBox all{0.0, 0.0, 120.0, 90.0};
  constexpr unsigned char tables = 0xdb, codes = 0xc4, end = 0xd9;
  JpegDecoder decoder;
  for (const auto& [marker, count] : {std::pair{tables, 1000}, {codes, 3}, {end, 12}, {end, 64}}) {
    const std::vector<std::byte> coded = with_stray_bytes(sound, marker, static_cast<std::size_t>(count));
    (void)decoder.open(coded);
    const DecodedPart part = decoder.decode(all, 90, true);
    EXPECT_TRUE(std::equal(truth.begin(), truth.end(), reinterpret_cast<const std::uint8_t*>(part.rgb.data())));
    // Behind the pixels the library has read up to eight bytes ahead, and does not miss them.
    EXPECT_LE(decoder.stray_bytes(), count);
    EXPECT_GE(decoder.stray_bytes(), count - (marker == end ? 8 : 0));
  }
  (void)decoder.open(sound);
  (void)decoder.decode(all, 90, true);
  EXPECT_EQ(decoder.stray_bytes(), 0) << "of the image before";
}

TEST(Jpeg, NoImageTakesTheTablesOfTheOneBefore) {
  const std::vector<std::byte> sound = coded_picture({40, 40});
  std::vector<std::byte> without = sound;
  const auto is = [&](std::size_t at, unsigned char byte) { return without[at] == std::byte{byte}; };
  for (std::size_t at = 2; !is(at + 1, 0xda);) {  // segments up to the scan: ff, kind, length of two bytes
    const auto length =
        2 + 256 * std::to_integer<std::ptrdiff_t>(without[at + 2]) + std::to_integer<std::ptrdiff_t>(without[at + 3]);
    const auto begin = without.begin() + static_cast<std::ptrdiff_t>(at);
    if (is(at + 1, 0xdb))
      without.erase(begin, begin + length);
    else
      at += static_cast<std::size_t>(length);
  }
  JpegDecoder decoder;
  (void)decoder.open(sound);
  (void)decoder.decode({0.0, 0.0, 40.0, 40.0}, 40, true);
  try {
    (void)decoder.open(without);
    (void)decoder.decode({0.0, 0.0, 40.0, 40.0}, 40, true);
    ADD_FAILURE() << "it was decoded with another image's tables";
  } catch (const ImageError& error) {
    EXPECT_STREQ(error.what(), "is damaged: Quantization table 0x00 was not defined");
  }
}

TEST(Jpeg, ManyBytesBehindThePixelsAreThoseThatDamageMadeItLose) {
  const std::vector<std::byte> coded = with_stray_bytes(coded_picture({120, 90}), 0xd9, 80);
  EXPECT_TRUE(refusal(coded).ends_with("extraneous bytes before marker 0xd9")) << refusal(coded);
}

TEST(Jpeg, AHeaderThatPromisesTooMuchIsRefusedBeforeMemoryIsTaken) {
  std::vector<std::byte> coded = coded_picture({16, 16});
  std::size_t frame = 0;  // of the baseline: ff c0, length, precision, height, width
  while (coded[frame] != std::byte{0xff} || coded[frame + 1] != std::byte{0xc0})
    ++frame;
  for (std::size_t at = frame + 5; at < frame + 9; ++at)
    coded[at] = std::byte{0xfd};
  EXPECT_EQ(refusal(coded), "has 65021 x 65021 pixels, more than 67108864 in all");
  coded[frame + 5] = coded[frame + 6] = std::byte{0};
  EXPECT_NE(refusal(coded).find("is damaged: "), std::string::npos);  // no rows
}

}  // namespace
}  // namespace trainmark
