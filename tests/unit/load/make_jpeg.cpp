// Straight uses of libjpeg; its default error handler ends the test program, which is right here.
#include "unit/load/make_jpeg.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <jpeglib.h>

namespace trainmark::testing {

std::vector<std::uint8_t> picture(ImageExtent extent, int detail) {
  std::vector<std::uint8_t> pixels;
  for (int y = 0; y < extent.height; ++y) {
    for (int x = 0; x < extent.width; ++x) {
      const double u = 1.0 * x / extent.width, v = 1.0 * y / extent.height;
      const double wave = std::sin(detail * (9.0 * u + 4.0 * v * v)), other = std::cos(detail * (3.0 * u - 7.0 * v));
      const bool inside = detail > 1 && std::hypot(u - 0.4, v - 0.6) < 0.25;
      for (const double value : {128.0 + 100.0 * wave, 40.0 + 160.0 * u + 50.0 * other * v, 200.0 - 150.0 * v})
        pixels.push_back(static_cast<std::uint8_t>(std::clamp(inside ? 255.0 - value : value, 0.0, 255.0)));
    }
  }
  return pixels;
}

std::vector<std::byte> jpeg_of(std::span<const std::uint8_t> pixels, ImageExtent extent, const Coding& coding) {
  jpeg_compress_struct state{};
  jpeg_error_mgr errors{};
  state.err = jpeg_std_error(&errors);
  jpeg_create_compress(&state);
  unsigned char* memory = nullptr;
  unsigned long bytes = 0;
  jpeg_mem_dest(&state, &memory, &bytes);
  const bool inks = coding.colour == Colour::cmyk || coding.colour == Colour::ycck;
  state.image_width = static_cast<JDIMENSION>(extent.width);
  state.image_height = static_cast<JDIMENSION>(extent.height);
  state.input_components = inks ? 4 : coding.colour == Colour::grey ? 1 : 3;
  state.in_color_space = inks ? JCS_CMYK : coding.colour == Colour::grey ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&state);
  if (coding.colour == Colour::ycck) jpeg_set_colorspace(&state, JCS_YCCK);
  if (coding.colour == Colour::cmyk) state.write_Adobe_marker = coding.adobe_marker ? TRUE : FALSE;
  jpeg_set_quality(&state, coding.quality, TRUE);
  if (coding.colour == Colour::rgb) {
    state.comp_info[0].h_samp_factor = coding.sampling_h;
    state.comp_info[0].v_samp_factor = coding.sampling_v;
  }
  if (coding.progressive) jpeg_simple_progression(&state);
  jpeg_start_compress(&state, TRUE);
  const std::size_t row_bytes = static_cast<std::size_t>(extent.width * state.input_components);
  while (state.next_scanline < state.image_height) {
    auto row = const_cast<JSAMPROW>(pixels.data() + state.next_scanline * row_bytes);
    jpeg_write_scanlines(&state, &row, 1);
  }
  jpeg_finish_compress(&state);
  jpeg_destroy_compress(&state);
  const auto* begin = reinterpret_cast<const std::byte*>(memory);
  std::vector<std::byte> coded(begin, begin + bytes);
  std::free(memory);
  return coded;
}

std::vector<std::uint8_t> decode_whole(std::span<const std::byte> coded, int reduction) {
  jpeg_decompress_struct state{};
  jpeg_error_mgr errors{};
  state.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&state);
  jpeg_mem_src(&state, reinterpret_cast<const unsigned char*>(coded.data()), coded.size());
  jpeg_read_header(&state, TRUE);
  state.out_color_space = JCS_RGB;
  state.scale_num = 1;
  state.scale_denom = static_cast<unsigned>(reduction);
  jpeg_start_decompress(&state);
  const std::size_t row_bytes = std::size_t{3} * state.output_width;
  std::vector<std::uint8_t> pixels(row_bytes * state.output_height);
  while (state.output_scanline < state.output_height) {
    JSAMPROW row = pixels.data() + state.output_scanline * row_bytes;
    jpeg_read_scanlines(&state, &row, 1);
  }
  jpeg_finish_decompress(&state);
  jpeg_destroy_decompress(&state);
  return pixels;
}

}  // namespace trainmark::testing
