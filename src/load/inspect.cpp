// A look at a dataset: what is in its files, what its values are like, and what reading it costs.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "load/field_statistics.hpp"
#include "load/layout.hpp"
#include "load/region_reader.hpp"
#include "load/scan.hpp"
#include "load/values.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

std::string value_of(hid_t attribute) {
  const TypeHandle type(H5Aget_type(attribute));
  const SpaceHandle space(H5Aget_space(attribute));
  const hssize_t count = H5Sget_simple_extent_npoints(space.get());
  if (count < 1) return "(empty)";
  if (count > 64) return fmt::format("({} values)", count);
  constexpr std::size_t longest = 65536;  // of a value: more is no remark, or a damaged header
  if (H5Tget_size(type.get()) > longest) return fmt::format("(values of {} bytes)", H5Tget_size(type.get()));
  const auto values = static_cast<std::size_t>(count);
  if (H5Tget_class(type.get()) == H5T_STRING) {
    if (H5Tis_variable_str(type.get()) > 0) {
      std::vector<char*> texts(values);
      if (H5Aread(attribute, type.get(), texts.data()) < 0) return "(unreadable)";
      const std::string text = texts[0] == nullptr ? "" : texts[0];
      H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, texts.data());
      return text;
    }
    std::string text(H5Tget_size(type.get()) * values, '\0');
    if (H5Aread(attribute, type.get(), text.data()) < 0) return "(unreadable)";
    return text.substr(0, text.find('\0'));
  }
  std::vector<double> numbers(values);
  if (H5Aread(attribute, H5T_NATIVE_DOUBLE, numbers.data()) < 0) return "(unreadable)";
  return fmt::format("{}", fmt::join(numbers, ", "));
}

struct Attributes {
  std::string prefix;
  std::vector<std::string>* lines;
};

herr_t add_attribute(hid_t object, const char* name, const H5A_info_t*, void* data) {
  const auto& attributes = *static_cast<Attributes*>(data);
  const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return 0;
  attributes.lines->push_back(fmt::format("{}{} = {}", attributes.prefix, name, value_of(attribute)));
  H5Aclose(attribute);
  return 0;
}

void list_attributes(hid_t object, const std::string& prefix, std::vector<std::string>& lines) {
  Attributes attributes{prefix, &lines};
  H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, nullptr, add_attribute, &attributes);
}

/// Bytes read for each byte wanted, over a file's samples, or over some thousand that are spread over all of them: the
/// chunks of each are visited, and a file may claim any number of samples.
double amplification_of(const FileLayout& layout, const DataSchema& schema) {
  constexpr std::int64_t enough = 1000;
  const std::int64_t stride = std::max<std::int64_t>(1, layout.samples / enough);
  double touched = 0.0, wanted = 0.0;
  for (std::int64_t i = 0; i < layout.samples; i += stride) {
    const Box box = box_of(layout, schema, 0, i);
    touched += static_cast<double>(bytes_touched(layout.fields.front(), box));
    wanted += static_cast<double>(box.elements()) * static_cast<double>(size_of(schema.fields.front().dtype));
  }
  return touched / wanted;
}

/// A dataset that nobody reads may be of any kind: what is wrong with it is told, and is no error.
DatasetField describe_field(hid_t file, const std::string& name, const fs::path& path, Inspection& found) {
  DatasetField field;
  field.name = name;
  try {
    const Stored stored = describe(file, name, path);
    field.shape = stored.shape().extents();
    field.type = stored.form.empty() ? stored.type : fmt::format("{}, {}", stored.type, stored.form);
    field.filters = stored.filters;
    field.stored_bytes = stored.stored_bytes;
    field.by_library = stored.readable ? stored.why_library : "";
    field.unusable = stored.unusable;
    if (stored.is_chunked())
      field.chunk.assign(stored.chunk.begin(), stored.chunk.begin() + static_cast<std::ptrdiff_t>(stored.rank));
    for (const fs::path& companion : stored.companions) {
      if (std::ranges::find(found.companions, companion.string()) == found.companions.end())
        found.companions.push_back(companion.string());
    }
  } catch (const Error& error) {
    field.unusable = error.what();
  }
  return field;
}

void describe_file(const fs::path& path, const FormatOptions& format, Inspection& found) {
  const Hdf5Lock lock;
  const FileHandle file = open_file(path);
  list_attributes(file.get(), "", found.attributes);
  double logical = 0.0, stored_bytes = 0.0;
  for (const std::string& name : dataset_names(file.get())) {
    found.fields.push_back(describe_field(file.get(), name, path, found));
    DatasetField& field = found.fields.back();
    stored_bytes += static_cast<double>(field.stored_bytes);
    const DatasetHandle dataset = open_by_name(file.get(), name);
    if (!dataset) continue;
    list_attributes(dataset.get(), name + ".", found.attributes);
    const TypeHandle type(H5Dget_type(dataset.get()));
    double elements = 1.0;
    for (const std::int64_t extent : field.shape)
      elements *= static_cast<double>(extent);
    logical += elements * static_cast<double>(H5Tget_size(type.get()));
  }
  if (stored_bytes > 0.0) found.compression = logical / stored_bytes;
  const FileLayout layout = resolve_layout(file.get(), path, format, found.schema);
  found.layout = layout.layout;
  found.read_amplification = amplification_of(layout, found.schema);
}

/// "a.hdf5: sample 3" for a sample's number in the whole dataset.
std::string name_of_sample(const Manifest& manifest, std::int64_t index) {
  auto entry = manifest.entries.begin();
  for (; index >= entry->samples; ++entry)
    index -= entry->samples;
  return fmt::format("{}: sample {}", entry->name, index);
}

void note_illegal(const Field& field, std::span<const std::byte> values, std::int64_t index, Inspection& found) {
  constexpr std::size_t most_named = 3;
  const std::optional<std::string> fault = fault_of(field, values);
  if (!fault) return;
  found.illegal += std::max<std::int64_t>(count_illegal(field, values), 1);
  if (found.illegal_first.size() < most_named)
    found.illegal_first.push_back(fmt::format("{}: {}", name_of_sample(found.manifest, index), *fault));
}

void read_values(const fs::path& root, const FormatOptions& format, std::int64_t max_samples, Inspection& found) {
  const auto source = open_hdf5(root, found.manifest, format, found.schema, Values::any, {Crop::whole});
  const std::int64_t wanted = std::min(max_samples, source->size());
  std::vector<std::vector<std::byte>> memory;
  SampleView view;
  std::vector<FieldStatistics> statistics;
  for (const Field& field : found.schema.fields) {
    memory.emplace_back(field.bytes());
    statistics.emplace_back(field);
  }
  for (auto& bytes : memory)
    view.emplace_back(bytes);
  for (std::int64_t i = 0; i < wanted; ++i) {
    const std::int64_t index = i * source->size() / wanted;
    source->read({.sample = index}, view);
    for (std::size_t at = 0; at < memory.size(); ++at) {
      note_illegal(found.schema.fields[at], memory[at], index, found);
      statistics[at].add(memory[at]);
    }
    if (std::ranges::all_of(memory.front(), [](std::byte byte) { return byte == std::byte{0}; })) ++found.all_zero;
    ++found.samples_read;
  }
  for (const FieldStatistics& each : statistics) {
    if (wanted > 0) found.values.push_back(each.result());
  }
}

}  // namespace

Inspection inspect_dataset(const fs::path& path, const FormatOptions& format, const DataSchema& schema,
                           std::int64_t max_samples) {
  Inspection found;
  std::error_code ignored;  // what cannot be examined is named by who opens it
  const bool one_file = fs::is_regular_file(path, ignored);
  const fs::path root = one_file ? (path.has_parent_path() ? path.parent_path() : fs::path(".")) : path;
  const fs::path first = one_file ? path : root / data_files(root).front().name;
  found.schema = schema_of_file(first, format, schema);
  if (one_file) {
    found.manifest.entries.push_back(stat_entry(root, path.filename().string()));
    const FileLayout layout = resolve_layout(path, format, found.schema);
    found.manifest.entries.back().samples = layout.samples;
    found.manifest.entries.back().companion = layout.companion();
  } else {
    found.manifest = scan_dataset(root, format, found.schema, {}, {.hashes_compared = false});
  }
  describe_file(first, format, found);
  read_values(root, format, max_samples, found);
  return found;
}

}  // namespace trainmark
