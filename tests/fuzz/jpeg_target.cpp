// Coded images: bytes that may be a JPEG, and crops of it. Each must become pixels, the same each time, or raise
// ImageError; one decoder takes all inputs, as a reader's does, so that what an image leaves behind is met by the next.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "fuzz/fuzz.hpp"
#include "load/jpeg_decoder.hpp"
#include "load/resize.hpp"
#include "unit/load/make_jpeg.hpp"

namespace trainmark::fuzz {
namespace {

constexpr std::size_t knobs = 4;  // bytes before the JPEG: extent of a sample, kind of crop, and two of a seed

std::vector<Seed> seeds() {
  using testing::Colour;
  std::vector<Seed> all;
  const auto add = [&](ImageExtent extent, const testing::Coding& coding) {
    std::vector<std::uint8_t> pixels = testing::picture(extent, 3);
    const std::size_t channels = coding.colour == Colour::grey ? 1 : coding.colour == Colour::rgb ? 3 : 4;
    pixels.resize(static_cast<std::size_t>(extent.width * extent.height) * channels, 77);
    const std::vector<std::byte> coded = testing::jpeg_of(pixels, extent, coding);
    for (const char kind : {'\0', '\1', '\2'}) {
      std::string bytes = {'\x18', kind, '\3', '\4'};
      bytes.append(reinterpret_cast<const char*>(coded.data()), coded.size());
      all.push_back({bytes});
    }
  };
  add({64, 48}, {});
  add({33, 75}, {.quality = 60, .sampling_h = 1, .sampling_v = 1});
  add({90, 31}, {.quality = 40, .sampling_v = 1, .progressive = true});
  add({40, 40}, {.colour = Colour::grey});
  add({40, 24}, {.colour = Colour::cmyk, .progressive = true});
  add({17, 56}, {.colour = Colour::ycck, .adobe_marker = false});
  add({400, 300}, {.quality = 30});
  return all;
}

std::vector<std::byte> sample_of(JpegDecoder& decoder, std::span<const std::byte> coded, const Cropping& cropping,
                                 int extent) {
  constexpr std::int64_t most_pixels = 1 << 20;  // larger ones differ in nothing but the time they take
  std::vector<std::byte> sample;
  const ImageExtent image = decoder.open(coded);
  require(image.width > 0 && image.height > 0, "an image has pixels", fmt::format("{} {}", image.width, image.height));
  if (std::int64_t{image.width} * image.height > most_pixels) return sample;
  const CropBox box = crop_of({}, cropping, {7, 1}, image, extent);
  require(box.left >= 0.0 && box.top >= 0.0 && box.width > 0.0 && box.height > 0.0 &&
              box.left + box.width <= image.width + 1e-6 && box.top + box.height <= image.height + 1e-6,
          "a crop lies in its image", fmt::format("{} {} {} {}", box.left, box.top, box.width, box.height));
  const DecodedPart part = decoder.decode(box, extent, cropping.crop == Crop::whole);
  require(part.width > 0 && part.height > 0 &&
              part.rgb.size() == static_cast<std::size_t>(part.width) * static_cast<std::size_t>(part.height) * 3,
          "a part has its pixels", fmt::format("{} x {}", part.width, part.height));
  sample.resize(static_cast<std::size_t>(extent) * static_cast<std::size_t>(extent) * 3);
  resize_bilinear(part, box, extent, sample);
  return sample;
}

}  // namespace

const Target& target() {
  static const Target target{"jpeg", false, seeds};
  return target;
}

}  // namespace trainmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainmark;
  if (size < fuzz::knobs) return 0;
  const int extent = 1 + data[0] % 64;
  constexpr std::array kinds = {Crop::random, Crop::centre, Crop::whole};
  const Cropping cropping{kinds[data[1] % 3], data[2] * std::uint64_t{256} + data[3]};
  const auto coded = std::as_bytes(std::span(data, size)).subspan(fuzz::knobs);
  static JpegDecoder decoder;
  std::array<std::vector<std::byte>, 2> samples;
  for (std::vector<std::byte>& sample : samples) {
    try {
      sample = fuzz::sample_of(decoder, coded, cropping, extent);
    } catch (const ImageError& error) {
      fuzz::require(error.what()[0] != '\0', "an image that cannot be used is told why", "");
    }
  }
  fuzz::require(samples[0] == samples[1], "an image has the same pixels each time", "");
  return 0;
}
