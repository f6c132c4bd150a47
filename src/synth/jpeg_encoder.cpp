// The library's memory destination fails only where memory does. Its errors leave by a jump past C frames, never by its
// exit().
#include "synth/jpeg_encoder.hpp"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <new>

#include <jpeglib.h>

namespace trainmark::synth {
namespace {

struct Encoder {
  jpeg_compress_struct state{};
  jpeg_error_mgr errors{};  // the library hands back a pointer to it
  std::jmp_buf leave{};
  unsigned char* memory = nullptr;
  unsigned long bytes = 0;
  Encoder() = default;
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
  ~Encoder() {
    jpeg_destroy_compress(&state);
    std::free(memory);
  }
};

[[noreturn]] void leave(j_common_ptr state) { std::longjmp(static_cast<Encoder*>(state->client_data)->leave, 1); }

void encode(Encoder& encoder, const Picture& picture, const JpegForm& form) {
  jpeg_compress_struct& state = encoder.state;
  jpeg_create_compress(&state);
  jpeg_mem_dest(&state, &encoder.memory, &encoder.bytes);
  state.image_width = static_cast<JDIMENSION>(picture.width);
  state.image_height = static_cast<JDIMENSION>(picture.height);
  state.input_components = 3;
  state.in_color_space = JCS_RGB;
  jpeg_set_defaults(&state);
  jpeg_set_quality(&state, form.quality, TRUE);
  if (!form.halves_colour) state.comp_info[0].h_samp_factor = state.comp_info[0].v_samp_factor = 1;
  if (form.progressive) jpeg_simple_progression(&state);
  jpeg_start_compress(&state, TRUE);
  const std::size_t row_bytes = static_cast<std::size_t>(picture.width) * 3;
  while (state.next_scanline < state.image_height) {
    auto* row = const_cast<JSAMPLE*>(picture.pixels.data() + state.next_scanline * row_bytes);
    jpeg_write_scanlines(&state, &row, 1);
  }
  jpeg_finish_compress(&state);
}

}  // namespace

std::vector<std::byte> encode_jpeg(const Picture& picture, const JpegForm& form) {
  Encoder encoder;
  encoder.state.client_data = &encoder;
  encoder.state.err = jpeg_std_error(&encoder.errors);
  encoder.errors.error_exit = leave;
  if (setjmp(encoder.leave) != 0) throw std::bad_alloc();
  encode(encoder, picture, form);
  const auto* begin = reinterpret_cast<const std::byte*>(encoder.memory);
  return {begin, begin + encoder.bytes};
}

}  // namespace trainmark::synth
