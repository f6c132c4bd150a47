// HDF5 files that depend on nothing but their content: no object times, fixed library version bounds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "load/hdf5_file.hpp"
#include "load/numbers.hpp"

namespace trainmark {

/// How a dataset is to be stored.
struct Packing {
  std::vector<hsize_t> chunk;  ///< empty: contiguous
  int gzip = 0;                ///< with byte shuffle
  bool big_endian = false;
  bool grows = false;  ///< along the first axis, as rows are written; only in chunks
};

class Hdf5Writer {
 public:
  /// `subject` is what errors name: the path that the file will have. Every member raises Error{data}.
  Hdf5Writer(const std::filesystem::path& path, std::string subject);
  /// Of a file in memory, for image(). `subject` is its name, too: none may be there.
  explicit Hdf5Writer(std::string subject);
  ~Hdf5Writer();
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  void group(const std::string& name);
  /// A dataset with its space, to be filled by `write`.
  void dataset(const std::string& name, Number number, const std::vector<hsize_t>& extents, const Packing& packing);
  /// Writes a hyperslab of a dataset that is there: `first` rows along the first axis are skipped. Rows behind its end
  /// are added to one that grows. `number` is what the values are in memory; they are converted.
  void write(const std::string& name, hsize_t first, hsize_t rows, Number number, std::span<const std::byte> values);
  /// A small dataset, whole.
  void values(const std::string& name, Number number, const std::vector<hsize_t>& extents,
              std::span<const std::byte> values, bool big_endian = false);
  void strings(const std::string& name, const std::vector<std::string>& values);
  void attribute(const std::string& name, const std::string& value);
  void attribute(const std::string& name, std::uint64_t value);
  void unit(const std::string& dataset, const std::string& value);
  [[nodiscard]] std::vector<std::byte> image() const;  ///< the content that the file has now
  void close();

 private:
  void create(const std::filesystem::path& path, hid_t access);

  std::string subject_;
  FileHandle file_;
};

/// The text attribute `name` of the file's root; empty if there is none or the file cannot be read.
[[nodiscard]] std::string read_attribute(const std::filesystem::path& path, const std::string& name);

}  // namespace trainmark
