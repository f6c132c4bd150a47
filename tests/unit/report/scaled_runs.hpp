// Runs at several scales, and what is asked of them, for the report's tests.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "report/analyse/what_if.hpp"

namespace trainmark::report_test {

struct Scaled {
  double nodes, ranks, batch, rate, epochs, staging_s, evaluation_s, time_s;
};

/// A closed CosmoFlow run of full extent.
inline RunReport run_of(const Scaled& run, int copy = 0) {
  RunReport report;
  report.path = fmt::format("n{}/r{}/mlperf.log", run.nodes, copy);
  report.benchmark = "cosmoflow";
  report.division = "closed";
  report.configuration = fmt::format("[{}, {}]", run.ranks, run.batch);
  report.facts.nodes = run.nodes;
  report.facts.processes = run.ranks;
  report.facts.batch_samples = run.batch;
  report.facts.train_samples = 524288;
  report.facts.evaluation_samples = 65536;
  report.facts.sample_bytes = 16777232;
  report.target_met = true;
  report.terms.staging_s = run.staging_s;
  report.figures = {{"time to train", run.time_s, "s", FigureSource::logged},
                    {"samples/s median epoch", run.rate, "1/s", FigureSource::logged},
                    {"epochs to target", run.epochs, "", FigureSource::logged}};
  report.terms.evaluation_s = run.epochs * run.evaluation_s;
  EpochReport all;
  all.whole = true;
  all.epochs = static_cast<int>(run.epochs);
  report.epochs = {all};
  return report;
}

inline const report::Predicted& figure_in(const report::WhatIfAnswer& answer, std::string_view name) {
  for (const report::Predicted& each : answer.figures)
    if (each.name == name) return each;
  throw std::runtime_error("no figure " + std::string(name));
}
inline double value_in(const report::WhatIfAnswer& answer, std::string_view name,
                       std::optional<double> report::Predicted::*part) {
  return (figure_in(answer, name).*part).value();
}
inline bool remarks_say(const report::WhatIfAnswer& answer, std::string_view words) {
  return std::ranges::any_of(answer.remarks, [&](const auto& each) { return each.find(words) != std::string::npos; });
}

inline report::WhatIfAnswer ask(const std::vector<RunReport>& runs, std::string_view question) {
  const std::vector<report::Group> groups = report::group_runs(runs);
  return answer(parse_what_if(question), report::scale_rows(groups, {}), {});
}

}  // namespace trainmark::report_test
