// A table of results in one form for all: the terminal, the page and programs show the same rows.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "report/show/chart.hpp"
#include "trainmark/report.hpp"

namespace trainmark::report {

struct Column {
  std::string name;
  std::string unit = {};                              ///< empty for counts and texts
  std::optional<FigureSource> source = std::nullopt;  ///< of its numbers
  int digits = 2;                                     ///< behind the point
};
/// What is not known is empty, never 0.
using Cell = std::variant<std::monostate, double, std::string>;
/// The value, in units of so many of its own.
[[nodiscard]] Cell cell(const std::optional<double>& value, double unit = 1.0);
/// A part of what may not be known.
template <class T>
[[nodiscard]] Cell cell(const std::optional<T>& of, double T::*part, double unit = 1.0) {
  return of ? Cell((*of).*part / unit) : Cell();
}
[[nodiscard]] inline Cell count_of(std::size_t count) { return static_cast<double>(count); }

struct Grid {
  std::string title;
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
  std::vector<std::string> remarks = {};
  std::vector<Chart> charts = {};  ///< stand above the rows on a page
};

/// Both give an empty text for a grid without rows and remarks.
[[nodiscard]] std::string grid_text(const Grid& grid);
[[nodiscard]] std::string grid_html(const Grid& grid);
/// {title, rows: [{<name>_<unit>: ...}], sources: {<name>_<unit>: ...}, remarks}
[[nodiscard]] nlohmann::ordered_json grid_json(const Grid& grid);
/// Of a number with so many digits behind the point; one that would look like 0 has two that tell.
[[nodiscard]] std::string fixed(double value, int digits);
/// Without its unit; counts whole.
[[nodiscard]] std::string value_of(const Figure& figure);
/// For terminals: control characters of a log become question marks.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace trainmark::report
