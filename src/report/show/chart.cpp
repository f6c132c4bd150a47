// Places marks, lines, whiskers and a band, and writes them as SVG.
#include "report/show/chart.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "report/show/plot.hpp"

namespace trainmark::report {
namespace {

constexpr double width = picture_width, height = 320, left = 70, right = 96, bottom = 46, row = 18;
constexpr double largest = 1e100;  // what lies beyond cannot be placed: differences overflow

class Axis {
 public:
  Axis(bool logarithmic, double from, double to) : log_(logarithmic), from_(from), to_(to) {}
  [[nodiscard]] bool holds(double value) const { return std::abs(value) < largest && (!log_ || value > 1 / largest); }
  void take(double value) {
    if (!holds(value)) return;
    low_ = any_ ? std::min(low_, value) : value;
    high_ = any_ ? std::max(high_, value) : value;
    any_ = true;
  }
  [[nodiscard]] bool any() const { return any_; }
  [[nodiscard]] double low() const { return low_; }
  [[nodiscard]] double high() const { return high_; }
  /// Makes room around the marks; a linear axis begins at 0.
  void settle(bool from_zero) {
    if (log_) {
      low_ /= 1.15;
      high_ *= 1.15;
    } else {
      if (from_zero) low_ = std::min(0.0, low_);
      const double room = high_ > low_ ? 0.05 * (high_ - low_) : std::max(1.0, std::abs(high_));
      high_ += room;
      if (low_ != 0.0) low_ -= room;
    }
  }
  [[nodiscard]] double at(double value) const {
    const double share = log_ ? std::log(value / low_) / std::log(high_ / low_) : (value - low_) / (high_ - low_);
    return from_ + share * (to_ - from_);
  }
  /// 1, 2 and 5 times powers of ten that lie on the axis and leave room between each other.
  [[nodiscard]] std::vector<double> ticks(double room) const {
    std::vector<double> values;
    if (log_) {
      for (double power = std::pow(10.0, std::floor(std::log10(low_))); power <= high_; power *= 10.0)
        for (const double lead : {1.0, 2.0, 5.0})
          add(values, lead * power, room);
      if (values.size() < 2) values = even((high_ - low_) / 3.0);  // less than a decade
      return values.size() < 2 ? std::vector{low_, high_} : values;
    }
    return even((high_ - low_) * room / std::abs(to_ - from_));
  }
  void add(std::vector<double>& values, double value, double room) const {
    if (value < low_ || value > high_) return;
    if (!values.empty() && std::abs(at(value) - at(values.back())) < room) return;
    values.push_back(value);
  }

 private:
  /// Multiples of 1, 2 or 5 times a power of ten, at least `rough` apart.
  [[nodiscard]] std::vector<double> even(double rough) const {
    std::vector<double> values;
    const double step = round_step(rough);
    for (double k = std::ceil(low_ / step); k * step <= high_ && values.size() < 40; k += 1.0)
      values.push_back(k == 0.0 ? 0.0 : k * step);
    return values;
  }

  bool log_, any_ = false;
  double from_, to_, low_ = 0.0, high_ = 1.0;
};

std::string shape(std::size_t series, double x, double y, const std::string& title) {
  const std::string inner = fmt::format("><title>{}</title>", escaped(title));
  switch (series % 4) {
    case 0:
      return fmt::format("<circle class=\"s0 full\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"{}</circle>\n", x, y, inner);
    case 1:
      return fmt::format("<rect class=\"s1 hollow\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"8\" height=\"8\"{}</rect>\n",
                         x - 4, y - 4, inner);
    case 2:
      return fmt::format("<path class=\"s2 full\" d=\"M{:.1f} {:.1f} l5 9 h-10 z\"{}</path>\n", x, y - 5, inner);
    default:
      return fmt::format("<path class=\"s3 hollow\" d=\"M{:.1f} {:.1f} l5 5 l-5 5 l-5 -5 z\"{}</path>\n", x, y - 5,
                         inner);
  }
}

class Drawing {
 public:
  explicit Drawing(const Chart& chart)
      : chart_(chart),
        top_(52 + row * static_cast<double>((chart.series.size() + 1) / 2)),
        x_(chart.log_x, left, width - right),
        y_(chart.log_y, height - bottom, top_) {}

  std::string result() {
    gather();
    if (!x_.any() || !y_.any()) return {};
    for (const Level& each : chart_.levels)
      y_.take(each.y);
    for (const Roof& each : chart_.roofs)
      if (each.most) y_.take(*each.most);
    x_.settle(false);
    y_.settle(true);
    draw_frame();
    draw_band();
    draw_roofs();
    for (std::size_t i = 0; i < chart_.series.size(); ++i)
      draw_series(i);
    return "<div class=\"scroll\">" + svg_ + "</svg></div>\n";
  }

 private:
  [[nodiscard]] bool placeable(const Mark& mark) const { return x_.holds(mark.x) && y_.holds(mark.y); }

  void gather() {
    for (const MarkSeries& series : chart_.series) {
      for (const Mark& mark : series.marks) {
        if (!placeable(mark)) continue;
        x_.take(mark.x);
        y_.take(mark.y);
        if (mark.low) y_.take(*mark.low);
        if (mark.high) y_.take(*mark.high);
      }
    }
    for (const Mark& mark : chart_.band) {
      if (!placeable(mark)) continue;
      x_.take(mark.x);
      y_.take(mark.low.value_or(mark.y));
      y_.take(mark.high.value_or(mark.y));
    }
    if (!chart_.x_labels.empty()) {
      x_.take(-0.5);
      x_.take(static_cast<double>(chart_.x_labels.size()) - 0.5);
    }
  }

  void draw_frame() {
    svg_ = svg_opening(chart_.title, height);
    for (const double value : y_.ticks(34)) {
      svg_ += fmt::format("<line class=\"grid\" x1=\"{:g}\" x2=\"{:g}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", left,
                          width - right, y_.at(value), y_.at(value));
      text(left - 8, y_.at(value) + 4, "end", fmt::format("{:.6g}", value));
    }
    if (chart_.x_labels.empty()) {
      for (const double value : x_places())
        text(x_.at(value), height - bottom + 18, "middle", fmt::format("{:.6g}", value));
    } else {
      for (std::size_t i = 0; i < chart_.x_labels.size(); ++i)
        text(x_.at(static_cast<double>(i)), height - bottom + 18, "middle", chart_.x_labels[i]);
    }
    text((left + width - right) / 2, height - 8, "middle", chart_.x_name);
    text(0, top_ - 10, "start", chart_.y_name);
    std::size_t shown = 0;
    for (std::size_t i = 0; i < chart_.series.size(); ++i) {
      const double x = left + static_cast<double>(shown % 2) * 260, y = 30 + row * static_cast<double>(shown / 2);
      svg_ += shape(i, x + 6, y, chart_.series[i].name);
      text(x + 18, y + 4, "start", chart_.series[i].name);
      ++shown;
    }
    for (const Level& each : chart_.levels) {
      if (!y_.holds(each.y)) continue;
      svg_ += fmt::format("<line class=\"target\" x1=\"{:g}\" x2=\"{:g}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", left,
                          width - right, y_.at(each.y), y_.at(each.y));
      text(width - right + 6, y_.at(each.y) + 4, "start", each.name);
    }
  }

  /// On a logarithmic axis the places where marks are, as far as their numbers do not meet.
  [[nodiscard]] std::vector<double> x_places() const {
    if (!chart_.log_x || !chart_.roofs.empty()) return x_.ticks(70);
    std::vector<double> all, places;
    for (const MarkSeries& series : chart_.series)
      for (const Mark& mark : series.marks)
        if (placeable(mark)) all.push_back(mark.x);
    std::ranges::sort(all);
    for (const double value : all)
      x_.add(places, value, 44);
    return places;
  }

  void draw_band() {
    std::string upper, lower;
    for (const Mark& mark : chart_.band) {
      if (!placeable(mark) || !mark.low || !mark.high || !y_.holds(*mark.low) || !y_.holds(*mark.high)) continue;
      upper += fmt::format("{:.1f},{:.1f} ", x_.at(mark.x), y_.at(*mark.high));
      lower = fmt::format("{:.1f},{:.1f} ", x_.at(mark.x), y_.at(*mark.low)) + lower;
    }
    if (!upper.empty()) svg_ += fmt::format("<polygon class=\"band\" points=\"{}{}\"/>\n", upper, lower);
  }

  /// A slope is named where it meets its flat part, or at the right where it does not.
  void draw_roofs() {
    std::vector<std::pair<double, std::string>> met, ends;  // x or y, name
    double top = y_.high();
    for (std::size_t i = 0; i < chart_.roofs.size(); ++i) {
      const Roof& roof = chart_.roofs[i];
      const double most = std::min(roof.most.value_or(y_.high()), y_.high());
      const double from = roof.slope ? std::max(x_.low(), y_.low() / *roof.slope) : x_.low();
      const double to = roof.slope ? std::min(x_.high(), most / *roof.slope) : x_.high();
      if (!(from < to) || !y_.holds(most)) continue;
      const double y1 = y_.at(roof.slope ? from * *roof.slope : most), y2 = y_.at(roof.slope ? to * *roof.slope : most);
      svg_ += fmt::format("<line class=\"roof dash{}\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
                          i % 4, x_.at(from), x_.at(to), y1, y2);
      if (to < x_.high()) {
        met.emplace_back(x_.at(to), roof.name);
        top = most;
      } else {
        ends.emplace_back(y2, roof.name);
      }
    }
    constexpr double letter = 7, line = 14;  // pixels
    std::ranges::sort(ends);
    double lowest = -line;
    for (const auto& [y, name] : ends) {  // one below the other; a long name ends with the picture
      lowest = std::max(y + 4, lowest + line);
      const bool fits = letter * static_cast<double>(name.size()) < right - 6;
      text(fits ? width - right + 6 : width - 2, lowest, fits ? "start" : "end", name);
    }
    double end = 0.0, raised = 0.0;
    std::ranges::sort(met);
    for (const auto& [x, name] : met) {  // one above the other where they would meet
      const double half = 0.5 * letter * static_cast<double>(name.size());
      raised = x - half < end ? raised + line : 0.0;
      end = std::max(end, x + half);
      text(x, y_.at(top) - 6 - raised, "middle", name);
    }
  }

  void draw_series(std::size_t index) {
    const MarkSeries& series = chart_.series[index];
    std::string path, marks;
    for (const Mark& mark : series.marks) {
      if (!placeable(mark)) continue;
      const double x = x_.at(mark.x), y = y_.at(mark.y);
      path += fmt::format("{:.1f},{:.1f} ", x, y);
      if (mark.low && mark.high && y_.holds(*mark.low) && y_.holds(*mark.high))
        marks += fmt::format("<line class=\"s{} whisker\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>",
                             index % 4, x, x, y_.at(*mark.low), y_.at(*mark.high));
      marks += shape(index, x, y, fmt::format("{}: {:.5g} at {:.5g}", series.name, mark.y, mark.x));
    }
    if (series.joined) svg_ += fmt::format("<polyline class=\"s{0} line dash{0}\" points=\"{1}\"/>\n", index % 4, path);
    svg_ += marks;
  }

  void text(double x, double y, std::string_view anchor, std::string_view words) {
    svg_ += fmt::format("<text class=\"tick\" text-anchor=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", anchor, x, y,
                        escaped(words));
  }

  const Chart& chart_;
  double top_;
  Axis x_, y_;
  std::string svg_;
};

}  // namespace

std::string chart_svg(const Chart& chart) { return Drawing(chart).result(); }

}  // namespace trainmark::report
