// Reads the files that scripts/record_*.py write, and repeats their formulas for what is not stored.
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace recorded {

using Tensors = std::map<std::string, std::vector<float>>;

inline Tensors read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path);
  std::vector<std::pair<std::string, std::size_t>> index;
  for (std::string line; std::getline(file, line) && !line.empty();) {
    std::istringstream words(line);
    auto& [name, count] = index.emplace_back();
    words >> name >> count;
  }
  Tensors tensors;
  for (const auto& [name, count] : index) {
    auto& values = tensors[name];
    values.resize(count);
    file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(float)));
  }
  if (!file) throw std::runtime_error(path + " is shorter than its index says");
  return tensors;
}

/// Element `index` of the raw input: the high bits of a multiplicative hash, skewed like counts.
inline std::int16_t count_at(std::int64_t index) {
  const std::uint64_t word = (static_cast<std::uint64_t>(index) * 2654435761ULL + 12345ULL) & 0xFFFFFFFFULL;
  const auto level = static_cast<std::int64_t>((word >> 13) & 15);
  return static_cast<std::int16_t>(level < 12 ? level % 3 : level * level / 4);
}

/// Element `index` of a stream of values in [0, 1), as scripts/record_deepcam.py makes them.
inline double hashed(std::int64_t index, std::int64_t stream) {
  std::uint64_t word =
      (static_cast<std::uint64_t>(index + 1000003 * stream) * 2654435761ULL + 12345ULL) & 0xFFFFFFFFULL;
  word = ((word ^ (word >> 15)) * 2246822519ULL) & 0xFFFFFFFFULL;
  return static_cast<double>(word >> 8) * 0x1p-24;
}

}  // namespace recorded
