// Many runs told apart: which are of one configuration, and what to call them.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "trainmark/report.hpp"

namespace trainmark::report {

/// Runs of one configuration.
struct Group {
  std::string name;  ///< by what differs from the other groups: "128 ranks, batch 512, bf16"
  std::vector<const RunReport*> runs;
  [[nodiscard]] const RunReport& first() const { return *runs.front(); }
};
/// By workload, number of processes and batch; else in the order given.
[[nodiscard]] std::vector<Group> group_runs(std::span<const RunReport> runs);

/// Runs whose scale may be compared: of one workload, network, division, organisation, precision and number of threads,
/// whose gradients travel in the same form.
[[nodiscard]] std::string series_of(const RunReport& run);

/// A short name for each run: its path without the folders and the file name that all share.
[[nodiscard]] std::vector<std::string> short_names(std::span<const RunReport> runs);

/// Runs whose epochs to the target may be compared: of one workload, training set, network and target.
[[nodiscard]] std::string task_of(const RunReport& run);

/// What series_of and task_of are made of, by name: "threads", "model/extent".
using Traits = std::map<std::string, std::string>;
[[nodiscard]] Traits series_traits(const RunReport& run);
[[nodiscard]] Traits task_traits(const RunReport& run);
/// The names whose values are not the same in all.
[[nodiscard]] std::vector<std::string> differing(std::span<const Traits> all);
/// "not told" where there is none.
[[nodiscard]] std::string value_in(const Traits& traits, const std::string& name);

/// A figure of each run that has it.
[[nodiscard]] std::vector<double> figures_of(const Group& group, std::string_view name);
/// The same of each run that aimed at a target and came to an end: infinity for those that missed it, as scores of the
/// rules count them. What is not above 0 is none.
[[nodiscard]] std::vector<double> outcomes_of(const Group& group, std::string_view name);
/// Of outcomes: the mean without the least and the most from three on, else the plain one. None where a run off target
/// is left in.
[[nodiscard]] std::optional<double> mean_outcome(std::vector<double> outcomes);
/// The score of a group: as olympic_score, for runs that are of one configuration already.
[[nodiscard]] OlympicScore score_of(const Group& group, bool instances);

}  // namespace trainmark::report
