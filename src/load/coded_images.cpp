// From three datasets along one axis to decoded samples.
#include "load/coded_images.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "load/jpeg_decoder.hpp"
#include "load/resize.hpp"

namespace trainmark {
namespace {

/// More would be no photograph, but a damaged offset.
constexpr std::int64_t most_image_bytes = std::int64_t{1} << 28;
constexpr std::int64_t most_images = std::int64_t{1} << 24;

[[noreturn]] void refuse(const std::filesystem::path& path, std::string what, std::string why,
                         std::string remedy = "pack or generate it again") {
  throw Error(ExitCode::data, Complaint{path.string(), std::move(what), std::move(why), std::move(remedy)});
}

void require_axis(const Stored& stored, const std::filesystem::path& path, std::string_view expected, bool fits) {
  if (!stored.unusable.empty())
    refuse(path, fmt::format("dataset '{}' cannot be read: {}", stored.name, stored.unusable), "");
  if (fits) return;
  refuse(path,
         fmt::format("dataset '{}' is {} of shape {}, expected {}", stored.name, stored.type,
                     stored.form.empty() ? to_string(stored.shape()) : stored.form, expected),
         "a file of JPEGs has their bytes, offsets and labels, each along one axis");
}

std::vector<std::int64_t> read_offsets(hid_t file, const Stored& offsets, const std::filesystem::path& path) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(offsets.dims[0]));
  Stored through_library = offsets;
  through_library.storage = Storage::library;  // few numbers, in whatever form
  const Field field{offsets.name, Shape{offsets.dims[0]}, DType::i64, {}, {}};
  read_box({.path = path, .library = file}, through_library, {1, {}, offsets.dims}, field,
           std::as_writable_bytes(std::span(values)));
  return values;
}

void require_rising(const std::vector<std::int64_t>& offsets, const Stored& bytes, const std::string& name,
                    const std::filesystem::path& path) {
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    const std::int64_t begin = offsets[i], end = offsets[i + 1];
    const std::string where = fmt::format("dataset '{}': sample {} goes from byte {} to {}", name, i, begin, end);
    if (begin < 0 || end <= begin) refuse(path, where + ": offsets must rise", "an image has at least one byte");
    if (end > bytes.dims[0])
      refuse(path, fmt::format("{}, but '{}' has {} bytes", where, bytes.name, bytes.dims[0]), "it is cut short");
    if (end - begin > most_image_bytes)
      refuse(path, fmt::format("{}: more than {} bytes", where, most_image_bytes), "no image is that large");
  }
}

/// Writes the sample from what is kept of its image; false where that is not enough.
bool show_kept(const ImageCache& cache, const DataSchema& schema, const Cropping& cropping, const Visit& visit,
               std::span<std::byte> to) {
  const std::optional<ImageCache::Kept> kept = cache.find(visit.sample);
  if (!kept) return false;
  const int extent = static_cast<int>(schema.fields.front().shape[0]);
  // A part has the pixels of the whole image at the same reduction, so a crop of either has the same bytes.
  const CropBox crop = crop_of(*schema.images, cropping, visit, kept->image, extent);
  const int reduction = reduction_for(crop, extent);
  const std::byte* pixels = kept->reduced_by(reduction);
  if (pixels != nullptr) resize_bilinear(whole_part(pixels, kept->image, reduction), crop, extent, to);
  return pixels != nullptr;
}

}  // namespace

void place_images(FileLayout& found, hid_t file, const Stored& offsets, const std::filesystem::path& path) {
  TRAINMARK_CHECK(found.fields.size() == 2, "images have labels and nothing else");
  const Stored& bytes = found.fields[0];
  const Stored& labels = found.fields[1];
  require_axis(bytes, path, "the bytes of JPEGs (uint8 [bytes])",
               bytes.rank == 1 && bytes.readable && bytes.number == Number::u8);
  require_axis(offsets, path,
               fmt::format("offsets of 1 to {} images and their end (integers [images + 1])", most_images),
               offsets.rank == 1 && offsets.readable && is_whole(offsets.number) && offsets.dims[0] >= 2 &&
                   offsets.dims[0] <= most_images + 1);
  found.layout = DatasetLayout::jpeg;
  found.samples = offsets.dims[0] - 1;
  require_axis(labels, path,
               fmt::format("a label for each of the {} images (integers [{}])", found.samples, found.samples),
               labels.rank == 1 && labels.dims[0] == found.samples);
  found.offsets = read_offsets(file, offsets, path);
  require_rising(found.offsets, bytes, offsets.name, path);
}

Box image_box(const FileLayout& layout, std::size_t field, std::int64_t index) {
  Box box{1, {}, {}};
  const auto at = static_cast<std::size_t>(index);
  box.begin[0] = field == 0 ? layout.offsets.at(at) : index;
  box.extent[0] = field == 0 ? layout.offsets.at(at + 1) - layout.offsets[at] : 1;
  return box;
}

ReadFrom read_image(const OpenFile& open, const FileLayout& layout, const DataSchema& schema, const Cropping& cropping,
                    const Visit& visit, ImageCache* cache, std::span<std::byte> to) {
  thread_local std::vector<std::byte> coded;
  thread_local JpegDecoder decoder;
  if (cache != nullptr && show_kept(*cache, schema, cropping, visit, to)) return ReadFrom::memory;
  const Stored& stored = layout.fields.front();
  const Box box = image_box(layout, 0, open.sample);
  coded.resize(static_cast<std::size_t>(box.extent[0]));
  const Field bytes{stored.name, Shape{box.extent[0]}, DType::u8, {}, {}};
  read_box(open, stored, box, bytes, coded);
  const int extent = static_cast<int>(schema.fields.front().shape[0]);
  try {
    const ImageExtent image = decoder.open(coded);
    const CropBox crop = crop_of(*schema.images, cropping, visit, image, extent);
    if (cache != nullptr) {
      const int reduction = reduction_for(crop, extent);
      const std::span<std::byte> room =
          cache->claim(visit.sample, image, reduction, whole_part({}, image, reduction).bytes());
      if (!room.empty()) {
        const DecodedPart whole = decoder.decode_whole(reduction);
        TRAINMARK_CHECK(whole.bytes() == room.size(), "an image has the pixels that its header tells");
        std::ranges::copy(whole.rgb, room.begin());
        cache->keep(visit.sample, reduction, room);
        resize_bilinear(whole, crop, extent, to);
        return ReadFrom::files;
      }
    }
    resize_bilinear(decoder.decode(crop, extent, cropping.crop == Crop::whole), crop, extent, to);
  } catch (const ImageError& error) {
    refuse(open.path, fmt::format("sample {} {}", open.sample, error.what()), "no picture can be made of it",
           "pack the dataset again from sound images (`trainmark data import imagenet` names those that are not)");
  }
  return ReadFrom::files;
}

}  // namespace trainmark
