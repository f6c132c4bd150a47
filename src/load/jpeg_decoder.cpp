// libjpeg reports errors by a function that must not return. Here it jumps back to where the library was called, past
// C frames only: whatever runs inside attempt() holds nothing that needs a destructor.
#include "load/jpeg_decoder.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include <jpeglib.h>

#include <jerror.h>

#include "core/reading.hpp"

namespace trainmark {
namespace {

constexpr std::int64_t most_pixels = std::int64_t{1} << 26;
/// A progressive image may have as many scans as it likes, and each costs a pass over all its pixels.
constexpr int most_scans = 200;

struct Errors {
  jpeg_error_mgr manager;  // first: the library hands back a pointer to it
  std::jmp_buf leave;
  std::array<char, JMSG_LENGTH_MAX> message;
  std::int64_t stray_bytes = 0;
};

[[noreturn]] void leave(j_common_ptr state) {
  auto* errors = reinterpret_cast<Errors*>(state->err);
  state->err->format_message(state, errors->message.data());
  std::longjmp(errors->leave, 1);
}

/// Whether the bytes that the library passed over before a marker belong to nothing: between the segments of a header,
/// and a few behind the pixels, as some cameras and editors leave them. More of them, or any before a restart, are
/// pixels that a damaged code made it lose.
bool are_stray(j_common_ptr state) {
  const auto* decoder = reinterpret_cast<j_decompress_ptr>(state);
  const int bytes = state->err->msg_parm.i[0], marker = state->err->msg_parm.i[1];
  constexpr int most = 64;
  const bool restart = marker >= JPEG_RST0 && marker <= JPEG_RST0 + 7;
  return decoder->input_scan_number == 0 || (bytes <= most && !restart);
}

/// Below zero: the data are damaged, and the library would go on with pixels of its own.
void take_message(j_common_ptr state, int level) {
  if (level >= 0) return;
  if (state->err->msg_code != JWRN_EXTRANEOUS_DATA || !are_stray(state)) leave(state);
  reinterpret_cast<Errors*>(state->err)->stray_bytes += state->err->msg_parm.i[0];
}

void count_scans(j_common_ptr state) {
  const auto* decoder = reinterpret_cast<j_decompress_ptr>(state);
  if (decoder->input_scan_number <= most_scans) return;
  auto* errors = reinterpret_cast<Errors*>(state->err);
  std::snprintf(errors->message.data(), errors->message.size(), "it has more than %d scans", most_scans);
  std::longjmp(errors->leave, 1);
}

/// What begins like another format is one, whatever its name says.
std::string_view other_format(std::span<const std::byte> coded) {
  struct Magic {
    std::string_view bytes, name;
  };
  constexpr std::array<Magic, 8> known = {{{"\x89PNG", "a PNG"},
                                           {"GIF8", "a GIF"},
                                           {"BM", "a BMP"},
                                           {"RIFF", "a WebP or another RIFF"},
                                           {"II*", "a TIFF"},
                                           {"MM", "a TIFF"},
                                           {"<", "a text (a web page?)"},
                                           {"\xff\x0a", "a JPEG XL"}}};
  const std::string_view begin(reinterpret_cast<const char*>(coded.data()), std::min<std::size_t>(coded.size(), 8));
  for (const Magic& magic : known) {
    if (begin.starts_with(magic.bytes)) return magic.name;
  }
  return {};
}

void require_jpeg(std::span<const std::byte> coded) {
  if (coded.empty()) throw ImageError("is empty (0 bytes)");
  if (const std::string_view other = other_format(coded); !other.empty())
    throw ImageError(fmt::format("is {} file, not a JPEG", other));
  if (coded.size() >= 2 && coded[0] == std::byte{0xff} && coded[1] == std::byte{0xd8}) return;
  const auto head = coded.first(std::min(coded.size(), kind_head_bytes));
  if (const FileKind* kind = kind_of({reinterpret_cast<const char*>(head.data()), head.size()}))
    throw ImageError(fmt::format("is {}, not a JPEG", kind->name));
  throw ImageError("is not a JPEG: it does not begin with the bytes ff d8");
}

/// Four bytes a pixel to three, in place. Files with Adobe's marker hold inverted inks; so do nearly all.
void cmyk_to_rgb(std::byte* pixels, std::size_t count, bool inverted) {
  const auto value = [&](std::byte ink) {
    return inverted ? std::to_integer<unsigned>(ink) : 255U - std::to_integer<unsigned>(ink);
  };
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned black = value(pixels[4 * i + 3]);
    for (std::size_t c = 0; c < 3; ++c)
      pixels[3 * i + c] = static_cast<std::byte>((value(pixels[4 * i + c]) * black + 127U) / 255U);
  }
}

}  // namespace

struct JpegDecoder::Impl {
  jpeg_decompress_struct state{};
  Errors errors{};
  jpeg_progress_mgr progress{};
  ImageExtent image;
  std::vector<std::byte> pixels;

  /// Runs calls of the library; what it complains of becomes an ImageError, and the decoder is as new.
  template <class Calls>
  void attempt(Calls&& calls) {
    if (setjmp(errors.leave) != 0) {
      jpeg_abort_decompress(&state);
      throw ImageError(fmt::format("is damaged: {}", errors.message.data()));
    }
    calls();
  }

  /// A decoder as new: the library keeps an image's tables for a later one that has none, and pixels would depend on
  /// what this thread read before.
  void renew() {
    jpeg_destroy_decompress(&state);
    attempt([this] { jpeg_create_decompress(&state); });
    state.progress = &progress;
    errors.stray_bytes = 0;
  }
};

JpegDecoder::JpegDecoder() : impl_(std::make_unique<Impl>()) {
  Impl& of = *impl_;
  of.state.err = jpeg_std_error(&of.errors.manager);
  of.errors.manager.error_exit = leave;
  of.errors.manager.emit_message = take_message;
  of.progress.progress_monitor = count_scans;
  of.renew();
}

JpegDecoder::~JpegDecoder() { jpeg_destroy_decompress(&impl_->state); }

ImageExtent JpegDecoder::open(std::span<const std::byte> coded) {
  Impl& of = *impl_;
  require_jpeg(coded);
  of.renew();
  of.attempt([&] {
    jpeg_mem_src(&of.state, reinterpret_cast<const unsigned char*>(coded.data()), coded.size());
    jpeg_read_header(&of.state, TRUE);
  });
  const auto width = static_cast<std::int64_t>(of.state.image_width);
  const auto height = static_cast<std::int64_t>(of.state.image_height);
  if (width * height > most_pixels) {
    jpeg_abort_decompress(&of.state);
    throw ImageError(fmt::format("has {} x {} pixels, more than {} in all", width, height, most_pixels));
  }
  return of.image = {static_cast<int>(width), static_cast<int>(height)};
}

std::int64_t JpegDecoder::stray_bytes() const noexcept { return impl_->errors.stray_bytes; }

int reduction_for(const CropBox& box, int extent) noexcept {
  const double shorter = std::min(box.width, box.height);
  for (const int reduction : {8, 4, 2}) {
    if (shorter >= static_cast<double>(reduction) * extent) return reduction;
  }
  return 1;
}

DecodedPart whole_part(const std::byte* rgb, ImageExtent image, int reduction) noexcept {
  DecodedPart part{.rgb = {},
                   .width = (image.width + reduction - 1) / reduction,
                   .height = (image.height + reduction - 1) / reduction,
                   .reduction = reduction};
  if (rgb != nullptr) part.rgb = {rgb, part.bytes()};
  return part;
}

DecodedPart JpegDecoder::decode(const CropBox& box, int extent, bool to_the_end) {
  return decode_reduced(box, reduction_for(box, extent), to_the_end);
}

DecodedPart JpegDecoder::decode_whole(int reduction) {
  const ImageExtent image = impl_->image;
  const CropBox all{0.0, 0.0, static_cast<double>(image.width), static_cast<double>(image.height)};
  return decode_reduced(all, reduction, false);
}

DecodedPart JpegDecoder::decode_reduced(const CropBox& box, int reduction, bool to_the_end) {
  Impl& of = *impl_;
  jpeg_decompress_struct& state = of.state;
  DecodedPart part;
  part.reduction = reduction;
  const bool inks = state.jpeg_color_space == JCS_CMYK || state.jpeg_color_space == JCS_YCCK;
  of.attempt([&] {
    state.out_color_space = inks ? JCS_CMYK : JCS_RGB;
    state.scale_num = static_cast<unsigned>(8 / part.reduction);  // eighths have SIMD code for 8, 4, 2 and 1
    state.scale_denom = 8;
    jpeg_start_decompress(&state);
  });
  const auto whole_width = static_cast<int>(state.output_width), whole_height = static_cast<int>(state.output_height);
  const auto begin_of = [&](double from) { return static_cast<int>(std::floor(from / part.reduction)); };
  const auto end_of = [&](double to, int whole) {
    return std::min(whole, static_cast<int>(std::ceil(to / part.reduction)));
  };
  part.top = std::clamp(begin_of(box.top), 0, whole_height - 1);
  part.height = std::max(1, end_of(box.top + box.height, whole_height) - part.top);
  const int left = std::clamp(begin_of(box.left), 0, whole_width - 1);
  const int right = std::max(left + 1, end_of(box.left + box.width, whole_width));

  // At its edges a cropped row is smoothed without its neighbours: a margin keeps all wanted pixels as they are in the
  // whole image. The library moves the left edge down to a whole block.
  constexpr int margin = 2;
  auto first = static_cast<JDIMENSION>(std::max(0, left - margin));
  auto count = static_cast<JDIMENSION>(std::min(whole_width, right + margin)) - first;
  if (count < state.output_width) of.attempt([&] { jpeg_crop_scanline(&state, &first, &count); });
  part.left = static_cast<int>(first);
  part.width = static_cast<int>(state.output_width);

  const std::size_t row_bytes = static_cast<std::size_t>(part.width) * (inks ? 4 : 3);
  if (of.pixels.size() < row_bytes * static_cast<std::size_t>(part.height))
    of.pixels.resize(row_bytes * static_cast<std::size_t>(part.height));
  of.attempt([&] {
    const auto skipped = static_cast<JDIMENSION>(part.top);
    if (skipped > 0) jpeg_skip_scanlines(&state, skipped);
    const auto end = static_cast<JDIMENSION>(part.top + part.height);
    while (state.output_scanline < end) {
      JSAMPROW row = reinterpret_cast<JSAMPROW>(of.pixels.data()) + (state.output_scanline - skipped) * row_bytes;
      jpeg_read_scanlines(&state, &row, 1);
    }
    if (to_the_end) {
      if (state.output_scanline < state.output_height) jpeg_skip_scanlines(&state, state.output_height - end);
      jpeg_finish_decompress(&state);
    } else {
      jpeg_abort_decompress(&state);
    }
  });
  const std::size_t pixels = static_cast<std::size_t>(part.width) * static_cast<std::size_t>(part.height);
  if (inks) cmyk_to_rgb(of.pixels.data(), pixels, state.saw_Adobe_marker != FALSE);
  part.rgb = std::span(of.pixels).first(pixels * 3);
  return part;
}

}  // namespace trainmark
