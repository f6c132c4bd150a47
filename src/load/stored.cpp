// From an HDF5 header to a plain description of where a dataset's bytes are.
#include "load/stored.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "load/fill.hpp"
#include "load/home.hpp"

namespace trainmark {
namespace {

/// In floating point: extents of a damaged header may be anything.
double product(const Extents& extents, std::size_t rank) noexcept {
  double result = 1.0;
  for (std::size_t axis = 0; axis < rank; ++axis)
    result *= static_cast<double>(extents[axis]);
  return result;
}

struct KnownType {
  hid_t id;
  Number number;
  bool big_endian;
};

std::string integer_name(hid_t type, std::size_t bits) {
  std::string name = fmt::format("{}int{}", H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "", bits);
  const std::size_t precision = H5Tget_precision(type);
  if (precision < bits) name += fmt::format(" of {} significant bits", precision);
  return name;
}

std::string type_name(hid_t type) {
  const std::size_t bits = H5Tget_size(type) * 8;
  std::string name;
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      name = integer_name(type, bits);
      break;
    case H5T_FLOAT:
      name = fmt::format("float{}", bits);
      if (H5Tget_precision(type) < bits) name += fmt::format(" of {} significant bits", H5Tget_precision(type));
      break;
    case H5T_STRING:
      return "string";
    case H5T_ENUM:
      return fmt::format("an enumeration of {} bits", bits);
    case H5T_ARRAY:
      return fmt::format("an array of {} bits in each element", bits);
    case H5T_COMPOUND:
      return fmt::format("a compound of {} members", H5Tget_nmembers(type));
    default:
      return fmt::format("a type of {} bits that is neither integer nor float", bits);
  }
  if (H5Tget_order(type) == H5T_ORDER_BE) name += " big-endian";
  return name;
}

/// Numbers of which fewer bits count, or in an order that only the library knows. Their values fit the plain type of
/// that size.
bool fits_when_converted(hid_t type, Stored& stored) {
  const std::size_t size = H5Tget_size(type);
  if (H5Tget_class(type) == H5T_FLOAT && (size == 4 || size == 8)) {
    stored.number = size == 4 ? Number::f32 : Number::f64;
    return true;
  }
  if (H5Tget_class(type) != H5T_INTEGER || size > 8) return false;
  const bool natural = H5Tget_sign(type) == H5T_SGN_NONE;
  stored.number = size == 1   ? (natural ? Number::u8 : Number::i8)
                  : size == 2 ? (natural ? Number::u16 : Number::i16)
                  : size <= 4 ? (natural ? Number::u32 : Number::i32)
                              : (natural ? Number::u64 : Number::i64);
  return true;
}

/// True where the elements are plain numbers that need at most their bytes swapped.
bool describe_type(hid_t dataset, Stored& stored) {
  const std::array<KnownType, 20> known = {
      {{H5T_STD_I8LE, Number::i8, false},    {H5T_STD_I8BE, Number::i8, true},     {H5T_STD_U8LE, Number::u8, false},
       {H5T_STD_U8BE, Number::u8, true},     {H5T_STD_I16LE, Number::i16, false},  {H5T_STD_I16BE, Number::i16, true},
       {H5T_STD_U16LE, Number::u16, false},  {H5T_STD_U16BE, Number::u16, true},   {H5T_STD_I32LE, Number::i32, false},
       {H5T_STD_I32BE, Number::i32, true},   {H5T_STD_U32LE, Number::u32, false},  {H5T_STD_U32BE, Number::u32, true},
       {H5T_STD_I64LE, Number::i64, false},  {H5T_STD_I64BE, Number::i64, true},   {H5T_STD_U64LE, Number::u64, false},
       {H5T_STD_U64BE, Number::u64, true},   {H5T_IEEE_F32LE, Number::f32, false}, {H5T_IEEE_F32BE, Number::f32, true},
       {H5T_IEEE_F64LE, Number::f64, false}, {H5T_IEEE_F64BE, Number::f64, true}}};
  const TypeHandle type(H5Dget_type(dataset));
  stored.type = type_name(type.get());
  for (const KnownType& candidate : known) {
    if (H5Tequal(type.get(), candidate.id) <= 0) continue;
    stored.number = candidate.number;
    stored.big_endian = candidate.big_endian;
    return stored.readable = true;
  }
  stored.readable = fits_when_converted(type.get(), stored);
  return false;
}

/// Names the filters and finds those that this module undoes itself: shuffle over whole elements, then deflate, each at
/// most once. Returns what is not known of the others; empty if there are none.
std::string describe_filters(hid_t creation, Stored& stored) {
  std::string unknown;
  const auto meet = [&](int& place, int at) {
    if (place >= 0) unknown = "a filter is applied twice";
    place = at;
  };
  std::vector<std::string> names;
  const int count = H5Pget_nfilters(creation);
  if (count < 0) return "its filters cannot be listed";
  for (int i = 0; i < count; ++i) {
    unsigned flags = 0, config = 0;
    std::array<unsigned, 8> values{};
    std::size_t value_count = values.size();
    std::array<char, 64> name{};
    const H5Z_filter_t filter = H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &value_count, values.data(),
                                               name.size(), name.data(), &config);
    if (filter == H5Z_FILTER_DEFLATE) {
      meet(stored.deflate, i);
      names.push_back(fmt::format("deflate {}", values[0]));
    } else if (filter == H5Z_FILTER_SHUFFLE) {
      meet(stored.shuffle, i);
      if (unknown.empty() && (value_count < 1 || values[0] != stored.element()))
        unknown = "its shuffle is not over whole elements";
      names.emplace_back("shuffle");
    } else {
      names.emplace_back(name[0] != '\0' ? name.data() : fmt::format("filter {}", filter).c_str());
      unknown = fmt::format("filter {}", names.back());
    }
  }
  stored.filters = fmt::format("{}", fmt::join(names, ", "));
  if (unknown.empty() && stored.deflate >= 0 && stored.shuffle > stored.deflate)
    unknown = "its filters are in an unusual order";
  return unknown;
}

/// H5Pset_chunk_opts: chunks that reach beyond the dataset may be stored without their filters.
bool has_chunk_options(hid_t creation) {
#if H5_VERSION_GE(1, 10, 0)
  unsigned options = 0;
  return H5Pget_chunk_opts(creation, &options) < 0 || options != 0;
#else
  return false;
#endif
}

/// Chunks in an extensible array, whose growing axis the file keeps as the first one: the library (1.10 to 2.0) lists
/// the chunks' places with their axes in that order, not in the dataset's.
bool lists_other_axes(hid_t dataset) {
  H5D_chunk_index_t index = H5D_CHUNK_IDX_EARRAY;
  if (H5Dget_chunk_index_type(dataset, &index) >= 0 && index != H5D_CHUNK_IDX_EARRAY) return false;
  const SpaceHandle space(H5Dget_space(dataset));
  std::array<hsize_t, H5S_MAX_RANK> most{};
  return H5Sget_simple_extent_dims(space.get(), nullptr, most.data()) < 1 || most[0] != H5S_UNLIMITED;
}

/// Why this module cannot read the chunks itself; empty where it can.
std::string describe_chunked(hid_t dataset, hid_t creation, Stored& stored, const std::filesystem::path& path) {
  std::array<hsize_t, max_rank> chunk{};
  const int rank = H5Pget_chunk(creation, static_cast<int>(stored.rank), chunk.data());
  double bytes = static_cast<double>(stored.element());
  for (std::size_t axis = 0; axis < stored.rank; ++axis) {
    if (rank != static_cast<int>(stored.rank) || chunk[axis] == 0) {
      throw Error(ExitCode::data,
                  Complaint{path.string(), fmt::format("the chunks of dataset '{}' do not fit its axes", stored.name),
                            "it is damaged", "copy or generate it again"});
    }
    stored.chunk[axis] = static_cast<std::int64_t>(chunk[axis]);
    stored.grid[axis] = stored.dims[axis] / stored.chunk[axis] + (stored.dims[axis] % stored.chunk[axis] != 0 ? 1 : 0);
    bytes *= static_cast<double>(chunk[axis]);
  }
  std::string unknown = describe_filters(creation, stored);
  if (!unknown.empty()) return unknown;
  if (has_chunk_options(creation)) return "partial chunks may be stored without filters";
  if (fill_of(creation) == Fill::other) return "its fill value is not zero";
  if (lists_other_axes(dataset)) return "it may grow along another axis than the first";
  // With one in front, versions of the library differ in what chunk addresses are relative to.
  if (const FileHandle file(H5Iget_file_id(dataset)); has_user_block(file.get())) return "the file has a user block";
  if (chunks_of(stored) > static_cast<double>(most_chunks))
    return fmt::format("it has more than {} chunks", most_chunks);
  if (bytes > 4294967295.0) return "its chunks have 4 GiB or more";
  return "";
}

/// Decides who reads the dataset: the reason why the library must, or nothing.
std::string describe_storage(hid_t dataset, hid_t creation, bool plain, Stored& stored,
                             const std::filesystem::path& path) {
  const H5D_layout_t layout = H5Pget_layout(creation);
  if (layout == H5D_CHUNKED) {
    const std::string unknown = describe_chunked(dataset, creation, stored, path);
    if (!plain || !unknown.empty()) return plain ? unknown : fmt::format("its type is {}", stored.type);
    stored.storage = Storage::chunked;
    return "";
  }
  if (!plain) return fmt::format("its type is {}", stored.type);
  if (layout == H5D_COMPACT) return "it is stored in the header (compact)";
  if (layout != H5D_CONTIGUOUS) return "its storage is of a kind that is not known";
  const haddr_t offset = H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF) return "it was never written: all of it is the fill value";
  if (static_cast<double>(stored.stored_bytes) != elements_of(stored) * static_cast<double>(stored.element()))
    return "its storage is not of the size of its values";
  stored.storage = Storage::contiguous;
  stored.offset = offset;
  return "";
}

void describe_space(hid_t dataset, Stored& stored) {
  const SpaceHandle space(H5Dget_space(dataset));
  std::array<hsize_t, max_rank> dims{};
  stored.rank = static_cast<std::size_t>(std::max(0, H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr)));
  for (std::size_t axis = 0; axis < stored.rank; ++axis)
    stored.dims[axis] = static_cast<std::int64_t>(dims[axis]);
  const H5S_class_t kind = H5Sget_simple_extent_type(space.get());
  if (kind == H5S_NULL) stored.form = "empty (a null dataspace)";
  if (kind == H5S_SCALAR) stored.form = "one value without axes";
}

}  // namespace

bool has_user_block(hid_t file) {
  const PropertyHandle creation(H5Fget_create_plist(file));
  hsize_t size = 0;
  return H5Pget_userblock(creation.get(), &size) < 0 || size != 0;
}

double elements_of(const Stored& stored) noexcept { return product(stored.dims, stored.rank); }
double chunks_of(const Stored& stored) noexcept { return product(stored.grid, stored.rank); }

Stored describe(hid_t file, const std::string& name, const std::filesystem::path& path) {
  const DatasetHandle dataset = require_dataset(file, name, path);
  Stored stored;
  stored.name = name;
  Home home = home_of(file, dataset.get(), name, path);
  stored.companions = std::move(home.companions);
  describe_space(dataset.get(), stored);
  const bool plain = describe_type(dataset.get(), stored);
  stored.stored_bytes = static_cast<std::int64_t>(H5Dget_storage_size(dataset.get()));
  const PropertyHandle creation(H5Dget_create_plist(dataset.get()));
  if (home.elsewhere.empty()) {
    stored.why_library = describe_storage(dataset.get(), creation.get(), plain, stored, path);
  } else {
    stored.why_library = std::move(home.elsewhere);
    if (H5Pget_layout(creation.get()) == H5D_CHUNKED)
      (void)describe_chunked(dataset.get(), creation.get(), stored, path);
  }
  if (holds_nothing(dataset.get(), creation.get())) stored.unusable = never_written;
  return stored;
}

}  // namespace trainmark
