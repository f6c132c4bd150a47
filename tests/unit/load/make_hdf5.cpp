#include "unit/load/make_hdf5.hpp"

#include <gtest/gtest.h>

namespace trainmark::testing {

File::File(const std::filesystem::path& path, hsize_t user_block) {
  std::filesystem::create_directories(path.parent_path());
  const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
  if (user_block > 0) H5Pset_userblock(creation, user_block);
  file_ = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, H5P_DEFAULT);
  H5Pclose(creation);
  EXPECT_GE(file_, 0) << path;
}

File::~File() { H5Fclose(file_); }

void File::write(const std::string& name, const std::vector<hsize_t>& dims, hid_t stored, hid_t memory,
                 const void* values, const Storing& storing) {
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  if (!storing.chunk.empty()) H5Pset_chunk(creation, static_cast<int>(storing.chunk.size()), storing.chunk.data());
  if (storing.deflate_first) H5Pset_deflate(creation, 4);
  if (storing.shuffle) H5Pset_shuffle(creation);
  if (storing.gzip > 0) H5Pset_deflate(creation, static_cast<unsigned>(storing.gzip));
  if (storing.checksum) H5Pset_fletcher32(creation);
  if (storing.compact) H5Pset_layout(creation, H5D_COMPACT);
  const hid_t space = H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr);
  const hid_t dataset = H5Dcreate2(file_, name.c_str(), stored, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  EXPECT_GE(dataset, 0) << name;
  if (values != nullptr) {
    EXPECT_GE(H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0) << name;
  }
  H5Dclose(dataset);
  H5Sclose(space);
  H5Pclose(creation);
}

void File::put(const std::string& name, const std::vector<hsize_t>& dims, const std::vector<std::int16_t>& values,
               const Storing& storing) {
  write(name, dims, storing.big_endian ? H5T_STD_I16BE : H5T_STD_I16LE, H5T_NATIVE_INT16, values.data(), storing);
}

void File::put(const std::string& name, const std::vector<hsize_t>& dims, const std::vector<float>& values,
               const Storing& storing) {
  write(name, dims, storing.big_endian ? H5T_IEEE_F32BE : H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, values.data(), storing);
}

void File::put_as(const std::string& name, const std::vector<hsize_t>& dims, hid_t type) {
  write(name, dims, type, type, nullptr, {});
}

void File::put_f64(const std::string& name, const std::vector<hsize_t>& dims, const std::vector<double>& values,
                   const Storing& storing) {
  write(name, dims, storing.big_endian ? H5T_IEEE_F64BE : H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, values.data(), storing);
}

void File::put_integers(const std::string& name, const std::vector<hsize_t>& dims, hid_t stored,
                        const std::vector<std::int64_t>& values, const Storing& storing) {
  write(name, dims, stored, H5T_NATIVE_INT64, values.data(), storing);
}

void File::group(const std::string& name) {
  H5Gclose(H5Gcreate2(file_, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

void File::attribute(const std::string& name, const std::string& value) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, value.size());
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(file_, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT);
  H5Awrite(attribute, type, value.data());
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
}

std::vector<std::int16_t> counting(std::int64_t count, std::int64_t first) {
  std::vector<std::int16_t> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<std::int16_t>((first + i) % 32749));
  return values;
}

DataSchema schema(std::vector<std::int64_t> extents) {
  return {.fields = {{"x", Shape(std::move(extents)), DType::i16, {.least = 0.0, .why = "counts"}, {"x", "full"}},
                     {"y", Shape{4}, DType::f32, {.least = -1.2F, .most = 1.2F, .why = "scaled"}, {"y", "unitPar"}}},
          .cut = Cut{.stored_as = "full", .extent = 128}};
}

DataSchema as_found() {
  DataSchema found = schema({});
  found.fields[0].shape = {0, 0, 0, 0};
  found.fields[1].shape = {0};
  return found;
}

DataSchema climate(std::int64_t height, std::int64_t width) {
  return {
      .fields = {
          {"data", {height, width, 16}, DType::f32, {.why = "measured"}, {"climate/data"}},
          {"labels", {height, width}, DType::u8, {.least = 0.0, .most = 2.0, .why = "classes"}, {"climate/labels_0"}}}};
}

Sample read_sample(SampleSource& source, const DataSchema& of, std::int64_t index) {
  Sample sample;
  sample.x.resize(static_cast<std::size_t>(of.fields[0].shape.elements()), -1);
  sample.y.resize(static_cast<std::size_t>(of.fields[1].shape.elements()), -1.0F);
  source.read({.sample = index},
              {std::as_writable_bytes(std::span(sample.x)), std::as_writable_bytes(std::span(sample.y))});
  return sample;
}

}  // namespace trainmark::testing
