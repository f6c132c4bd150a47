#include "report/show/rows.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "report/show/plot.hpp"

namespace trainmark::report {
namespace {

constexpr double width = picture_width, left = 124, right = 140, top = 26, row_height = 24, thick = 16;

std::string text(double x, double y, std::string_view anchor, std::string_view words) {
  return fmt::format("<text class=\"tick\" text-anchor=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", anchor, x, y,
                     escaped(words));
}

bool is_drawn(const Stretch& each) {
  constexpr double largest = 1e100;  // what lies beyond cannot be placed: differences overflow
  return std::abs(each.from) < largest && std::abs(each.to) < largest && each.to >= each.from;
}

}  // namespace

std::string stretches_svg(std::string_view title, std::string_view axis, std::span<const StretchRow> rows) {
  double low = 0.0, high = 0.0;
  for (const StretchRow& row : rows) {
    for (const Stretch& each : row.stretches) {
      if (!is_drawn(each)) continue;
      low = std::min(low, each.from);
      high = std::max(high, each.to);
    }
  }
  if (!(high > low)) return {};
  const auto at = [&](double value) { return left + (value - low) / (high - low) * (width - left - right); };
  const double bottom = top + row_height * static_cast<double>(rows.size());
  std::string svg = svg_opening(title, bottom + 44);
  const double step = round_step((high - low) / 5.0);
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1.0) {
    const double value = k == 0.0 ? 0.0 : k * step;
    svg += fmt::format("<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:g}\" y2=\"{2:g}\"/>", at(value), top,
                       bottom);
    svg += text(at(value), bottom + 16, "middle", fmt::format("{:.6g}", value));
  }
  svg += text((left + width - right) / 2, bottom + 36, "middle", axis);
  double y = top;
  for (const StretchRow& row : rows) {
    svg += text(left - 8, y + 16, "end", row.name) + text(width - right + 8, y + 16, "start", row.value);
    for (const Stretch& each : row.stretches) {
      if (!is_drawn(each)) continue;
      // What is too short to be seen is shown all the same: it was there.
      svg += fmt::format(
          "<rect class=\"stretch\" x=\"{:.2f}\" y=\"{:g}\" width=\"{:.2f}\" height=\"{:g}\"><title>{}: {:.6g} to "
          "{:.6g}</title></rect>\n",
          at(each.from), y + (row_height - thick) / 2, std::max(0.5, at(each.to) - at(each.from)), thick,
          escaped(row.name), each.from, each.to);
    }
    y += row_height;
  }
  return svg + "</svg>\n";
}

std::string shades_svg(const ShadeMap& map) {
  if (map.rows.empty() || map.rows.front().cells.empty()) return {};
  const double bottom = top + row_height * static_cast<double>(map.rows.size());
  const double wide = (width - left - 16) / static_cast<double>(map.rows.front().cells.size());
  const auto shaded = [](double x, double y, double cell, double shade, std::string_view title) {
    return fmt::format(
        "<rect class=\"shade\" fill-opacity=\"{:.2f}\" x=\"{:.2f}\" y=\"{:g}\" width=\"{:.2f}\" "
        "height=\"{:g}\"><title>{}</title></rect>\n",
        0.06 + 0.94 * std::clamp(shade, 0.0, 1.0), x, y, cell, row_height, escaped(title));
  };
  std::string svg = svg_opening(map.title, bottom + 50);
  double y = top;
  for (const ShadeRow& row : map.rows) {
    svg += text(left - 8, y + 16, "end", row.name);
    double x = left;
    for (const ShadeCell& cell : row.cells) {
      svg += shaded(x, y, wide, cell.shade, cell.title);
      x += wide;
    }
    y += row_height;
  }
  svg += text(left, bottom + 16, "start", map.left) + text(width - 16, bottom + 16, "end", map.right);
  svg += text((left + width - 16) / 2, bottom + 16, "middle", map.axis);
  constexpr int steps = 5;
  constexpr double key = 22;
  svg += text(left + 170, bottom + 42, "end", map.light);
  for (int i = 0; i < steps; ++i)
    svg += shaded(left + 178 + key * i, bottom + 26, key, static_cast<double>(i) / (steps - 1), "");
  return svg + text(left + 186 + key * steps, bottom + 42, "start", map.dark) + "</svg>\n";
}

}  // namespace trainmark::report
