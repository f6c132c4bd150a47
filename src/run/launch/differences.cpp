#include "run/launch/differences.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <boost/math/distributions/poisson.hpp>
#include <cmath>

namespace trainmark {
namespace {

constexpr std::size_t shown = 10;

/// What rounding explains, as the norm of the difference over the norm of the truth, unless the CPU can show it itself.
/// Backward is wider: where two values of a pooling window round to the same, another one may win, and its gradient
/// goes elsewhere; the more, the more voxels and layers are below. In fp32 that is rare enough to be counted: see
/// flips.
struct Tolerance {
  double forward = 0.0, backward = 0.0, update = 0.0;
};
Tolerance tolerance_of(Precision precision) {
  if (precision == Precision::bf16) return {0.05, 0.05, 0.05};
  if (precision != Precision::fp32) return {0.01, 0.15, 0.1};
  return {1e-4, 1e-3, 1e-3};
}
double bound_of(const Tolerance& tolerance, Kind kind) {
  if (kind == Kind::forward) return tolerance.forward;
  return kind == Kind::backward ? tolerance.backward : tolerance.update;
}

/// Rounding grows with the number of voxels, and an implementation may have bad luck where another has not.
constexpr double luck = 2.0;

/// Of a window's two largest values to lie within fp32's rounding of each other: both carry some units of 2^-24 of what
/// they were summed from, and the gaps between eight values are a fraction of their spread.
constexpr double flip_probability = 1e-6;
constexpr double chance = 0.01;

/// The number of flips that so many windows exceed by chance no more often than that.
double most_flips(std::int64_t windows) {
  const boost::math::poisson_distribution<> flips(flip_probability * static_cast<double>(windows));
  return boost::math::quantile(boost::math::complement(flips, chance));
}

}  // namespace

double norm_of_flips(const std::vector<std::int64_t>& windows) {
  double square = 0.0;
  for (const std::int64_t count : windows)  // a flip takes one of the gradient's elements away and adds it elsewhere
    square += 2.0 * most_flips(count) / static_cast<double>(count);
  return std::sqrt(square);
}

Difference difference(const std::string& name, const std::vector<float>& found, double scale,
                      const std::vector<float>& truth) {
  TRAINMARK_CHECK(found.size() == truth.size(), name);
  double square = 0.0, truth_square = 0.0, largest = 0.0, truth_largest = 0.0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const double error = found[i] / scale - truth[i];
    square += error * error;
    truth_square += static_cast<double>(truth[i]) * truth[i];
    // A NaN must not get lost in a maximum.
    if (std::isnan(error) || std::fabs(error) > largest) largest = std::fabs(error);
    if (std::isnan(largest)) break;
    truth_largest = std::max(truth_largest, static_cast<double>(std::fabs(truth[i])));
  }
  const auto over = [](double part, double whole) { return part == 0.0 ? 0.0 : part / whole; };
  return {.tensor = name,
          .norm = over(std::sqrt(square), std::sqrt(truth_square)),
          .largest = over(largest, truth_largest)};
}

void agree_on_worst(const World& world, std::vector<Difference>& differences) {
  std::vector<double> figures;
  for (const Difference& each : differences) {
    // MPI's maximum of a NaN is anything.
    figures.push_back(std::isnan(each.norm) ? INFINITY : each.norm);
    figures.push_back(std::isnan(each.largest) ? INFINITY : each.largest);
    figures.push_back(std::isnan(each.rounding) ? 0.0 : each.rounding);
  }
  world.all().max(figures);
  for (std::size_t i = 0; i < differences.size(); ++i) {
    differences[i].norm = figures[3 * i];
    differences[i].largest = figures[3 * i + 1];
    differences[i].rounding = figures[3 * i + 2];
  }
}

void note_rounding(std::vector<Difference>& differences, const std::vector<Difference>& rounding) {
  for (std::size_t i = 0; i < differences.size(); ++i)
    differences[i].rounding = rounding.at(i).norm;
}

void print(Progress& progress, std::vector<Difference> differences) {
  std::ranges::stable_sort(differences, std::greater(), &Difference::norm);
  const bool rounded = std::ranges::any_of(differences, [](const Difference& each) { return each.rounding > 0.0; });
  progress.line(fmt::format("  {:<44} {:>12} {:>12}{}", "tensor", "norm", "largest", rounded ? "   CPU's norm" : ""));
  for (std::size_t i = 0; i < std::min(shown, differences.size()); ++i) {
    const Difference& each = differences[i];
    progress.line(fmt::format("  {:<44} {:>12.3e} {:>12.3e}{}", each.tensor, each.norm, each.largest,
                              rounded ? fmt::format(" {:>12.3e}", each.rounding) : ""));
  }
}

RunOutcome judged(const std::vector<Difference>& differences, Precision precision, const std::string& agreed,
                  bool rounds, Progress& progress) {
  const Tolerance tolerance = tolerance_of(precision);
  const auto bad = std::ranges::count_if(differences, [&](const Difference& each) {
    const double explained = precision == Precision::fp32 ? each.flips : luck * each.rounding;
    return !(each.norm <= std::max(bound_of(tolerance, each.kind), explained));
  });
  RunOutcome outcome;
  outcome.code = bad == 0 ? ExitCode::success : ExitCode::communication;
  outcome.verdict = bad == 0 ? agreed : fmt::format("{} tensors differ by more than rounding", bad);
  progress.line(
      fmt::format("check: {} (norms up to {:g} forward, {:g} backward and {:g} of the update are {}'s rounding{})",
                  outcome.verdict, tolerance.forward, tolerance.backward, tolerance.update, word(precision),
                  rounds ? ", or up to twice the CPU's" : ""));
  return outcome;
}

}  // namespace trainmark
