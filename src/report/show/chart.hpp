// A chart of several series on one pair of axes. Series differ in shape and dash as well as colour, so that a chart
// reads in greyscale too.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace trainmark::report {

struct Mark {
  double x = 0.0, y = 0.0;
  std::optional<double> low = std::nullopt, high = std::nullopt;  ///< a whisker
};
struct MarkSeries {
  std::string name;
  std::vector<Mark> marks;
  bool joined = true;  ///< by a line
};
struct Level {
  double y = 0.0;
  std::string name;
};
/// A line that marks cannot be above: y = slope * x up to `most`, or flat at it. For logarithmic axes.
struct Roof {
  std::string name;
  std::optional<double> slope = std::nullopt, most = std::nullopt;
};
struct Chart {
  std::string title, x_name, y_name;
  bool log_x = false, log_y = false;
  std::vector<MarkSeries> series;          ///< up to four are told apart
  std::vector<Mark> band = {};             ///< low to high over x; y is not drawn
  std::vector<Level> levels = {};          ///< horizontal lines, named at their right end
  std::vector<Roof> roofs = {};            ///< differ in their dashes, named where they meet or end
  std::vector<std::string> x_labels = {};  ///< names for x = 0, 1, ... in place of numbers
};
/// Inline SVG whose colours are the page's. Marks that are not finite, or not above zero on a logarithmic axis, are
/// left out; empty where none is left.
[[nodiscard]] std::string chart_svg(const Chart& chart);

}  // namespace trainmark::report
