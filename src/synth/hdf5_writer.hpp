// HDF5 files that depend on nothing but their content: no object times, fixed library version bounds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "load/hdf5_file.hpp"

namespace trainmark::synth {

/// How a dataset is stored.
struct Storage {
  std::vector<hsize_t> chunk;  ///< empty: contiguous
  int gzip = 0;                ///< with byte shuffle
  bool big_endian = false;
};

class Hdf5Writer {
 public:
  /// `subject` is what errors name: the path that the file will have. Every member raises Error{data}.
  Hdf5Writer(const std::filesystem::path& path, std::string subject);
  ~Hdf5Writer();
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  void counts(const std::string& name, const std::vector<hsize_t>& extents, const Storage& storage);
  /// Writes a hyperslab of a dataset made by `counts`: `first` rows along the first axis are skipped.
  void write_counts(const std::string& name, hsize_t first, hsize_t rows, std::span<const std::int16_t> values);
  void floats(const std::string& name, const std::vector<hsize_t>& extents, std::span<const float> values,
              bool big_endian);
  void strings(const std::string& name, const std::vector<std::string>& values);
  void attribute(const std::string& name, const std::string& value);
  void attribute(const std::string& name, std::uint64_t value);
  void unit(const std::string& dataset, const std::string& value);
  void close();

 private:
  std::string subject_;
  FileHandle file_;
};

/// The text attribute `name` of the file's root; empty if there is none or the file cannot be read.
[[nodiscard]] std::string read_attribute(const std::filesystem::path& path, const std::string& name);

}  // namespace trainmark::synth
