// Where steps spent their time, and which ranks the others waited for. Memory is bounded, a step allocates nothing.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "run/record/distribution.hpp"
#include "run/record/step_terms.hpp"
#include "trainmark/comm.hpp"

namespace trainmark {

/// In how many steps a rank came last to the sums over ranks, by so much that it matters: 1 % of a step.
struct Lateness {
  std::int64_t steps = 0;
  double seconds = 0.0;                 ///< that the others waited for it, on the average of them
  std::array<double, term_count> by{};  ///< of `seconds`: by the term in which it was furthest above the ranks' mean
  [[nodiscard]] Term reason() const;    ///< with most seconds; contract: steps > 0
};

class StepLog {
 public:
  StepLog();
  /// The first step stands apart: it is in no distribution, and nobody is late in it.
  void add(double seconds, const StepTerms& step);
  static constexpr std::int64_t most_open = 1024;  ///< steps between two calls of settle()
  /// Whether settle() must come before the next step. Ranks that look at a step at different times learn it at
  /// different times.
  [[nodiscard]] bool is_full() const noexcept { return std::ssize(open_) == most_open; }
  /// Collective: finds out who was late in the steps since the last call. A rank alone is told of none.
  void settle(const Group& ranks);

  [[nodiscard]] const Distribution& step() const noexcept { return step_; }
  [[nodiscard]] const Distribution& of(Term term) const { return terms_.at(static_cast<std::size_t>(term)); }
  [[nodiscard]] const StepTerms& first() const noexcept { return first_; }
  [[nodiscard]] const StepTerms& total() const noexcept { return total_; }  ///< of all steps, the first included
  /// Empty where there was no other rank.
  [[nodiscard]] const std::optional<Lateness>& lateness() const noexcept { return lateness_; }

 private:
  std::int64_t steps_ = 0;
  StepTerms first_, total_;
  Distribution step_;
  std::array<Distribution, term_count> terms_;
  std::vector<StepTerms> open_;  // not settled yet
  std::optional<Lateness> lateness_;
  std::vector<double> sums_, waits_;
};

}  // namespace trainmark
