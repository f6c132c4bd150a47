// Plain sums: an inspection reads a few samples.
#include "load/field_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "load/numbers.hpp"

namespace trainmark {
namespace {

constexpr double most_classes = 16;
constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

FieldStatistics::FieldStatistics(const Field& field) : dtype_(field.dtype) {
  const std::size_t rank = field.shape.rank();
  const std::int64_t channels = rank == 0 ? 1 : field.shape[rank - 1];
  minima_.assign(static_cast<std::size_t>(channels), infinity);
  maxima_.assign(static_cast<std::size_t>(channels), -infinity);
  if (!is_whole(dtype_) || field.legal.most - field.legal.least >= most_classes) return;
  least_ = static_cast<std::int64_t>(std::ceil(field.legal.least));
  const auto most = static_cast<std::int64_t>(std::floor(field.legal.most));
  classes_.resize(static_cast<std::size_t>(std::max<std::int64_t>(most - least_ + 1, 0)));
}

void FieldStatistics::add_value(double value) {
  ++count_;
  sum_ += value;
  squares_ += value * value;
  const double magnitude = std::abs(value);
  const std::size_t bin = magnitude < 1.0 ? 0 : static_cast<std::size_t>(std::ilogb(magnitude)) + 1;
  if (bin >= bins_.size()) bins_.resize(bin + 1);
  ++bins_[bin];
  if (value == 0.0) ++zeros_;
  const double place = value - static_cast<double>(least_);
  if (place >= 0.0 && place < static_cast<double>(classes_.size())) ++classes_[static_cast<std::size_t>(place)];
}

void FieldStatistics::add(std::span<const std::byte> values) {
  with_type(dtype_, [&]<class T>() {
    const std::size_t channels = minima_.size();
    for (std::size_t i = 0; i < values.size() / sizeof(T); ++i) {
      const auto value = static_cast<double>(element<T>(values, i));
      if (!std::isfinite(value)) continue;
      add_value(value);
      minima_[i % channels] = std::min(minima_[i % channels], value);
      maxima_[i % channels] = std::max(maxima_[i % channels], value);
    }
  });
}

FieldValues FieldStatistics::result() const {
  FieldValues found;
  if (count_ == 0) return found;
  const auto count = static_cast<double>(count_);
  found.minimum = *std::ranges::min_element(minima_);
  found.maximum = *std::ranges::max_element(maxima_);
  found.mean = sum_ / count;
  found.deviation = std::sqrt(std::max(0.0, squares_ / count - found.mean * found.mean));
  found.zero_fraction = static_cast<double>(zeros_) / count;
  found.histogram = bins_;
  for (const std::int64_t each : classes_)
    found.class_share.push_back(static_cast<double>(each) / count);
  if (!classes_.empty()) return found;
  found.channel_minimum = minima_;
  found.channel_maximum = maxima_;
  return found;
}

}  // namespace trainmark
