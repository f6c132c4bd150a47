// What the values of a field are like, summed up sample by sample: range, moments, magnitudes, channels, classes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "trainmark/load.hpp"

namespace trainmark {

class FieldStatistics {
 public:
  explicit FieldStatistics(const Field& field);
  /// One sample. Values that are not finite are left out: they would hide all else.
  void add(std::span<const std::byte> values);
  [[nodiscard]] FieldValues result() const;

 private:
  void add_value(double value);

  DType dtype_;
  std::int64_t least_ = 0;  // of the classes
  std::int64_t count_ = 0, zeros_ = 0;
  double sum_ = 0.0, squares_ = 0.0;
  std::vector<std::int64_t> bins_;
  std::vector<double> minima_, maxima_;  // by place along the last axis
  std::vector<std::int64_t> classes_;
};

}  // namespace trainmark
