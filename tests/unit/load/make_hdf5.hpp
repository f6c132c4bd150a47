// Small HDF5 files of every kind that the loader must read, written with the HDF5 library, in folders that go away.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "trainmark/load.hpp"
#include "unit/stage/scratch.hpp"

namespace trainmark::testing {

/// How a dataset is to be stored.
struct Storing {
  std::vector<hsize_t> chunk = {};  ///< empty: contiguous
  bool shuffle = false;
  int gzip = 0;
  bool deflate_first = false;  ///< before the shuffle: of no use, but allowed
  bool checksum = false;       ///< fletcher32, which this project leaves to the library
  bool big_endian = false;
  bool compact = false;
};

class File {
 public:
  explicit File(const std::filesystem::path& path, hsize_t user_block = 0);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  void put(const std::string& name, const std::vector<hsize_t>& dims, const std::vector<std::int16_t>& values,
           const Storing& storing = {});
  void put(const std::string& name, const std::vector<hsize_t>& dims, const std::vector<float>& values,
           const Storing& storing = {});
  void put_as(const std::string& name, const std::vector<hsize_t>& dims, hid_t type);  ///< zeros of any type
  void put_f64(const std::string& name, const std::vector<hsize_t>& dims, const std::vector<double>& values,
               const Storing& storing = {});
  /// Integers of any width, sign and byte order.
  void put_integers(const std::string& name, const std::vector<hsize_t>& dims, hid_t stored,
                    const std::vector<std::int64_t>& values, const Storing& storing = {});
  void group(const std::string& name);
  void attribute(const std::string& name, const std::string& value);
  [[nodiscard]] hid_t id() const { return file_; }

 private:
  void write(const std::string& name, const std::vector<hsize_t>& dims, hid_t stored, hid_t memory, const void* values,
             const Storing& storing);
  hid_t file_;
};

/// Distinct values in a known order: counting up from `first`, wrapped to the type.
std::vector<std::int16_t> counting(std::int64_t count, std::int64_t first = 0);

/// x: extents with channels last, i16 from 0 on; y: 4 floats from -1.2 to 1.2.
DataSchema schema(std::vector<std::int64_t> extents);
/// The same fields with extents as files have them.
DataSchema as_found();

/// data: f32 [height,width,16]; labels: u8 [height,width] from 0 to 2, both in the group `climate`. Extents of 0: as
/// found.
DataSchema climate(std::int64_t height, std::int64_t width);

/// One sample read into vectors.
struct Sample {
  std::vector<std::int16_t> x;
  std::vector<float> y;
};
Sample read_sample(SampleSource& source, const DataSchema& of, std::int64_t index);

}  // namespace trainmark::testing
