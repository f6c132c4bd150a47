// Recognising a file's layout and naming what does not fit.
#include "load/layout.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "load/coded_images.hpp"
#include "load/links.hpp"
#include "load/names.hpp"

namespace trainmark {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, std::string what, std::string why, std::string remedy) {
  throw Error(ExitCode::data, Complaint{path.string(), std::move(what), std::move(why), std::move(remedy)});
}

/// Filters make at most some ten thousand bytes of one. A header that promises more than that of its file is damaged,
/// and who believes it runs out of memory or never ends.
Stored with_room(hid_t file, Stored stored, const std::filesystem::path& path) {
  constexpr double most_of_a_byte = 65536;
  double whole = 1.0, chunk = 1.0;
  for (std::size_t axis = 0; axis < stored.rank; ++axis) {
    whole *= std::abs(static_cast<double>(stored.dims[axis]));
    chunk *= static_cast<double>(stored.chunk[axis]);
  }
  const double bytes = std::max(whole, chunk) * static_cast<double>(stored.element());
  hsize_t there = 0;
  H5Fget_filesize(file, &there);
  if (!stored.companions.empty() || bytes <= most_of_a_byte * static_cast<double>(there)) return stored;
  refuse(path,
         fmt::format("dataset '{}' is said to hold {:.4g} bytes, which a file of {} bytes cannot", stored.name, bytes,
                     there),
         "its header is damaged, or next to nothing of it was written", "copy or generate it again");
}

/// The first of `candidates` that there is a link of: one that leads nowhere is an error of its own.
Stored find_dataset(hid_t file, const std::filesystem::path& path, const std::vector<std::string>& candidates,
                    std::string_view role) {
  for (const std::string& candidate : candidates) {
    if (link_exists(file, candidate)) return with_room(file, describe(file, candidate, path), path);
  }
  const std::vector<std::string> there = dataset_names(file);
  std::string what = fmt::format("has no dataset '{}' for the {}", fmt::join(candidates, "' or '"), role);
  what += there.empty() ? "; it has no datasets" : fmt::format("; it has '{}'", fmt::join(there, "', '"));
  const std::string nearest = nearest_name(candidates.front(), there);
  if (role != "input" && role != "target") refuse(path, std::move(what), "", "give the dataset one of these names");
  refuse(path, std::move(what), "",
         nearest.empty()
             ? fmt::format("are these files of another workload? else set data.format.{} to the dataset's name", role)
             : fmt::format("did you mean '{}'? set data.format.{}", nearest, role));
}

Stored find_field(hid_t file, const std::filesystem::path& path, const FormatOptions& format, const DataSchema& schema,
                  std::size_t at) {
  const std::string_view role = at == 0 ? "input" : at == 1 ? "target" : std::string_view(schema.fields[at].name);
  return find_dataset(file, path, names_asked_for(format, schema, at), role);
}

void require_type(const Stored& stored, const Field& field, const std::filesystem::path& path) {
  if (stored.readable && becomes(stored.number, field.dtype)) return;
  const std::string_view expected =
      is_whole(field.dtype) ? "integers of any width and endianness" : "float32 or float64 of either endianness";
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

/// "768x1152x16"; an axis that may be of any extent is "*".
std::string text_of(const Shape& shape) {
  std::vector<std::string> extents;
  for (const std::int64_t extent : shape.extents())
    extents.push_back(extent == 0 ? "*" : fmt::format("{}", extent));
  return fmt::format("{}", fmt::join(extents, "x"));
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
    if (block[axis] < 1 || whole[axis] < block[axis] || whole[axis] % block[axis] != 0) return false;
  }
  return whole[last] == block[last];
}

bool is_cut(const Stored& input, const DataSchema& schema) { return schema.cut && input.name == schema.cut->stored_as; }

DatasetLayout detect(const Stored& input, const DataSchema& schema, const FormatOptions& format) {
  const Shape& sample = schema.fields.front().shape;
  if (format.layout != DatasetLayout::automatic) return format.layout;
  if (input.rank == sample.rank() + 1) return DatasetLayout::packed;
  if (input.shape() == sample || !schema.cut) return DatasetLayout::block;
  return divides(sample, input.shape()) || is_cut(input, schema) ? DatasetLayout::universe : DatasetLayout::block;
}

void require_input_shape(const FileLayout& found, const DataSchema& schema, const std::filesystem::path& path) {
  const Shape& sample = schema.fields.front().shape;
  const Stored& input = found.fields.front();
  const Shape shape = input.shape();
  const std::string is = form_of(input);
  const std::string remedy = "set the model's extent and data.format.layout to what the files hold";
  switch (found.layout) {
    case DatasetLayout::universe:
      if (!schema.cut || !divides(sample, shape)) {
        refuse(path, fmt::format("{}, which cannot be cut into samples of {}", is, text_of(sample)), "", remedy);
      }
      return;
    case DatasetLayout::block:
      if (shape != sample)
        refuse(path, fmt::format("{}, expected {}", is, text_of(sample)), "one sample a file", remedy);
      return;
    case DatasetLayout::automatic:  // never found
    case DatasetLayout::jpeg:       // place_images() looks
      return;
    case DatasetLayout::packed: {
      const bool ranks_fit = shape.rank() == sample.rank() + 1;
      if (!ranks_fit || shape != with_count(shape[0], sample)) {
        refuse(path, fmt::format("{}, expected N samples of {}", is, text_of(sample)), "", remedy);
      }
      if (shape[0] == 0) refuse(path, is + ": it holds no samples", "", "remove the file from the folder");
    }
  }
}

/// Of a field behind the first.
void require_shape(const FileLayout& found, const Stored& stored, const Shape& sample,
                   const std::filesystem::path& path) {
  const Shape expected = found.layout == DatasetLayout::packed ? with_count(found.samples, sample) : sample;
  if (stored.shape() == expected) return;
  refuse(path, fmt::format("{}, expected {}", form_of(stored), text_of(expected)),
         fmt::format("dataset '{}' holds {} sample(s) in layout {}", found.fields.front().name, found.samples,
                     word(found.layout)),
         "name the right dataset in data.format.target");
}

/// Gives axes of extent 0 the extents that a sample has in the file. A number of axes that does not fit stays for
/// resolve_layout to name.
void fill_in(Shape& sample, const Stored& stored, DatasetLayout layout) {
  const bool packed =
      layout == DatasetLayout::packed || (layout == DatasetLayout::automatic && stored.rank == sample.rank() + 1);
  const std::size_t skipped = packed ? 1 : 0;
  if (stored.rank != sample.rank() + skipped) return;
  for (std::size_t axis = 0; axis < sample.rank(); ++axis) {
    if (sample[axis] == 0) sample[axis] = stored.dims[axis + skipped];
  }
}

/// The type in memory that shows numbers of another kind than the one asked for.
DType nearest_type(Number number) {
  if (!is_whole(number)) return DType::f32;
  return number == Number::u8 ? DType::u8 : size_of(number) <= 2 && number != Number::u16 ? DType::i16 : DType::i64;
}

Box whole_box(const Stored& stored) { return {stored.rank, {}, stored.dims}; }

Box packed_box(const Stored& stored, std::int64_t index) {
  Box box = whole_box(stored);
  box.begin[0] = index;
  box.extent[0] = 1;
  return box;
}

}  // namespace

std::vector<std::string> names_asked_for(const FormatOptions& format, const DataSchema& schema, std::size_t at) {
  const Field& field = schema.fields[at];
  const std::string& asked = at == 0 ? format.input : format.target;
  if (at <= 1 && asked != "auto") return {asked};
  return field.stored_as.empty() ? std::vector<std::string>{field.name} : field.stored_as;
}

FileLayout resolve_layout(hid_t file, const std::filesystem::path& path, const FormatOptions& format,
                          const DataSchema& schema) {
  TRAINMARK_CHECK(!schema.fields.empty(), "samples have fields");
  FileLayout found;
  for (std::size_t at = 0; at < schema.fields.size(); ++at)
    found.fields.push_back(find_field(file, path, format, schema, at));
  if (!schema.images) return judged_layout(std::move(found.fields), path, format, schema);
  if (format.layout != DatasetLayout::automatic)
    refuse(path, fmt::format("layout {} was asked for, but samples are decoded from JPEGs", word(format.layout)), "",
           "set data.format.layout to auto");
  const std::string& offsets = schema.images->offsets;
  place_images(found, file, find_dataset(file, path, {offsets}, "offsets of the JPEGs"), path);
  require_type(found.fields.back(), schema.fields.back(), path);
  return found;
}

FileLayout judged_layout(std::vector<Stored> fields, const std::filesystem::path& path, const FormatOptions& format,
                         const DataSchema& schema) {
  FileLayout found;
  found.fields = std::move(fields);
  const Stored& input = found.fields.front();
  const Shape& sample = schema.fields.front().shape;
  found.layout = detect(input, schema, format);
  require_input_shape(found, schema, path);
  found.samples = found.layout == DatasetLayout::packed ? input.dims[0] : 1;
  if (found.layout == DatasetLayout::universe) {
    for (std::size_t axis = 0; axis < input.rank; ++axis) {
      found.blocks[axis] = input.dims[axis] / sample[axis];
      found.samples *= found.blocks[axis];
    }
  }
  for (std::size_t at = 1; at < found.fields.size(); ++at)
    require_shape(found, found.fields[at], schema.fields[at].shape, path);
  for (std::size_t at = 0; at < found.fields.size(); ++at)
    require_type(found.fields[at], schema.fields[at], path);
  for (const Stored& stored : found.fields)
    require_usable(stored, path);
  return found;
}

std::string form_of(const FileLayout& layout, const FormatOptions& format) {
  if (format.layout != DatasetLayout::automatic) return "";
  std::string form(word(layout.layout));
  if (layout.layout == DatasetLayout::universe) form += " " + to_string(layout.fields.front().shape());
  std::vector<std::string> names;
  for (const Stored& stored : layout.fields)
    names.push_back("'" + stored.name + "'");
  return fmt::format("{} with {}", form, fmt::join(names, " and "));
}

std::string FileLayout::companion() const {
  for (const Stored& stored : fields) {
    if (!stored.companions.empty()) return stored.companions.front().string();
  }
  return "";
}

FileLayout resolve_layout(const std::filesystem::path& path, const FormatOptions& format, const DataSchema& schema) {
  const Hdf5Lock lock;
  const FileHandle file = open_file(path);
  return resolve_layout(file.get(), path, format, schema);
}

Box box_of(const FileLayout& layout, const DataSchema& schema, std::size_t field, std::int64_t index) {
  const Stored& stored = layout.fields.at(field);
  if (layout.layout == DatasetLayout::jpeg) return image_box(layout, field, index);
  if (layout.layout == DatasetLayout::packed) return packed_box(stored, index);
  Box box = whole_box(stored);
  if (layout.layout == DatasetLayout::block || field > 0) return box;
  const Shape& sample = schema.fields.front().shape;
  for (std::size_t axis = box.rank; axis-- > 0;) {
    box.extent[axis] = sample[axis];
    box.begin[axis] = index % layout.blocks[axis] * sample[axis];
    index /= layout.blocks[axis];
  }
  return box;
}

DataSchema schema_of_file(const std::filesystem::path& path, const FormatOptions& format, const DataSchema& asked) {
  const auto open = [](const Field& field) { return std::ranges::count(field.shape.extents(), 0) > 0; };
  if (std::ranges::none_of(asked.fields, open)) return asked;
  const Hdf5Lock lock;
  const FileHandle file = open_file(path);
  DataSchema schema = asked;
  for (std::size_t at = 0; at < asked.fields.size(); ++at) {
    const Stored stored = find_field(file.get(), path, format, asked, at);
    Field& field = schema.fields[at];
    fill_in(field.shape, stored, format.layout);
    if (at == 0 && stored.readable && !becomes(stored.number, field.dtype)) field.dtype = nearest_type(stored.number);
    const bool cut = asked.cut && at == 0 &&
                     (format.layout == DatasetLayout::universe ||
                      (format.layout == DatasetLayout::automatic && is_cut(stored, asked)));
    for (std::size_t axis = 0; cut && axis + 1 < field.shape.rank(); ++axis) {
      if (field.shape[axis] % asked.cut->extent == 0) field.shape[axis] = asked.cut->extent;
    }
  }
  return schema;
}

}  // namespace trainmark
