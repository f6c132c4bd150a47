// Renders a table: aligned columns for terminals, a table element that scrolls by itself for pages, objects for
// programs.
#include "report/show/grid.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "mllog/utf8.hpp"
#include "report/show/plot.hpp"

namespace trainmark::report {
namespace {

using Json = nlohmann::ordered_json;

std::string shown(const Cell& cell, const Column& column, std::string_view missing) {
  if (const auto* text = std::get_if<std::string>(&cell)) return *text;
  const auto* number = std::get_if<double>(&cell);
  if (number == nullptr || !std::isfinite(*number)) return std::string(missing);
  return fixed(*number, column.digits);
}

std::string heading(const Column& column) { return column.name + (column.unit.empty() ? "" : " " + column.unit); }

bool is_text(const Grid& grid, std::size_t column) {
  return std::ranges::any_of(grid.rows,
                             [column](const auto& row) { return std::holds_alternative<std::string>(row.at(column)); });
}

/// Columns of one source are named together, once.
std::string sources_of(const Grid& grid) {
  std::string text;
  for (const FigureSource source : {FigureSource::measured, FigureSource::logged, FigureSource::modelled,
                                    FigureSource::assumed, FigureSource::given}) {
    std::string names;
    for (const Column& column : grid.columns)
      if (column.source == source) names += (names.empty() ? "" : ", ") + column.name;
    if (!names.empty()) text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", name_of(source), names);
  }
  return text;
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string key_of(const Column& column) {
  std::string key = heading(column);
  for (char& c : key) {
    if (c == ' ' || c == '/' || c == ',') c = '_';
  }
  std::erase(key, '(');
  std::erase(key, ')');
  return key;
}

}  // namespace

Cell cell(const std::optional<double>& value, double unit) { return value ? Cell(*value / unit) : Cell(); }

std::string printable(std::string_view text) {
  std::string clean;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = [&text](std::size_t at) { return static_cast<unsigned char>(at < text.size() ? text[at] : 0); };
    const bool second_set = byte(i) == 0xC2 && byte(i + 1) >= 0x80 && byte(i + 1) < 0xA0;  // U+0080 to U+009F
    clean += byte(i) < 0x20 || byte(i) == 0x7f || second_set ? '?' : text[i];
    i += second_set;
  }
  return clean.empty() ? "-" : clean;
}

std::string fixed(double value, int digits) {
  const bool shows_nothing = digits > 0 && std::abs(value) < 0.5 * std::pow(10.0, -digits) && value != 0.0;
  return shows_nothing ? fmt::format("{:.2g}", value) : fmt::format("{:.{}f}", value, digits);
}

std::string value_of(const Figure& figure) {
  constexpr double exact = 1e15;
  if (!figure.unit.empty()) return fixed(figure.value, 3);
  const bool whole = figure.value == std::floor(figure.value) && std::abs(figure.value) < exact;
  return whole ? fmt::format("{:.0f}", figure.value) : fmt::format("{:.5g}", figure.value);
}

std::string grid_text(const Grid& grid) {
  if (grid.rows.empty() && grid.remarks.empty()) return {};
  std::string text = grid.title + "\n";
  std::vector<std::string> lines(grid.rows.size() + 1, " ");
  for (std::size_t column = 0; column < grid.columns.size() && !grid.rows.empty(); ++column) {
    std::vector<std::string> cells{heading(grid.columns[column])};
    for (const auto& row : grid.rows)
      cells.push_back(printable(shown(row.at(column), grid.columns[column], "-")));
    std::size_t widest = 0;
    for (const std::string& each : cells)
      widest = std::max(widest, width_of(each));
    const bool left = is_text(grid, column);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string room(widest - width_of(cells[i]), ' ');
      lines[i] += " " + (left ? cells[i] + room : room + cells[i]) + " ";
    }
  }
  for (std::string& line : lines) {
    line.erase(line.find_last_not_of(' ') + 1);
    if (!line.empty()) text += line + "\n";
  }
  const std::string sources = sources_of(grid);
  if (!grid.rows.empty() && !sources.empty()) text += fmt::format("  [{}]\n", sources);
  for (const std::string& remark : grid.remarks)
    text += fmt::format("  note: {}\n", printable(remark));
  return text;
}

std::string grid_html(const Grid& grid) {
  if (grid.rows.empty() && grid.remarks.empty()) return {};
  std::string html = fmt::format("<h3>{}</h3>\n", escaped(grid.title));
  for (const Chart& chart : grid.charts)
    html += chart_svg(chart);
  if (!grid.rows.empty()) {
    html += "<div class=\"scroll\"><table><tr>";
    for (std::size_t column = 0; column < grid.columns.size(); ++column)
      html += fmt::format("<th{}>{}</th>", is_text(grid, column) ? "" : " class=\"n\"",
                          escaped(heading(grid.columns[column])));
    html += "</tr>\n";
    for (const auto& row : grid.rows) {
      html += "<tr>";
      for (std::size_t column = 0; column < grid.columns.size(); ++column)
        html += fmt::format("<td{}>{}</td>", is_text(grid, column) ? " class=\"t\"" : " class=\"n\"",
                            escaped(shown(row.at(column), grid.columns[column], "–")));
      html += "</tr>\n";
    }
    html += "</table></div>\n";
    const std::string sources = sources_of(grid);
    if (!sources.empty()) html += fmt::format("<p class=\"soft\">{}</p>\n", escaped(sources));
  }
  for (const std::string& remark : grid.remarks)
    html += fmt::format("<p class=\"soft\">{}</p>\n", escaped(remark));
  return html;
}

Json grid_json(const Grid& grid) {
  Json rows = Json::array(), sources = Json::object();
  for (const auto& row : grid.rows) {
    Json& object = rows.emplace_back(Json::object());
    for (std::size_t column = 0; column < grid.columns.size(); ++column) {
      Json& value = object[key_of(grid.columns[column])];
      if (const auto* text = std::get_if<std::string>(&row.at(column)))
        value = *text;
      else if (const auto* number = std::get_if<double>(&row.at(column)); number != nullptr && std::isfinite(*number))
        value = *number;
    }
  }
  for (const Column& column : grid.columns)
    if (column.source) sources[key_of(column)] = name_of(*column.source);
  return {{"title", grid.title}, {"rows", std::move(rows)}, {"sources", std::move(sources)}, {"remarks", grid.remarks}};
}

}  // namespace trainmark::report
