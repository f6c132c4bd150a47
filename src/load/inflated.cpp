// What staging with stage.inflate copies in place of compressed files: HDF5 files that hold the values a model reads,
// one range of the file for each dataset. What copies of a form look like, their size and where their values begin, is
// known before a byte is read: of each form one is made without values.
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
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

/// In memory, the type of such numbers; nothing where samples have none.
std::optional<DType> dtype_of(Number number) {
  switch (number) {
    case Number::u8:
      return DType::u8;
    case Number::i16:
      return DType::i16;
    case Number::i32:
      return DType::i32;
    case Number::i64:
      return DType::i64;
    case Number::f32:
      return DType::f32;
    case Number::f64:
      return DType::f64;
    default:
      return std::nullopt;
  }
}

std::vector<hsize_t> extents_of(const Stored& stored) {
  return {stored.dims.begin(), stored.dims.begin() + static_cast<std::ptrdiff_t>(stored.rank)};
}

/// The datasets of a copy, without values.
void put_datasets(Hdf5Writer& writer, const std::vector<Stored>& fields) {
  std::set<std::string> groups;
  for (const Stored& stored : fields) {
    for (std::size_t end = stored.name.find('/'); end != std::string::npos; end = stored.name.find('/', end + 1))
      if (groups.insert(stored.name.substr(0, end)).second) writer.group(stored.name.substr(0, end));
    writer.dataset(stored.name, stored.number, extents_of(stored), {});
  }
}

/// Rows along the first axis that are read at once: chunks are inflated once.
std::int64_t rows_of(const Stored& stored) {
  return stored.is_chunked() ? std::min(stored.chunk[0], stored.dims[0]) : stored.dims[0];
}

double bytes_of(const Stored& stored) { return elements_of(stored) * static_cast<double>(stored.element()); }

void copy_values(const OpenFile& file, const Stored& stored, Hdf5Writer& writer) {
  const Field as_stored{stored.name, {}, dtype_of(stored.number).value(), {}, {}};
  std::vector<std::byte> memory;
  for (std::int64_t row = 0; row < stored.dims[0]; row += rows_of(stored)) {
    Box box{stored.rank, {}, stored.dims};
    box.begin[0] = row;
    box.extent[0] = std::min(rows_of(stored), stored.dims[0] - row);
    memory.resize(static_cast<std::size_t>(box.elements()) * stored.element());
    read_box(file, stored, box, as_stored, memory);
    writer.write(stored.name, static_cast<hsize_t>(row), static_cast<hsize_t>(box.extent[0]), stored.number, memory);
  }
}

/// Of the file's content, what reading the values takes.
std::int64_t bytes_in_file(const Stored& stored) {
  if (stored.storage != Storage::chunked) return static_cast<std::int64_t>(bytes_of(stored));
  std::int64_t bytes = 0;
  for (const Chunk& chunk : stored.chunks)
    bytes += chunk.bytes;
  return bytes;
}

/// In memory the library takes it for a file, so no file may have its name.
std::string name_of_copy(const fs::path& source) { return source.string() + ", inflated"; }

class InflatedFile final : public RecodedFile {
 public:
  InflatedFile(const OpenFile& source, const FileLayout& layout) : name_(name_of_copy(source.path)) {
    Hdf5Writer writer(name_);
    put_datasets(writer, layout.fields);
    for (const Stored& stored : layout.fields) {
      copy_values(source, stored, writer);
      source_bytes_read_ += bytes_in_file(stored);
    }
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
  [[nodiscard]] std::int64_t source_bytes_read() const override { return source_bytes_read_; }

 private:
  std::string name_;
  std::vector<std::byte> content_;
  std::int64_t source_bytes_read_ = 0;
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
  Inflating(const ManifestEntry& source, std::shared_ptr<const Asked> asked)
      : layout_(source.layout), bytes_(source.bytes), xxh3_(source.xxh3), asked_(std::move(asked)) {}

  [[nodiscard]] std::int64_t source_bytes() const override { return bytes_; }
  [[nodiscard]] const std::string& source_xxh3() const override { return xxh3_; }
  [[nodiscard]] std::unique_ptr<RecodedFile> open(const fs::path& path, int descriptor) const override {
    const auto& [format, schema] = *asked_;
    const OpenFile source{path, descriptor};
    const std::optional<FileLayout> listed = from_listed(layout_, path, bytes_, format, schema);
    if (listed && begins_as_hdf5(source)) return std::make_unique<InflatedFile>(source, *listed);
    return std::make_unique<InflatedFile>(source, layout_in_header(source));
  }

 private:
  [[nodiscard]] FileLayout layout_in_header(const OpenFile& source) const {
    const Hdf5Lock lock;
    const FileHandle file = open_file(source.path);
    struct stat named {
    }, opened{};
    if (stat(source.path.c_str(), &named) != 0 || fstat(source.descriptor, &opened) != 0 ||
        named.st_ino != opened.st_ino || named.st_dev != opened.st_dev) {
      throw Error(ExitCode::data, Complaint{source.path.string(), "was replaced while it was copied",
                                            "a run must not train on a dataset that is being written",
                                            "wait until the dataset is complete, then run again"});
    }
    FileLayout layout = resolve_layout(file.get(), source.path, asked_->format, asked_->schema);
    for (Stored& stored : layout.fields)
      if (stored.storage == Storage::chunked) locate_chunks(file.get(), stored, source.path);
    return layout;
  }

  ListedLayout layout_;
  std::int64_t bytes_;
  std::string xxh3_;
  std::shared_ptr<const Asked> asked_;
};

bool is_plain(const std::string& name) {
  return !name.empty() && name.front() != '/' && name.back() != '/' && name.find("//") == std::string::npos &&
         name.find("./") == std::string::npos;
}

/// A file of a process's own that takes no room: of what is written there only the headers are.
fs::path make_sparse(TemporaryName& name) {
  const fs::path wanted = fs::temp_directory_path() / "trainmark.inflated";
  const Descriptor made(name.create(wanted, 0600));
  if (made) return name.path();
  throw Error(ExitCode::environment, system_complaint(wanted.parent_path().string(), "cannot be written to", errno,
                                                      "set TMPDIR to a folder that can"));
}

/// Nothing where files of this form are copied as they are.
std::optional<CopyForm> copy_form(const std::string& form, const FormatOptions& format, const DataSchema& schema) {
  const std::optional<std::vector<Stored>> fields = fields_of_form(form, format, schema);
  if (!fields || std::ranges::none_of(*fields, [](const Stored& stored) { return stored.deflate >= 0; }))
    return std::nullopt;
  double bytes = 0.0;
  for (const Stored& stored : *fields) {
    const double rows = static_cast<double>(rows_of(stored)) / static_cast<double>(stored.dims[0]);
    if (!dtype_of(stored.number) || !is_plain(stored.name) || bytes_of(stored) * rows > most_slab_bytes)
      return std::nullopt;
    bytes += bytes_of(stored);
  }
  struct rlimit limit {};
  const bool limited = getrlimit(RLIMIT_FSIZE, &limit) == 0 && static_cast<double>(limit.rlim_cur) < bytes + 1048576.0;
  if (bytes > most_copy_bytes || limited) return std::nullopt;
  TemporaryName name;
  const fs::path path = make_sparse(name);
  {
    Hdf5Writer writer(path, path.string());
    put_datasets(writer, *fields);
    writer.close();
  }
  const Hdf5Lock lock;
  CopyForm copy;
  {
    const FileHandle file = open_file(path);
    copy = {to_listed(file.get(), path, resolve_layout(file.get(), path, format, schema), format, schema),
            static_cast<std::int64_t>(fs::file_size(path))};
  }
  fs::remove(path);
  name.forget();
  return copy;
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
    entry.recoding = std::make_shared<Inflating>(entry, asked);
    entry.stamp = stamp_of_copy(entry);
    entry.layout = known->second->layout;
    entry.bytes = known->second->bytes;
    entry.xxh3.clear();  // it is of the source's content
  }
  return copies;
}

}  // namespace trainmark
