// Whole numbers by their digits: through a double, 9007199254740993.0 would become another number without a word, and
// 0.99999999999999999999 a whole one.
#pragma once

#include <cstdint>
#include <string_view>

namespace trainmark::config {

enum class Whole { no, yes, too_large };
struct WholeNumber {
  Whole is = Whole::no;
  std::int64_t value = 0;
};
/// Of a number as JSON writes it: 16, 16.0, 1.6e1 and 160e-1 are the same.
[[nodiscard]] WholeNumber whole_number(std::string_view number);

}  // namespace trainmark::config
