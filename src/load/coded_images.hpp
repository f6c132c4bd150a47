// The layout "jpeg": all images of a file one behind another as bytes, offsets that say where each begins, and labels.
// A sample is one read by offset, and what a crop of it shows.
#pragma once

#include <filesystem>
#include <span>

#include "load/image_cache.hpp"
#include "load/layout.hpp"
#include "load/region_reader.hpp"

namespace trainmark {

/// Completes a layout whose fields are described: reads the offsets of an open file and says how many samples there
/// are. Raises Error{data}: bytes that are none, offsets that do not rise or lie beyond the bytes, labels of another
/// number.
void place_images(FileLayout& found, hid_t file, const Stored& offsets, const std::filesystem::path& path);

/// Where image `index` (field 0), or its label (field 1), lies.
[[nodiscard]] Box image_box(const FileLayout& layout, std::size_t field, std::int64_t index);

/// Reads and decodes image `open.sample` of a file into [S][S][3], or takes it from `cache` (which may be null) and
/// leaves it there. Raises Error{data} naming file and sample: it cannot be read or decoded.
ReadFrom read_image(const OpenFile& open, const FileLayout& layout, const DataSchema& schema, const Cropping& cropping,
                    const Visit& visit, ImageCache* cache, std::span<std::byte> to);

}  // namespace trainmark
