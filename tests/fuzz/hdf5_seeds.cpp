// Files are written with the HDF5 library, in its oldest format, whose metadata carry no checksums, and in its newer
// one.
#include "fuzz/hdf5_seeds.hpp"

#include <hdf5.h>

#include <algorithm>

#include "fuzz/checksum.hpp"

namespace trainmark::fuzz {
namespace {

struct Form {
  std::vector<hsize_t> x_dims = {4, 4, 4, 2}, y_dims = {4};
  std::vector<hsize_t> chunk = {};  ///< of x; empty: contiguous
  bool shuffle = false, checksum = false, deflate_first = false, edges_unfiltered = false, compact_targets = false;
  unsigned deflate = 0;
  hid_t x_type = H5T_STD_I16LE, y_type = H5T_IEEE_F32LE;
  const char* x = "x";
  const char* y = "y";
  bool newer = false;      ///< format of HDF5 1.10
  bool resizable = false;  ///< first axis: another index of chunks
  bool half_written = false;
};

void put(hid_t file, const char* name, const std::vector<hsize_t>& dims, hid_t stored, const Form& form, bool input) {
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  if (input && !form.chunk.empty()) H5Pset_chunk(creation, static_cast<int>(form.chunk.size()), form.chunk.data());
  if (input && form.deflate_first) H5Pset_deflate(creation, 4);
  if (input && form.shuffle) H5Pset_shuffle(creation);
  if (input && form.deflate > 0) H5Pset_deflate(creation, form.deflate);
  if (input && form.checksum) H5Pset_fletcher32(creation);
  if (input && form.edges_unfiltered) H5Pset_chunk_opts(creation, H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS);
  if (!input && form.compact_targets) H5Pset_layout(creation, H5D_COMPACT);
  std::vector<hsize_t> most = dims;
  if (input && form.resizable) most[0] = H5S_UNLIMITED;
  const hid_t space = H5Screate_simple(static_cast<int>(dims.size()), dims.data(), most.data());
  const hid_t dataset = H5Dcreate2(file, name, stored, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  std::vector<float> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = input ? static_cast<float>(i % 251) : static_cast<float>(i % 8) / 8.0F;
  if (input && form.half_written) {
    std::vector<hsize_t> begin(dims.size()), extent = form.chunk;
    H5Sselect_hyperslab(space, H5S_SELECT_SET, begin.data(), nullptr, extent.data(), nullptr);
    const hid_t memory = H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr);
    H5Dwrite(dataset, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, values.data());
    H5Sclose(memory);
  } else {
    H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  }
  H5Dclose(dataset);
  H5Sclose(space);
  H5Pclose(creation);
}

void put_attribute(hid_t file, const char* name, hid_t type, const void* value) {
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  H5Awrite(attribute, type, value);
  H5Aclose(attribute);
  H5Sclose(space);
}

/// A number, a text of fixed length, and one in the file's heap.
void put_attributes(hid_t file) {
  const double redshift = 0.5;
  put_attribute(file, "redshift", H5T_NATIVE_DOUBLE, &redshift);
  const hid_t text = H5Tcopy(H5T_C_S1);
  H5Tset_size(text, 8);
  put_attribute(file, "version", text, "1.0\0\0\0\0");
  H5Tset_size(text, H5T_VARIABLE);
  const char* maker = "somebody";
  put_attribute(file, "maker", text, &maker);
  H5Tclose(text);
}

/// Where the file's checksums are: from a signature on, the shortest range that its own last four bytes confirm.
std::vector<Range> sealed_ranges(std::string_view bytes) {
  std::vector<Range> found;
  for (const std::string_view signature : {"\x89HDF", "OHDR", "OCHK", "FRHP", "FHDB", "FHIB", "BTHD", "BTLF", "BTIN",
                                           "FAHD", "FADB", "EAHD", "EAIB", "EASB", "EADB"}) {
    for (std::size_t at = bytes.find(signature); at != std::string_view::npos; at = bytes.find(signature, at + 1)) {
      for (std::size_t length = 12; length <= 1024 && at + length + 4 <= bytes.size(); ++length) {
        std::uint32_t written = 0;
        for (std::size_t i = 0; i < 4; ++i)
          written |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + length + i])) << (8 * i);
        if (hdf5_checksum(bytes.substr(at, length)) != written) continue;
        found.push_back({static_cast<std::int64_t>(at), static_cast<std::int64_t>(at + length + 4)});
        break;
      }
    }
  }
  return found;
}

Seed seed_of(const Form& form) {
  const std::filesystem::path path = scratch() / "seed.h5";
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  if (form.newer) H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
  H5Pclose(access);
  put(file, form.x, form.x_dims, form.x_type, form, true);
  put(file, form.y, form.y_dims, form.y_type, form, false);
  put_attributes(file);
  H5Fclose(file);
  Seed seed{read_file(path)};
  if (form.newer) seed.sealed = sealed_ranges(seed.bytes);
  std::filesystem::remove(path);
  return seed;
}

}  // namespace

DataSchema sample_schema() {
  return {.fields = {{.name = "x", .shape = {4, 4, 4, 2}, .dtype = DType::i16, .stored_as = {"x", "full"}},
                     {.name = "y", .shape = {4}, .dtype = DType::f32, .stored_as = {"y", "unitPar"}}},
          .cut = Cut{.stored_as = "full", .extent = 128}};
}

DataSchema schema_as_found() {
  DataSchema schema = sample_schema();
  schema.fields[0].shape = {0, 0, 0, 0};
  schema.fields[1].shape = {0};
  return schema;
}

std::vector<Seed> hdf5_seeds() {
  H5open();
  const std::vector<hsize_t> blocks = {2, 4, 4, 2}, odd = {3, 3, 4, 2}, packed = {3, 4, 4, 4, 2},
                             packed_chunk = {1, 4, 4, 4, 2};
  const std::vector<hsize_t> packed_targets = {3, 4}, universe = {8, 4, 8, 2}, universe_chunk = {4, 4, 4, 2};
  const std::vector<Form> forms = {
      {},
      {.y_type = H5T_IEEE_F64LE},
      {.compact_targets = true, .x_type = H5T_STD_I16BE, .y_type = H5T_IEEE_F32BE},
      {.chunk = blocks, .shuffle = true, .deflate = 4},
      {.chunk = odd, .shuffle = true, .deflate = 1},
      {.chunk = odd, .half_written = true},
      {.chunk = blocks, .shuffle = true, .deflate_first = true},
      {.chunk = blocks, .checksum = true, .deflate = 1},
      {.x_dims = packed, .y_dims = packed_targets},
      {.x_dims = packed, .y_dims = packed_targets, .chunk = packed_chunk, .deflate = 1, .resizable = true},
      {.x_dims = universe, .x = "full", .y = "unitPar"},
      {.x_dims = universe, .chunk = universe_chunk, .shuffle = true, .deflate = 1, .x = "full", .y = "unitPar"},
      {.newer = true},
      {.chunk = odd, .shuffle = true, .deflate = 1, .newer = true},
      {.chunk = odd, .shuffle = true, .edges_unfiltered = true, .newer = true},
      {.chunk = blocks, .newer = true, .resizable = true},
      {.chunk = {4, 4, 4, 2}, .shuffle = true, .deflate = 1, .newer = true},
      {.x_dims = packed,
       .y_dims = packed_targets,
       .chunk = packed_chunk,
       .shuffle = true,
       .deflate = 1,
       .newer = true,
       .resizable = true}};
  std::vector<Seed> seeds;
  for (const Form& form : forms)
    seeds.push_back(seed_of(form));
  return seeds;
}

}  // namespace trainmark::fuzz
