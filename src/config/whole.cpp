#include "config/whole.hpp"

#include <charconv>
#include <string>

namespace trainmark::config {
namespace {

constexpr std::int64_t most_digits = 19;  // of a 64-bit integer

/// "-12.50e3": sign, digits without the point, and the power of ten of the last one.
struct Digits {
  std::string text;
  std::int64_t power = 0;
};

Digits digits_of(std::string_view number) {
  const std::size_t mark = number.find_first_of("eE");
  const std::string_view mantissa = number.substr(0, mark);
  Digits digits;
  if (mark != std::string_view::npos) {
    std::string_view power = number.substr(mark + 1);
    if (power.starts_with('+')) power.remove_prefix(1);
    const auto [end, error] = std::from_chars(power.data(), power.data() + power.size(), digits.power);
    constexpr std::int64_t beyond = std::int64_t{1} << 62;  // more digits than any text has
    if (error == std::errc::result_out_of_range) digits.power = power.starts_with('-') ? -beyond : beyond;
  }
  bool behind_point = false;
  for (const char c : mantissa) {
    if (c == '.') {
      behind_point = true;
    } else if (c >= '0' && c <= '9') {
      if (!digits.text.empty() || c != '0') digits.text += c;
      if (behind_point) --digits.power;
    }
  }
  while (digits.text.ends_with('0')) {
    digits.text.pop_back();
    ++digits.power;
  }
  return digits;
}

}  // namespace

WholeNumber whole_number(std::string_view number) {
  Digits digits = digits_of(number);
  if (digits.text.empty()) return {Whole::yes, 0};
  if (digits.power < 0) return {Whole::no};
  if (digits.power + static_cast<std::int64_t>(digits.text.size()) > most_digits) return {Whole::too_large};
  digits.text.append(static_cast<std::size_t>(digits.power), '0');
  if (number.starts_with('-')) digits.text.insert(0, 1, '-');
  WholeNumber result{Whole::yes};
  const auto [end, error] = std::from_chars(digits.text.data(), digits.text.data() + digits.text.size(), result.value);
  if (error != std::errc()) return {Whole::too_large};
  return result;
}

}  // namespace trainmark::config
