#include "run/launch/differences.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace trainmark {
namespace {

constexpr std::size_t shown = 10;

/// What rounding explains, as the norm of the difference over the norm of the truth. Of an operation by itself, on
/// operands that are equal to the bit, it is little. In a step one operation's rounding is the next one's operand:
/// where two values of a pooling window round to the same, another one may win, and a position may come to the other
/// side of a ReLU's corner; its gradient then goes elsewhere, or nowhere. How much that makes depends on the network,
/// and is computed beside it.
struct Tolerance {
  double alone = 0.0, forward = 0.0, backward = 0.0, update = 0.0;
};
Tolerance tolerance_of(Precision precision) {
  if (precision == Precision::bf16) return {4e-3, 0.05, 0.05, 0.05};
  if (precision != Precision::fp32) return {1e-3, 0.01, 0.15, 0.1};
  return {1e-4, 1e-4, 1e-3, 1e-3};
}
double bound_of(const Tolerance& tolerance, Kind kind) {
  switch (kind) {
    case Kind::alone:
      return tolerance.alone;
    case Kind::forward:
      return tolerance.forward;
    case Kind::backward:
      return tolerance.backward;
    case Kind::update:
      break;
  }
  return tolerance.update;
}

/// An implementation may have bad luck where a few draws have not. What is wrong by less shows where each operation is
/// looked at by itself.
constexpr double luck = 3.0;

/// Of this rank alone: another one's rounding explains nothing.
double unexplained_of(const Difference& each) {
  if (each.unexplained) return *each.unexplained;
  return std::isfinite(each.norm) && each.norm <= luck * each.rounding ? 0.0 : each.norm;
}

}  // namespace

double bound_alone(Precision precision) { return tolerance_of(precision).alone; }

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
  constexpr std::size_t each_has = 4;
  std::vector<double> figures;
  for (const Difference& each : differences) {
    // MPI's maximum of a NaN is anything.
    figures.push_back(std::isnan(each.norm) ? INFINITY : each.norm);
    figures.push_back(std::isnan(each.largest) ? INFINITY : each.largest);
    figures.push_back(std::isnan(each.rounding) ? 0.0 : each.rounding);
    const double unexplained = unexplained_of(each);
    figures.push_back(std::isnan(unexplained) ? INFINITY : unexplained);
  }
  world.all().max(figures);
  for (std::size_t i = 0; i < differences.size(); ++i) {
    differences[i].norm = figures[each_has * i];
    differences[i].largest = figures[each_has * i + 1];
    differences[i].rounding = figures[each_has * i + 2];
    differences[i].unexplained = figures[each_has * i + 3];
  }
}

void note_rounding(std::vector<Difference>& differences, const std::vector<Difference>& rounding) {
  for (std::size_t i = 0; i < differences.size(); ++i)
    if (std::isfinite(rounding.at(i).norm))  // what failed explains nothing
      differences[i].rounding = std::max(differences[i].rounding, rounding[i].norm);
}

void print(Progress& progress, std::vector<Difference> differences) {
  std::ranges::stable_sort(differences, std::greater(), &Difference::norm);
  const bool rounded = std::ranges::any_of(differences, [](const Difference& each) { return each.rounding > 0.0; });
  progress.line(fmt::format("  {:<44} {:>12} {:>12}{}", "tensor", "norm", "largest", rounded ? "     rounding" : ""));
  for (std::size_t i = 0; i < std::min(shown, differences.size()); ++i) {
    const Difference& each = differences[i];
    progress.line(fmt::format("  {:<44} {:>12.3e} {:>12.3e}{}", each.tensor, each.norm, each.largest,
                              !rounded                    ? ""
                              : std::isinf(each.rounding) ? "   not judged"
                                                          : fmt::format(" {:>12.3e}", each.rounding)));
  }
}

RunOutcome judged(const std::vector<Difference>& differences, Precision precision, const std::string& agreed,
                  Progress& progress) {
  const Tolerance tolerance = tolerance_of(precision);
  const auto bad = std::ranges::count_if(
      differences, [&](const Difference& each) { return !(unexplained_of(each) <= bound_of(tolerance, each.kind)); });
  const bool alone = std::ranges::any_of(differences, [](const auto& each) { return each.kind == Kind::alone; });
  RunOutcome outcome;
  outcome.code = bad == 0 ? ExitCode::success : ExitCode::communication;
  outcome.verdict = bad == 0 ? agreed : fmt::format("{} tensors differ by more than rounding", bad);
  progress.line(
      fmt::format("check: {} (norms up to {}{:g} forward, {:g} backward and {:g} of the update are {}'s rounding, or "
                  "three times what it "
                  "makes where the truth comes from)",
                  outcome.verdict, alone ? fmt::format("{:g} of an operation by itself, ", tolerance.alone) : "",
                  tolerance.forward, tolerance.backward, tolerance.update, word(precision)));
  return outcome;
}

}  // namespace trainmark
