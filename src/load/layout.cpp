// Recognising a file's layout and naming what does not fit.
#include "load/layout.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "load/links.hpp"
#include "load/names.hpp"

namespace trainmark {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, std::string what, std::string why, std::string remedy) {
  throw Error(ExitCode::data, Complaint{path.string(), std::move(what), std::move(why), std::move(remedy)});
}

/// Filters make at most some ten thousand bytes of one. A header that promises more than that of its file is damaged,
/// and who believes it runs out of memory or never ends.
Stored with_room(Stored stored, const std::filesystem::path& path) {
  constexpr double most_of_a_byte = 65536;
  double whole = 1.0, chunk = 1.0;
  for (std::size_t axis = 0; axis < stored.rank; ++axis) {
    whole *= std::abs(static_cast<double>(stored.dims[axis]));
    chunk *= static_cast<double>(stored.chunk[axis]);
  }
  const double bytes = std::max(whole, chunk) * static_cast<double>(stored.element());
  const std::uintmax_t there = std::filesystem::file_size(path);
  if (!stored.companions.empty() || bytes <= most_of_a_byte * static_cast<double>(there)) return stored;
  refuse(path,
         fmt::format("dataset '{}' is said to hold {:.4g} bytes, which a file of {} bytes cannot", stored.name, bytes,
                     there),
         "its header is damaged, or next to nothing of it was written", "copy or generate it again");
}

/// The dataset asked for, or the first of `usual` that there is a link of: one that leads nowhere is an error of its
/// own.
Stored find_dataset(hid_t file, const std::filesystem::path& path, const std::string& asked,
                    const std::vector<std::string>& usual, std::string_view role) {
  const std::vector<std::string> candidates = asked == "auto" ? usual : std::vector<std::string>{asked};
  for (const std::string& candidate : candidates) {
    if (link_exists(file, candidate)) return with_room(describe(file, candidate, path), path);
  }
  const std::vector<std::string> there = dataset_names(file);
  std::string what = fmt::format("has no dataset '{}' for the {}", fmt::join(candidates, "' or '"), role);
  what += there.empty() ? "; it has no datasets" : fmt::format("; it has '{}'", fmt::join(there, "', '"));
  const std::string nearest = nearest_name(candidates.front(), there);
  refuse(path, std::move(what), "",
         nearest.empty() ? fmt::format("set data.format.{} to the dataset's name", role)
                         : fmt::format("did you mean '{}'? set data.format.{}", nearest, role));
}

Stored find_input(hid_t file, const std::filesystem::path& path, const FormatOptions& format) {
  return find_dataset(file, path, format.input, {"x", "full"}, "input");
}

Stored find_target(hid_t file, const std::filesystem::path& path, const FormatOptions& format) {
  return find_dataset(file, path, format.target, {"y", "unitPar"}, "target");
}

void require_type(const Stored& stored, const Field& field, const std::filesystem::path& path) {
  const bool fits =
      stored.readable && (stored.dtype == field.dtype || (field.dtype == DType::f32 && stored.dtype == DType::f64));
  if (fits) return;
  const std::string expected = field.dtype == DType::i16   ? "int16 of either endianness"
                               : field.dtype == DType::f32 ? "float32 or float64 of either endianness"
                                                           : std::string(name_of(field.dtype));
  refuse(path, fmt::format("dataset '{}' is {}, expected {}", stored.name, stored.type, expected), "",
         fmt::format("convert it, or name another dataset in data.format"));
}

void require_usable(const Stored& stored, const std::filesystem::path& path) {
  if (stored.unusable.empty()) return;
  refuse(path, fmt::format("dataset '{}' cannot be read: {}", stored.name, stored.unusable), "",
         "generate the file again");
}

std::string form_of(const Stored& stored) {
  return fmt::format("dataset '{}' {}", stored.name,
                     stored.form.empty() ? "has shape " + to_string(stored.shape()) : "is " + stored.form);
}

Shape with_count(std::int64_t count, const Shape& shape) {
  std::vector<std::int64_t> extents = {count};
  extents.insert(extents.end(), shape.extents().begin(), shape.extents().end());
  return Shape(std::move(extents));
}

bool divides(const Shape& block, const Shape& whole) {
  if (whole.rank() != block.rank() || block.rank() == 0) return false;
  const std::size_t last = block.rank() - 1;
  for (std::size_t axis = 0; axis < last; ++axis) {
    if (whole[axis] < block[axis] || whole[axis] % block[axis] != 0) return false;
  }
  return whole[last] == block[last];
}

Layout detect(const Stored& input, const Shape& sample, const FormatOptions& format) {
  if (format.layout == "universe") return Layout::universe;
  if (format.layout == "block") return Layout::block;
  if (format.layout == "packed") return Layout::packed;
  if (input.rank == sample.rank() + 1) return Layout::packed;
  if (input.shape() == sample) return Layout::block;
  return divides(sample, input.shape()) || input.name == "full" ? Layout::universe : Layout::block;
}

void require_input_shape(const FileLayout& found, const Shape& sample, const std::filesystem::path& path) {
  const Shape shape = found.input.shape();
  const std::string is = form_of(found.input);
  const std::string remedy = "set the model's extent and data.format.layout to what the files hold";
  switch (found.layout) {
    case Layout::universe:
      if (!divides(sample, shape)) {
        refuse(path, fmt::format("{}, which cannot be cut into samples of {}", is, to_string(sample)), "", remedy);
      }
      return;
    case Layout::block:
      if (shape != sample)
        refuse(path, fmt::format("{}, expected {}", is, to_string(sample)), "one sample a file", remedy);
      return;
    case Layout::packed: {
      const bool ranks_fit = shape.rank() == sample.rank() + 1;
      if (!ranks_fit || shape != with_count(shape[0], sample)) {
        refuse(path, fmt::format("{}, expected N samples of {}", is, to_string(sample)), "", remedy);
      }
      if (shape[0] == 0) refuse(path, is + ": it holds no samples", "", "remove the file from the folder");
    }
  }
}

void require_target_shape(const FileLayout& found, const Shape& target, const std::filesystem::path& path) {
  const Shape expected = found.layout == Layout::packed ? with_count(found.samples, target) : target;
  if (found.target.shape() == expected) return;
  refuse(path, fmt::format("{}, expected {}", form_of(found.target), to_string(expected)),
         fmt::format("dataset '{}' holds {} sample(s) in layout {}", found.input.name, found.samples,
                     name_of(found.layout)),
         "name the right dataset in data.format.target");
}

Box whole_box(const Stored& stored) { return {stored.rank, {}, stored.dims}; }

Box packed_box(const Stored& stored, std::int64_t index) {
  Box box = whole_box(stored);
  box.begin[0] = index;
  box.extent[0] = 1;
  return box;
}

}  // namespace

std::string_view name_of(Layout layout) noexcept {
  switch (layout) {
    case Layout::universe:
      return "universe";
    case Layout::block:
      return "block";
    case Layout::packed:
      return "packed";
  }
  return "unknown";
}

FileLayout resolve_layout(hid_t file, const std::filesystem::path& path, const FormatOptions& format,
                          const DataSchema& schema) {
  TRAINMARK_CHECK(schema.fields.size() == 2, "HDF5 samples have an input and a target");
  const Field& input = schema.fields[0];
  const Field& target = schema.fields[1];
  FileLayout found;
  found.input = find_input(file, path, format);
  found.target = find_target(file, path, format);

  found.layout = detect(found.input, input.shape, format);
  require_input_shape(found, input.shape, path);
  found.samples = found.layout == Layout::packed ? found.input.dims[0] : 1;
  if (found.layout == Layout::universe) {
    for (std::size_t axis = 0; axis < found.input.rank; ++axis) {
      found.blocks[axis] = found.input.dims[axis] / input.shape[axis];
      found.samples *= found.blocks[axis];
    }
  }
  require_target_shape(found, target.shape, path);
  require_type(found.input, input, path);
  require_type(found.target, target, path);
  require_usable(found.input, path);
  require_usable(found.target, path);
  return found;
}

std::string FileLayout::companion() const {
  for (const Stored* stored : {&input, &target}) {
    if (!stored->companions.empty()) return stored->companions.front().string();
  }
  return "";
}

FileLayout resolve_layout(const std::filesystem::path& path, const FormatOptions& format, const DataSchema& schema) {
  const Hdf5Lock lock;
  const FileHandle file = open_file(path);
  return resolve_layout(file.get(), path, format, schema);
}

Box input_box(const FileLayout& layout, const Field& field, std::int64_t index) {
  if (layout.layout == Layout::packed) return packed_box(layout.input, index);
  Box box = whole_box(layout.input);
  if (layout.layout == Layout::block) return box;
  for (std::size_t axis = box.rank; axis-- > 0;) {
    box.extent[axis] = field.shape[axis];
    box.begin[axis] = index % layout.blocks[axis] * field.shape[axis];
    index /= layout.blocks[axis];
  }
  return box;
}

Box target_box(const FileLayout& layout, const Field&, std::int64_t index) {
  return layout.layout == Layout::packed ? packed_box(layout.target, index) : whole_box(layout.target);
}

DataSchema schema_of_file(const std::filesystem::path& path, const FormatOptions& format, const DataSchema& asked) {
  if (std::ranges::any_of(asked.fields, [](const Field& field) { return field.shape.rank() > 0; })) return asked;
  const Hdf5Lock lock;
  const FileHandle file = open_file(path);
  const Stored input = find_input(file.get(), path, format);
  const Stored target = find_target(file.get(), path, format);

  const bool packed = format.layout == "packed" || (format.layout == "auto" && target.rank > 1);
  const bool universe = format.layout == "universe" || (format.layout == "auto" && target.name == "unitPar");
  const auto drop = static_cast<std::ptrdiff_t>(packed ? 1 : 0);
  const auto sample_of = [&](const Stored& stored) {
    const std::vector<std::int64_t> extents = stored.shape().extents();
    return std::vector<std::int64_t>(extents.begin() + std::min<std::ptrdiff_t>(drop, std::ssize(extents)),
                                     extents.end());
  };
  std::vector<std::int64_t> sample = sample_of(input);
  // The benchmark cuts its universes into blocks of 128.
  for (std::size_t axis = 0; universe && axis + 1 < sample.size(); ++axis) {
    if (sample[axis] % 128 == 0) sample[axis] = 128;
  }
  const DType input_type = input.dtype == DType::f64 ? DType::f32 : input.dtype;
  DataSchema schema = asked;
  if (schema.fields.empty()) schema.fields = {{"x", {}, DType::i16}, {"y", {}, DType::f32}};
  schema.fields[0].shape = Shape(sample);
  if (input.readable) schema.fields[0].dtype = input_type;
  schema.fields[1].shape = Shape(sample_of(target));
  return schema;
}

}  // namespace trainmark
