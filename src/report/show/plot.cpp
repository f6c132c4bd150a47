// Plots with just what the report needs: an axis with round steps, a line with marks, a reference, stacked bars.
#include "report/show/plot.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "mllog/utf8.hpp"

namespace trainmark::report {
namespace {

constexpr double width = picture_width, left = 64, right = 16, top = 34, bottom = 40, height = 240;
constexpr double largest = 1e100;  // what lies beyond cannot be placed: differences overflow

struct Axis {
  double low = 0.0, high = 1.0, step = 0.2;
};

/// Steps of 1, 2 or 5 times a power of ten, about `count` of them.
Axis axis_for(double low, double high, int count) {
  const double tellable = 1e-9 * std::max(std::abs(low), std::abs(high));  // steps below it would lead nowhere
  if (!(high - low > tellable)) high = low + (low == 0.0 ? 1.0 : std::abs(low) * 0.1);
  const double step = round_step((high - low) / count);
  return {std::floor(low / step + 1e-9) * step, std::ceil(high / step - 1e-9) * step, step};
}

double at_x(const Axis& axis, double value) {
  return left + (value - axis.low) / (axis.high - axis.low) * (width - left - right);
}
double at_y(const Axis& axis, double value) {
  return height - bottom - (value - axis.low) / (axis.high - axis.low) * (height - top - bottom);
}

std::string grid(const Axis& x, const Axis& y) {
  std::string svg;
  for (double value = y.low; value <= y.high + y.step * 0.01; value += y.step) {
    const double place = at_y(y, value);
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text class=\"tick\" text-anchor=\"end\" x=\"{}\" y=\"{:.1f}\">{:.4g}</text>\n",
        left, width - right, place, place, left - 8, place + 4, std::abs(value) < y.step * 1e-6 ? 0.0 : value);
  }
  for (double value = x.low; value <= x.high + x.step * 0.01; value += x.step) {
    svg += fmt::format("<text class=\"tick\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{}\">{:.4g}</text>\n",
                       at_x(x, value), height - bottom + 18, value);
  }
  svg += fmt::format("<text class=\"tick\" text-anchor=\"middle\" x=\"{}\" y=\"{}\">epoch</text>\n",
                     (left + width - right) / 2, height - 6);
  return svg;
}

}  // namespace

std::string svg_opening(std::string_view title, double height) {
  return fmt::format(
      "<svg viewBox=\"0 0 {:g} {:g}\" role=\"img\" aria-label=\"{}\">"
      "<text class=\"title\" x=\"0\" y=\"14\">{}</text>\n",
      picture_width, height, escaped(title), escaped(title));
}

double round_step(double rough) {
  const double power = std::pow(10.0, std::floor(std::log10(rough))), lead = rough / power;
  return power * (lead <= 1.0 ? 1.0 : lead <= 2.0 ? 2.0 : lead <= 5.0 ? 5.0 : 10.0);
}

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : to_utf8(text)) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
  }
  return safe;
}

std::string line_plot(std::string_view title, std::span<const Point> points,
                      const std::optional<Reference>& reference) {
  std::vector<Point> shown;
  std::copy_if(points.begin(), points.end(), std::back_inserter(shown),
               [](const Point& each) { return std::isfinite(each.x) && std::abs(each.y) <= largest; });
  if (shown.empty()) return {};
  double low = std::min(0.0, shown.front().y), high = shown.front().y;
  for (const Point& each : shown) {
    low = std::min(low, each.y);
    high = std::max(high, each.y);
  }
  if (reference) high = std::max(high, reference->y);
  const Axis y = axis_for(low, high, 5);
  Axis x = axis_for(shown.front().x, shown.back().x, 10);
  x.step = std::max(1.0, x.step);
  x.low = shown.front().x;
  x.high = std::max(shown.back().x, x.low + 1.0);
  std::string svg = svg_opening(title, height) + grid(x, y), path;
  if (reference) {
    const double place = at_y(y, reference->y);
    // Named above the plot: beside its line the name would meet the curve.
    svg += fmt::format(
        "<line class=\"target\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<line class=\"target\" x1=\"330\" x2=\"356\" y1=\"10\" y2=\"10\"/>"
        "<text class=\"tick\" x=\"364\" y=\"14\">{}</text>\n",
        left, width - right, place, place, escaped(reference->name));
  }
  std::string marks;
  for (const Point& each : shown) {
    path += fmt::format("{:.1f},{:.1f} ", at_x(x, each.x), at_y(y, each.y));
    marks += fmt::format(
        "<circle class=\"mark\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"><title>epoch {:g}: {:.5g}</title></circle>\n",
        at_x(x, each.x), at_y(y, each.y), each.x, each.y);
  }
  return svg + fmt::format("<polyline class=\"curve\" points=\"{}\"/>\n{}</svg>\n", path, marks);
}

std::string stacked_bars(std::string_view title, std::span<const Bar> bars, std::string_view unit) {
  double longest = 0.0;
  for (const Bar& bar : bars) {
    double sum = 0.0;
    for (const Part& part : bar.parts)
      sum += part.value;
    longest = std::max(longest, sum);
  }
  if (bars.empty() || !(longest > 0.0) || !std::isfinite(longest)) return {};
  const double row = 46, legend = 24;
  std::string svg = svg_opening(title, top + legend + row * static_cast<double>(bars.size()));
  double place = 0.0;
  for (std::size_t i = 0; i < bars.front().parts.size(); ++i) {
    constexpr double letter = 6.8, gap = 32;
    const double x = place;
    place += gap + letter * static_cast<double>(bars.front().parts[i].name.size());
    svg += fmt::format(
        "<rect class=\"part{}\" x=\"{:g}\" y=\"26\" width=\"11\" height=\"11\"/>"
        "<text class=\"tick\" x=\"{:g}\" y=\"36\">{}</text>\n",
        i, x, x + 16, escaped(bars.front().parts[i].name));
  }
  double y = top + legend;
  for (const Bar& bar : bars) {
    double x = 0.0, sum = 0.0;
    for (std::size_t i = 0; i < bar.parts.size(); ++i) {
      const double wide = bar.parts[i].value / longest * width;
      svg += fmt::format(
          "<rect class=\"part{}\" x=\"{:.2f}\" y=\"{:g}\" width=\"{:.2f}\" height=\"20\"><title>{}: {:.3f} "
          "{}</title></rect>\n",
          i, x, y + 14, wide, escaped(bar.parts[i].name), bar.parts[i].value, escaped(unit));
      x += wide;
      sum += bar.parts[i].value;
    }
    svg += fmt::format("<text class=\"tick\" x=\"0\" y=\"{:g}\">{} ({:.2f} {})</text>\n", y + 9, escaped(bar.name), sum,
                       escaped(unit));
    y += row;
  }
  return svg + "</svg>\n";
}

}  // namespace trainmark::report
