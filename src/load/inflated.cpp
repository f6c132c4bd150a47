// What staging with stage.inflate copies in place of compressed files: HDF5 files that hold the values a model reads,
// one range of the file for each dataset. What copies of a form look like, their size and where their values begin, is
// known before a byte is read: of each form one is made in memory, without values.
#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <set>

#include "load/descriptors.hpp"
#include "load/hdf5_writer.hpp"
#include "load/listed_layout.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

/// A copy is put together in a rank's memory, twice for a moment: larger files are copied as they are. (The largest of
/// published sets are cubes of 1 GiB.) So are those of which the rows that chunks have in common are larger.
constexpr double most_copy_bytes = 1.25 * 1073741824.0, most_slab_bytes = 536870912.0;

/// Of the types that samples have in memory.
Number number_of(DType type) {
  switch (type) {
    case DType::i16:
      return Number::i16;
    case DType::i32:
      return Number::i32;
    case DType::i64:
      return Number::i64;
    case DType::u8:
      return Number::u8;
    case DType::f64:
      return Number::f64;
    default:
      TRAINMARK_CHECK(type == DType::f32, name_of(type));
      return Number::f32;
  }
}

/// The datasets of a copy, without values.
void put_datasets(Hdf5Writer& writer, const std::vector<Stored>& fields, const DataSchema& schema) {
  std::set<std::string> groups;
  for (std::size_t at = 0; at < fields.size(); ++at) {
    const Stored& stored = fields[at];
    for (std::size_t end = stored.name.find('/', 1); end != std::string::npos; end = stored.name.find('/', end + 1))
      if (groups.insert(stored.name.substr(0, end)).second) writer.group(stored.name.substr(0, end));
    writer.dataset(stored.name, number_of(schema.fields[at].dtype),
                   {stored.dims.begin(), stored.dims.begin() + static_cast<std::ptrdiff_t>(stored.rank)}, {});
  }
}

/// Rows along the first axis that are read at once: chunks are inflated once.
std::int64_t rows_of(const Stored& stored) { return stored.is_chunked() ? stored.chunk[0] : stored.dims[0]; }

double slab_bytes(const Stored& stored, const Field& field) {
  const double rows = static_cast<double>(std::min(rows_of(stored), stored.dims[0]));
  return elements_of(stored) / static_cast<double>(stored.dims[0]) * rows * static_cast<double>(size_of(field.dtype));
}

void copy_values(const OpenFile& file, const Stored& stored, const Field& field, Hdf5Writer& writer) {
  std::vector<std::byte> memory;
  for (std::int64_t row = 0; row < stored.dims[0]; row += rows_of(stored)) {
    Box box{stored.rank, {}, stored.dims};
    box.begin[0] = row;
    box.extent[0] = std::min(rows_of(stored), stored.dims[0] - row);
    memory.resize(static_cast<std::size_t>(box.elements()) * size_of(field.dtype));
    read_box(file, stored, box, field, memory);
    writer.write(stored.name, static_cast<hsize_t>(row), static_cast<hsize_t>(box.extent[0]), number_of(field.dtype),
                 memory);
  }
}

/// In memory the library takes it for a file, so no file may have its name.
std::string name_of_copy(const fs::path& source) { return source.string() + ", inflated"; }

class InflatedFile final : public RecodedFile {
 public:
  InflatedFile(const fs::path& path, const FileLayout& layout, const DataSchema& schema) : name_(name_of_copy(path)) {
    const Descriptor source = open_to_read(path);
    Hdf5Writer writer(name_);
    put_datasets(writer, layout.fields, schema);
    for (std::size_t at = 0; at < layout.fields.size(); ++at)
      copy_values({path, source.get()}, layout.fields[at], schema.fields[at], writer);
    content_ = writer.image();
  }
  void read(std::int64_t offset, std::span<std::byte> to) override {
    if (offset < 0 || offset > bytes() || std::ssize(to) > bytes() - offset) {
      throw Error(ExitCode::data,
                  Complaint{name_, fmt::format("has {} bytes, not {}", bytes(), offset + std::ssize(to)),
                            "its source is not of the form that it was scanned in", "run again"});
    }
    std::ranges::copy(std::span(content_).subspan(static_cast<std::size_t>(offset), to.size()), to.begin());
  }
  [[nodiscard]] std::int64_t bytes() const override { return std::ssize(content_); }

 private:
  std::string name_;
  std::vector<std::byte> content_;
};

/// What the copies of files of one form have in common.
struct CopyForm {
  ListedLayout layout;
  std::int64_t bytes = 0;
};

/// What all files of a set are asked for.
struct Asked {
  FormatOptions format;
  DataSchema schema;
};

class Inflating final : public Recoding {
 public:
  Inflating(ListedLayout source, std::int64_t source_bytes, std::shared_ptr<const Asked> asked)
      : source_(std::move(source)), source_bytes_(source_bytes), asked_(std::move(asked)) {}

  [[nodiscard]] std::int64_t source_bytes() const override { return source_bytes_; }
  [[nodiscard]] std::unique_ptr<RecodedFile> open(const fs::path& path) const override {
    const auto& [format, schema] = *asked_;
    if (const std::optional<FileLayout> listed = from_listed(source_, path, source_bytes_, format, schema))
      return std::make_unique<InflatedFile>(path, *listed, schema);
    const Hdf5Lock lock;
    const FileHandle file = open_file(path);
    FileLayout layout = resolve_layout(file.get(), path, format, schema);
    for (Stored& stored : layout.fields)
      if (stored.storage == Storage::chunked) locate_chunks(file.get(), stored, path);
    return std::make_unique<InflatedFile>(path, layout, schema);
  }

 private:
  ListedLayout source_;
  std::int64_t source_bytes_;
  std::shared_ptr<const Asked> asked_;
};

/// Nothing where files of this form are copied as they are.
std::optional<CopyForm> copy_form(const std::string& form, const FormatOptions& format, const DataSchema& schema) {
  const std::optional<std::vector<Stored>> fields = fields_of_form(form, format, schema);
  if (!fields || std::ranges::none_of(*fields, [](const Stored& stored) { return stored.deflate >= 0; }))
    return std::nullopt;
  double bytes = 0.0;
  for (std::size_t at = 0; at < fields->size(); ++at) {
    const Field& field = schema.fields[at];
    if (slab_bytes((*fields)[at], field) > most_slab_bytes) return std::nullopt;
    bytes += elements_of((*fields)[at]) * static_cast<double>(size_of(field.dtype));
  }
  if (bytes > most_copy_bytes) return std::nullopt;
  const std::string name = name_of_copy("a file");
  Hdf5Writer writer(name);
  put_datasets(writer, *fields, schema);
  std::vector<std::byte> content = writer.image();
  writer.close();
  const Hdf5Lock lock;
  const FileHandle file = open_image(content, name);
  const FileLayout layout = resolve_layout(file.get(), name, format, schema);
  return CopyForm{to_listed(file.get(), name, layout, format, schema), std::ssize(content)};
}

/// A copy is of this file, read by these names: another config's is none of it, though its size may be the same.
std::uint64_t stamp_of_copy(const ManifestEntry& entry) {
  if (entry.stamp == 0) return 0;
  return std::max<std::uint64_t>(
      1, XXH3_64bits_withSeed(entry.layout.form->data(), entry.layout.form->size(), entry.stamp));
}

}  // namespace

Manifest inflated_copies(const Manifest& source, const FormatOptions& format, const DataSchema& schema) {
  Manifest copies = source;
  const auto asked = std::make_shared<const Asked>(Asked{format, schema});
  std::map<std::string, std::optional<CopyForm>, std::less<>> forms;
  for (ManifestEntry& entry : copies.entries) {
    if (!entry.layout.form) continue;
    auto known = forms.find(*entry.layout.form);
    if (known == forms.end())
      known = forms.emplace(*entry.layout.form, copy_form(*entry.layout.form, format, schema)).first;
    if (!known->second) continue;
    entry.stamp = stamp_of_copy(entry);
    entry.recoding = std::make_shared<Inflating>(std::move(entry.layout), entry.bytes, asked);
    entry.layout = known->second->layout;
    entry.bytes = known->second->bytes;
    entry.xxh3.clear();  // it is of the source's content
  }
  return copies;
}

}  // namespace trainmark
