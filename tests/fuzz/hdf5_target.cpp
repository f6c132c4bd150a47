// A file of samples through scan, reading, inspect and verify. What must be raised is Error{data}; and what is read by
// this project's own decoding must be what the HDF5 library reads.
#include <fmt/core.h>
#include <hdf5.h>

#include <array>
#include <cmath>
#include <cstring>

#include "fuzz/fuzz.hpp"
#include "fuzz/hdf5_seeds.hpp"
#include "trainmark/load.hpp"

namespace trainmark::fuzz {
namespace {

constexpr std::int64_t most_samples = 64;

std::filesystem::path file() { return scratch() / "s.hdf5"; }

void put(std::string_view input) {
  write_file(file(), input);
  std::filesystem::remove(scratch() / manifest_name);
}

/// Runs `work`; false where it raised the Error it may raise.
template <class Work>
bool done(Work&& work) {
  try {
    work();
    return true;
  } catch (const Error& error) {
    require(error.code() == ExitCode::data, "a file that cannot be used is a fault of data", error.what());
    return false;
  }
}

hid_t open_first(hid_t opened, std::array<const char*, 2> names) {
  const hid_t first = H5Dopen2(opened, names[0], H5P_DEFAULT);
  return first >= 0 ? first : H5Dopen2(opened, names[1], H5P_DEFAULT);
}

/// Sample `index` of a dataset as the library reads it; false where the library refuses. Packed datasets have one axis
/// more than the sample; universes are cut in nested order, the last axis fastest.
bool read_by_library(hid_t dataset, const Shape& sample, hid_t type, std::int64_t index, void* to) {
  const hid_t space = H5Dget_space(dataset);
  std::array<hsize_t, 32> dims{}, begin{}, extent{};
  const int rank = H5Sget_simple_extent_dims(space, dims.data(), nullptr);
  const auto axes = static_cast<int>(sample.rank());
  if (rank == axes + 1) {
    begin[0] = static_cast<hsize_t>(index);
    extent[0] = 1;
  }
  for (int axis = axes; axis-- > 0;) {
    const auto size = static_cast<hsize_t>(sample[static_cast<std::size_t>(axis)]);
    const auto at = static_cast<std::size_t>(axis + rank - axes);
    extent[at] = size;
    if (rank > axes) continue;
    begin[at] = static_cast<hsize_t>(index) % (dims[at] / size) * size;
    index = static_cast<std::int64_t>(static_cast<hsize_t>(index) / (dims[at] / size));
  }
  const hid_t memory = H5Screate_simple(rank, extent.data(), nullptr);
  const bool good = H5Sselect_hyperslab(space, H5S_SELECT_SET, begin.data(), nullptr, extent.data(), nullptr) >= 0 &&
                    H5Dread(dataset, type, memory, space, H5P_DEFAULT, to) >= 0;
  H5Sclose(memory);
  H5Sclose(space);
  return good;
}

bool same(std::span<const float> a, std::span<const float> b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])))) return false;
  return true;
}

void compare_with_library(SampleSource& source, const DataSchema& schema) {
  std::vector<std::int16_t> x(static_cast<std::size_t>(schema.fields[0].shape.elements())), library_x(x.size());
  std::vector<float> y(static_cast<std::size_t>(schema.fields[1].shape.elements())), library_y(y.size());
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const hid_t opened = H5Fopen(file().c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t input = open_first(opened, {"x", "full"}), target = open_first(opened, {"y", "unitPar"});
  for (std::int64_t i = 0; i < std::min(source.size(), most_samples); ++i) {
    if (!done([&] {
          source.read({.sample = i}, {std::as_writable_bytes(std::span(x)), std::as_writable_bytes(std::span(y))});
        }))
      continue;
    if (read_by_library(input, schema.fields[0].shape, H5T_NATIVE_INT16, i, library_x.data()))
      require(x == library_x, "inputs are what the library reads", fmt::format("sample {}", i));
    if (read_by_library(target, schema.fields[1].shape, H5T_NATIVE_FLOAT, i, library_y.data()))
      require(same(y, library_y), "targets are what the library reads", fmt::format("sample {}", i));
  }
  H5Dclose(target);
  H5Dclose(input);
  H5Fclose(opened);
}

herr_t look_at_attribute(hid_t object, const char* name, const H5A_info_t*, void*) {
  const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  const auto bytes = H5Tget_size(type) * static_cast<std::size_t>(std::max<hssize_t>(count, 0));
  std::vector<char> memory(
      bytes > 1 << 20 ? 0 : std::max(bytes, 8 * static_cast<std::size_t>(std::max<hssize_t>(count, 0))));
  if (count > 0 && count <= 64 && !memory.empty()) {
    const bool text = H5Tget_class(type) == H5T_STRING;
    const bool read = H5Aread(attribute, text ? type : H5T_NATIVE_DOUBLE, memory.data()) >= 0;
    if (read && text && H5Tis_variable_str(type) > 0) H5Dvlen_reclaim(type, space, H5P_DEFAULT, memory.data());
  }
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(attribute);
  return 0;
}

herr_t look(hid_t group, const char* name, const H5L_info_t*, void*) {
  const hid_t dataset = H5Dopen2(group, name, H5P_DEFAULT);
  if (dataset < 0) return 0;
  const hid_t space = H5Dget_space(dataset);
  const hssize_t elements = H5Sget_simple_extent_npoints(space);
  hsize_t chunks = 0;
  H5Dget_num_chunks(dataset, space, &chunks);
  std::vector<double> values(elements < 0 || elements > (1 << 20) ? 0 : static_cast<std::size_t>(elements));
  if (!values.empty()) H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  H5Aiterate2(dataset, H5_INDEX_NAME, H5_ITER_INC, nullptr, look_at_attribute, nullptr);
  H5Sclose(space);
  H5Dclose(dataset);
  return 0;
}

/// What the project's calls ask of the library, without the project.
void library_alone(std::string_view input) {
  put(input);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const hid_t opened = H5Fopen(file().c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (opened < 0) return;
  for (const char* name : {"x", "y", "full", "unitPar"})
    look(opened, name, nullptr, nullptr);
  H5Aiterate2(opened, H5_INDEX_NAME, H5_ITER_INC, nullptr, look_at_attribute, nullptr);
  H5Lvisit(opened, H5_INDEX_NAME, H5_ITER_INC, look, nullptr);
  H5Fclose(opened);
}

}  // namespace

const Target& target() {
  static const Target target{"hdf5", false, hdf5_seeds, library_alone};
  return target;
}

}  // namespace trainmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainmark;
  using fuzz::done;
  fuzz::put({reinterpret_cast<const char*>(data), size});
  const DataSchema schema = fuzz::sample_schema();
  const auto& root = fuzz::scratch();
  std::int64_t samples = 0;
  done([&] {
    const Manifest manifest = scan_dataset(root, {}, schema);
    samples = manifest.samples();
    fuzz::compare_with_library(*open_hdf5(root, manifest, {}, schema), schema);
  });
  done([&] { static_cast<void>(inspect_dataset(root, {}, fuzz::schema_as_found(), 2)); });
  done([&] { static_cast<void>(inspect_dataset(fuzz::file(), {}, schema, 2)); });
  if (samples > fuzz::most_samples) return 0;  // to read them all would only take time
  done([&] { static_cast<void>(verify_dataset(root, {}, schema, false)); });
  return 0;
}
