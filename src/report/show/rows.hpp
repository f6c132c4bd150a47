// Pictures whose rows have names, as inline SVG: stretches of time one below the other, and cells told by their shade.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trainmark::report {

struct Stretch {
  double from = 0.0, to = 0.0;
};
struct StretchRow {
  std::string name;
  std::vector<Stretch> stretches;
  std::string value;  ///< stands at the row's end
};
/// On one axis that begins at 0 or below. Empty where no row has a stretch; what is not finite is left out.
[[nodiscard]] std::string stretches_svg(std::string_view title, std::string_view axis,
                                        std::span<const StretchRow> rows);

struct ShadeCell {
  double shade = 0.0;  ///< 0: lightest, 1: darkest
  std::string title;
};
struct ShadeRow {
  std::string name;
  std::vector<ShadeCell> cells;
};
/// Rows of as many cells. `left` and `right` name the first and the last column, `axis` what the columns are, `light`
/// and `dark` what the ends of the scale mean.
struct ShadeMap {
  std::string title, axis, left, right, light, dark;
  std::vector<ShadeRow> rows;
};
[[nodiscard]] std::string shades_svg(const ShadeMap& map);

}  // namespace trainmark::report
