// Small pictures as inline SVG. Colours come from the page's style sheet, so that they follow light and dark.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trainmark::report {

/// Text that may stand anywhere in HTML or SVG, in attributes too. Control characters become question marks.
[[nodiscard]] std::string escaped(std::string_view text);

/// Pictures are so many units wide.
inline constexpr double picture_width = 640;
/// Begins one of that height, with its title.
[[nodiscard]] std::string svg_opening(std::string_view title, double height);
/// The next of 1, 2 or 5 times a power of ten that is not below `rough`.
[[nodiscard]] double round_step(double rough);

struct Point {
  double x = 0.0, y = 0.0;
};
struct Reference {
  double y = 0.0;
  std::string name;
};
/// Points that are not finite are left out; fewer than one gives an empty text.
[[nodiscard]] std::string line_plot(std::string_view title, std::span<const Point> points,
                                    const std::optional<Reference>& reference);

struct Part {
  std::string name;
  double value = 0.0;
};
struct Bar {
  std::string name;
  std::vector<Part> parts;
};
/// Horizontal bars on one scale, with a legend; the parts of all bars have the same names in the same order.
[[nodiscard]] std::string stacked_bars(std::string_view title, std::span<const Bar> bars, std::string_view unit);

}  // namespace trainmark::report
