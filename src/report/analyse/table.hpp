// A table of comma-separated values, as this program writes and ships them: a first line of names, no quotes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trainmark::report {

class Table {
 public:
  explicit Table(std::string_view text);
  [[nodiscard]] std::size_t rows() const noexcept { return cells_.size(); }
  /// Empty where the row ends before. A column that the table lacks is a mistake of ours.
  [[nodiscard]] std::string_view text(std::size_t row, std::string_view column) const;
  [[nodiscard]] std::optional<double> number(std::size_t row, std::string_view column) const;  ///< none: no number

 private:
  std::vector<std::string_view> names_;
  std::vector<std::vector<std::string_view>> cells_;  // of the text, which outlives the table
};

}  // namespace trainmark::report
