#include "run/record/step_log.hpp"

#include <algorithm>

namespace trainmark {
namespace {

constexpr double matters = 0.01;  // of a step

/// The term by which a rank came late to the sums of a step: what came before them is in the step.
std::size_t cause(const StepTerms& own, const StepTerms& mean) {
  StepTerms excess;
  for (const Term term : {Term::input, Term::upload, Term::compute, Term::host})
    excess[term] = own[term] - mean[term];
  excess[Term::all_reduce] = -1.0;  // who is late does not wait
  return static_cast<std::size_t>(std::ranges::max_element(excess.seconds()) - excess.seconds().begin());
}

}  // namespace

StepTerms::StepTerms(double seconds, double input_seconds, double upload_seconds, double device_seconds,
                     double all_reduce_seconds) {
  auto& self = *this;
  self[Term::input] = input_seconds;
  self[Term::upload] = upload_seconds;
  self[Term::compute] = device_seconds - all_reduce_seconds;
  self[Term::all_reduce] = all_reduce_seconds;
  const double rest = seconds - sum();
  self[rest < 0.0 ? Term::compute : Term::host] += rest;
}

Term Lateness::reason() const {
  TRAINMARK_CHECK(steps > 0, "a rank that was never late has no reason for it");
  return static_cast<Term>(std::ranges::max_element(by) - by.begin());
}

StepLog::StepLog() {
  open_.reserve(most_open);
  sums_.reserve(most_open * term_count);
  waits_.reserve(most_open);
}

void StepLog::add(double seconds, const StepTerms& step) {
  for (std::size_t at = 0; at < term_count; ++at)
    total_.seconds().at(at) += step.seconds().at(at);
  if (++steps_ == 1) {
    first_ = step;
    return;
  }
  step_.add(seconds);
  for (std::size_t at = 0; at < term_count; ++at)
    terms_.at(at).add(step.seconds().at(at));
  TRAINMARK_CHECK(!is_full(), "steps must be settled before there are too many");
  open_.push_back(step);
}

void StepLog::settle(const Group& ranks) {
  if (ranks.size() == 1) return open_.clear();
  if (!lateness_) lateness_.emplace();
  sums_.clear();
  waits_.clear();
  for (const StepTerms& step : open_) {
    sums_.insert(sums_.end(), step.seconds().begin(), step.seconds().end());
    waits_.push_back(-step[Term::all_reduce]);
  }
  ranks.sum(sums_);
  ranks.max(waits_);
  const double all = ranks.size();
  for (std::size_t at = 0; at < open_.size(); ++at) {
    const StepTerms& own = open_[at];
    StepTerms mean;
    for (std::size_t term = 0; term < term_count; ++term)
      mean.seconds().at(term) = sums_[at * term_count + term] / all;
    const double waited = own[Term::all_reduce];
    const double others = (mean[Term::all_reduce] * all - waited) / (all - 1.0);
    if (waited == -waits_[at] && others - waited > matters * mean.sum()) {
      ++lateness_->steps;
      lateness_->seconds += others - waited;
      lateness_->by.at(cause(own, mean)) += others - waited;
    }
  }
  open_.clear();
}

}  // namespace trainmark
