// One pass over a sample in its plainest form, so that compilers make vectors of it; words are found only for a fault.
#include "load/values.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "load/numbers.hpp"

namespace trainmark {
namespace {

/// A field's limits in its own type: one beyond the type limits nothing.
template <class T>
struct Limits {
  explicit Limits(const LegalValues& legal)
      : least(within(std::is_integral_v<T> ? std::ceil(legal.least) : legal.least)),
        most(within(std::is_integral_v<T> ? std::floor(legal.most) : legal.most)) {}
  /// A double may name a bound that the type has no room for, as 2^63 has none in 64 bits.
  static T within(double bound) {
    if (bound <= static_cast<double>(std::numeric_limits<T>::lowest())) return std::numeric_limits<T>::lowest();
    if (bound >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
    return static_cast<T>(bound);
  }
  [[nodiscard]] bool hold(T value) const noexcept { return value >= least && value <= most; }  // false for NaN
  T least, most;
};

template <class T>
bool all_legal(const Limits<T>& limits, std::span<const std::byte> values) {
  T least = limits.least, most = limits.least;
  bool numbers = true;
  for (std::size_t i = 0; i < values.size() / sizeof(T); ++i) {
    const T value = element<T>(values, i);
    least = std::min(least, value);
    most = std::max(most, value);
    numbers &= value == value;
  }
  return numbers && least >= limits.least && most <= limits.most;
}

/// "x[0, 3, 1, 2]": the place of an element in the field's shape, or its number where the shape has one axis.
std::string place_of(const Field& field, std::size_t index) {
  auto rest = static_cast<std::int64_t>(index);
  std::vector<std::int64_t> place(field.shape.rank());
  for (std::size_t axis = place.size(); axis-- > 0;) {
    place[axis] = rest % field.shape[axis];
    rest /= field.shape[axis];
  }
  return place.empty() ? field.name : fmt::format("{}[{}]", field.name, fmt::join(place, ", "));
}

template <class T>
double mean_of(std::span<const std::byte> values) {
  const std::size_t count = values.size() / sizeof(T);
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i)
    sum += static_cast<double>(element<T>(values, i));
  return sum / static_cast<double>(count);
}

template <class T>
std::string fault_text(const Field& field, std::size_t index, const std::string& value) {
  const Limits<T> limits(field.legal);
  return fmt::format("{} is {}, legal are {} to {}", place_of(field, index), value, limits.least, limits.most);
}

template <class T>
std::optional<std::string> fault_in(const Field& field, std::span<const std::byte> values) {
  const Limits<T> limits(field.legal);
  if (!all_legal(limits, values)) {
    std::size_t i = 0;
    while (limits.hold(element<T>(values, i)))
      ++i;
    return fault_text<T>(field, i, fmt::format("{}", element<T>(values, i)));
  }
  if (field.legal.positive_mean) {
    const double mean = mean_of<T>(values);
    if (mean <= 0.0) return fmt::format("{} has the mean {}, legal is one above 0", field.name, mean);
  }
  return std::nullopt;
}

template <class T>
std::int64_t count_in(const Field& field, std::span<const std::byte> values) {
  const Limits<T> limits(field.legal);
  std::int64_t count = 0;
  for (std::size_t i = 0; i < values.size() / sizeof(T); ++i)
    count += limits.hold(element<T>(values, i)) ? 0 : 1;
  return count;
}

[[noreturn]] void refuse(const Field& field, const std::string& fault, const std::filesystem::path& file,
                         std::int64_t sample, const std::string& dataset) {
  throw Error(ExitCode::data, Complaint{fmt::format("{}: sample {}", file.string(), sample),
                                        fmt::format("{} (dataset '{}')", fault, dataset), field.legal.why,
                                        "remove or repair the file, or name another dataset in data.format"});
}

/// Rounding is what a conversion is for; a value that the type has no room for is not.
H5T_conv_ret_t refuse_what_does_not_fit(H5T_conv_except_t kind, hid_t, hid_t, void*, void*, void*) {
  return kind == H5T_CONV_EXCEPT_PRECISION ? H5T_CONV_UNHANDLED : H5T_CONV_ABORT;
}

}  // namespace

std::optional<std::string> fault_of(const Field& field, std::span<const std::byte> values) {
  return with_type(field.dtype, [&]<class T>() { return fault_in<T>(field, values); });
}

std::int64_t count_illegal(const Field& field, std::span<const std::byte> values) {
  return with_type(field.dtype, [&]<class T>() { return count_in<T>(field, values); });
}

void require_legal(const Field& field, std::span<const std::byte> values, const std::filesystem::path& file,
                   std::int64_t sample, const std::string& dataset) {
  const std::optional<std::string> fault = fault_of(field, values);
  if (fault) refuse(field, *fault, file, sample, dataset);
}

void refuse_value(const Field& field, std::size_t index, const std::string& value, const std::filesystem::path& file,
                  std::int64_t sample, const std::string& dataset) {
  refuse(field, with_type(field.dtype, [&]<class T>() { return fault_text<T>(field, index, value); }), file, sample,
         dataset);
}

PropertyHandle without_clipping() {
  PropertyHandle transfer(H5Pcreate(H5P_DATASET_XFER));
  H5Pset_type_conv_cb(transfer.get(), refuse_what_does_not_fit, nullptr);
  return transfer;
}

}  // namespace trainmark
