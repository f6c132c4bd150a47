// From an HDF5 header to a plain description of where a dataset's bytes are.
#include "load/stored.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

namespace trainmark {
namespace {

struct KnownType {
  hid_t id;
  DType dtype;
  bool big_endian;
  const char* name;
};

void describe_type(hid_t dataset, Stored& stored) {
  const std::array<KnownType, 6> known = {{{H5T_STD_I16LE, DType::i16, false, "int16"},
                                           {H5T_STD_I16BE, DType::i16, true, "int16 big-endian"},
                                           {H5T_IEEE_F32LE, DType::f32, false, "float32"},
                                           {H5T_IEEE_F32BE, DType::f32, true, "float32 big-endian"},
                                           {H5T_IEEE_F64LE, DType::f64, false, "float64"},
                                           {H5T_IEEE_F64BE, DType::f64, true, "float64 big-endian"}}};
  const TypeHandle type(H5Dget_type(dataset));
  for (const KnownType& candidate : known) {
    if (H5Tequal(type.get(), candidate.id) > 0) {
      stored.dtype = candidate.dtype;
      stored.big_endian = candidate.big_endian;
      stored.type = candidate.name;
      stored.readable = true;
      return;
    }
  }
  const std::size_t bits = H5Tget_size(type.get()) * 8;
  switch (H5Tget_class(type.get())) {
    case H5T_INTEGER:
      stored.type = fmt::format("{}int{}", H5Tget_sign(type.get()) == H5T_SGN_NONE ? "u" : "", bits);
      break;
    case H5T_FLOAT:
      stored.type = fmt::format("float{}", bits);
      break;
    case H5T_STRING:
      stored.type = "string";
      break;
    default:
      stored.type = fmt::format("a type of {} bits that is neither integer nor float", bits);
  }
}

/// Names the filters and finds those this module undoes itself. False where one of them is unknown to it.
bool describe_filters(hid_t creation, Stored& stored) {
  bool own = true;
  std::vector<std::string> names;
  const int count = H5Pget_nfilters(creation);
  for (int i = 0; i < count; ++i) {
    unsigned flags = 0, config = 0;
    std::array<unsigned, 8> values{};
    std::size_t value_count = values.size();
    std::array<char, 64> name{};
    const H5Z_filter_t filter = H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &value_count, values.data(),
                                               name.size(), name.data(), &config);
    if (filter == H5Z_FILTER_DEFLATE) {
      stored.deflate = i;
      names.push_back(fmt::format("deflate {}", values[0]));
    } else if (filter == H5Z_FILTER_SHUFFLE) {
      stored.shuffle = i;
      names.emplace_back("shuffle");
    } else {
      own = false;
      names.emplace_back(name[0] != '\0' ? name.data() : fmt::format("filter {}", filter).c_str());
    }
  }
  stored.filters = fmt::format("{}", fmt::join(names, ", "));
  const bool shuffled_last = stored.shuffle > stored.deflate && stored.deflate >= 0;
  return own && !shuffled_last;
}

/// Never-written parts hold the fill value; only zero is filled in here.
bool fills_with_zero(hid_t creation) {
  H5D_fill_value_t defined = H5D_FILL_VALUE_UNDEFINED;
  if (H5Pfill_value_defined(creation, &defined) < 0) return false;
  if (defined != H5D_FILL_VALUE_USER_DEFINED) return true;
  double value = 1.0;
  return H5Pget_fill_value(creation, H5T_NATIVE_DOUBLE, &value) >= 0 && value == 0.0;
}

/// With a user block in front, versions of the library differ in what chunk addresses are relative to.
bool has_user_block(hid_t dataset) {
  const FileHandle file(H5Iget_file_id(dataset));
  const PropertyHandle creation(H5Fget_create_plist(file.get()));
  hsize_t size = 0;
  return H5Pget_userblock(creation.get(), &size) < 0 || size != 0;
}

void describe_chunked(hid_t dataset, hid_t creation, Stored& stored) {
  std::array<hsize_t, max_rank> chunk{};
  H5Pget_chunk(creation, static_cast<int>(stored.rank), chunk.data());
  for (std::size_t axis = 0; axis < stored.rank; ++axis) {
    stored.chunk[axis] = static_cast<std::int64_t>(chunk[axis]);
    stored.grid[axis] = (stored.dims[axis] + stored.chunk[axis] - 1) / stored.chunk[axis];
  }
  const bool own_filters = describe_filters(creation, stored);
  if (stored.readable && own_filters && fills_with_zero(creation) && !has_user_block(dataset))
    stored.storage = Storage::chunked;
}

}  // namespace

Stored describe(hid_t dataset, const std::string& name, const std::filesystem::path& path) {
  Stored stored;
  stored.name = name;
  const SpaceHandle space(H5Dget_space(dataset));
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank < 0 || rank > static_cast<int>(max_rank)) {
    throw Error(ExitCode::data, Complaint{path.string(), fmt::format("dataset '{}' has rank {}", name, rank),
                                          fmt::format("at most {} can be read", max_rank), "store it with fewer axes"});
  }
  stored.rank = static_cast<std::size_t>(rank);
  std::array<hsize_t, max_rank> dims{};
  H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
  for (std::size_t axis = 0; axis < stored.rank; ++axis)
    stored.dims[axis] = static_cast<std::int64_t>(dims[axis]);
  describe_type(dataset, stored);
  stored.stored_bytes = static_cast<std::int64_t>(H5Dget_storage_size(dataset));

  const PropertyHandle creation(H5Dget_create_plist(dataset));
  const H5D_layout_t layout = H5Pget_layout(creation.get());
  if (layout == H5D_CHUNKED) {
    describe_chunked(dataset, creation.get(), stored);
  } else if (layout == H5D_CONTIGUOUS && stored.readable && H5Pget_external_count(creation.get()) == 0) {
    const haddr_t offset = H5Dget_offset(dataset);
    if (offset != HADDR_UNDEF) {
      stored.storage = Storage::contiguous;
      stored.offset = offset;
    }
  }
  return stored;
}

namespace {

struct ChunkTable {
  Stored* stored;
  void add(const hsize_t* begin, unsigned skipped, haddr_t address, hsize_t bytes) const {
    if (address == HADDR_UNDEF) return;
    std::int64_t index = 0;
    for (std::size_t axis = 0; axis < stored->rank; ++axis)
      index = index * stored->grid[axis] + static_cast<std::int64_t>(begin[axis]) / stored->chunk[axis];
    stored->chunks.at(static_cast<std::size_t>(index)) = {address, static_cast<std::uint32_t>(bytes), skipped};
  }
};

#if H5_VERSION_GE(1, 14, 0)
constexpr hsize_t most_chunks = ~hsize_t{0};

herr_t list_chunks(hid_t dataset, ChunkTable table) {
  const auto take = [](const hsize_t* begin, unsigned skipped, haddr_t address, hsize_t bytes, void* data) -> int {
    static_cast<const ChunkTable*>(data)->add(begin, skipped, address, bytes);
    return H5_ITER_CONT;
  };
  return H5Dchunk_iter(dataset, H5P_DEFAULT, take, &table);
}
#else
// These versions find the n-th chunk by walking past all before it: 4,096 chunks take 90 ms, 32,768 take 7 s.
constexpr hsize_t most_chunks = 8192;

herr_t list_chunks(hid_t dataset, ChunkTable table) {
  const SpaceHandle space(H5Dget_space(dataset));
  hsize_t written = 0;
  herr_t status = H5Dget_num_chunks(dataset, space.get(), &written);
  for (hsize_t i = 0; i < written && status >= 0; ++i) {
    std::array<hsize_t, max_rank> begin{};
    unsigned skipped = 0;
    haddr_t address = HADDR_UNDEF;
    hsize_t bytes = 0;
    status = H5Dget_chunk_info(dataset, space.get(), i, begin.data(), &skipped, &address, &bytes);
    if (status >= 0) table.add(begin.data(), skipped, address, bytes);
  }
  return status;
}
#endif

}  // namespace

void locate_chunks(hid_t dataset, Stored& stored, const std::filesystem::path& path) {
  hsize_t total = 1;
  for (std::size_t axis = 0; axis < stored.rank; ++axis)
    total *= static_cast<hsize_t>(stored.grid[axis]);
  if (total > most_chunks) {
    stored.storage = Storage::library;
    return;
  }
  stored.chunks.assign(total, Chunk{});
  if (list_chunks(dataset, {&stored}) >= 0) return;
  throw Error(ExitCode::data, Complaint{path.string(),
                                        fmt::format("the chunk index of dataset '{}' cannot be read: {}", stored.name,
                                                    last_complaint()),
                                        "", "copy or generate the file again"});
}

}  // namespace trainmark
