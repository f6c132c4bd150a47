// Reads a table that the program carries with it.
#include "report/analyse/table.hpp"

#include <algorithm>
#include <charconv>

#include "trainmark/core.hpp"

namespace trainmark::report {
namespace {

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

Table::Table(std::string_view text) {
  for (const std::string_view line : split(text, '\n')) {
    if (names_.empty())
      names_ = split(line, ',');
    else if (!line.empty())
      cells_.push_back(split(line, ','));
  }
}

std::string_view Table::text(std::size_t row, std::string_view column) const {
  const auto name = std::ranges::find(names_, column);
  TRAINMARK_CHECK(name != names_.end(), column);
  const auto at = static_cast<std::size_t>(name - names_.begin());
  return at < cells_.at(row).size() ? cells_[row][at] : std::string_view();
}

std::optional<double> Table::number(std::size_t row, std::string_view column) const {
  const std::string_view cell = text(row, column);
  double value = 0.0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc{} || end != cell.data() + cell.size()) return std::nullopt;
  return value;
}

}  // namespace trainmark::report
