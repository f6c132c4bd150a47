// A results folder to a report in all its forms. What it must raise is Error{usage}; what it writes for programs must
// be JSON without NaN; and the terms of the clock must add up to the clock.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fuzz/fuzz.hpp"
#include "trainmark/report.hpp"

namespace trainmark::fuzz {
namespace {

constexpr std::array<std::string_view, 4> companions = {"run.json", "epochs.csv", "staging.json", "ranks.csv"};

constexpr std::string_view run_json = R"(
=== run.json
{"status": "success", "labels": ["generated data"], "figures": {"ranks": 2, "steps": 40, "step_median_s": 0.25,
 "samples_per_s": 64.5, "upload_s": 0.5, "upload_exposed_s": 0.125, "train_loss": 0.5}})";
constexpr std::string_view epochs_csv = R"(
=== epochs.csv
epoch,steps,train_s,eval_s,samples_per_s,wait_for_input_s,metric
1,10,2.5,0.5,64,0.25,0.5
2,10,2.25,0.5,65,0.125,0.25
)";
constexpr std::string_view staging_json = R"(
=== staging.json
{"splits": {"train": {"total_s": 1.5, "nodes": [{"host": "a", "copied_bytes": 1048576}]}, "validation": {"total_s": 0.5, "nodes": []}}})";
constexpr std::string_view ranks_csv = R"csv(
=== ranks.csv
rank,host,step_median_s,exposed_input_p50_s,exposed_input_p99_s,exposed_upload_p50_s,exposed_upload_p99_s,compute_p50_s,compute_p99_s,exposed_all_reduce_p50_s,exposed_all_reduce_p99_s,host_p50_s,host_p99_s,last_by
0,a,0.25,0.01,0.02,0.001,0.002,0.2,0.21,0.03,0.04,0.001,0.002,"compute"
1,b,0.25,0.01,0.02,0.001,0.002,0.22,0.23,0.01,0.02,0.001,0.002,"compute (throttled by heat, power)"
)csv";

std::vector<Seed> seeds() {
  std::vector<Seed> all = seeds_in("tests/golden/logs");
  const std::size_t logs = all.size();
  for (std::size_t i = 0; i < logs; ++i)
    all.push_back({fmt::format("{}{}{}{}{}", all[i].bytes, run_json, epochs_csv, staging_json, ranks_csv)});
  return all;
}

void check(const RunReport& run, const std::string& json, const std::string& html) {
  require(nlohmann::json::accept(json), "the report is JSON", json);
  const auto has_none_of = [](const std::string& text, std::initializer_list<std::string_view> words,
                              std::string_view promise) {
    for (const std::string_view word : words)
      if (const std::size_t at = text.find(word); at != std::string::npos)
        fail(promise, text.substr(at - std::min<std::size_t>(at, 80), 160));
  };
  has_none_of(json, {": nan", ": inf", ": -nan", ": -inf"}, "no number of the report is NaN or infinite");
  has_none_of(html, {"=\"nan", "=\"-nan", "=\"inf", "=\"-inf"}, "every mark of a plot has a place");
  if (!std::isfinite(run.run_s)) return;
  require(std::abs(run.terms.sum() - run.run_s) <= 1e-6 * std::max(1.0, std::abs(run.run_s)),
          "terms add up to the clock", fmt::format("{} and {}", run.terms.sum(), run.run_s));
  double reached = 0.0;
  for (const TimeStretch& each : run.stretches) {
    require(each.end_s > each.begin_s && (each.begin_s < 0.0 || each.begin_s == reached), "stretches follow each other",
            fmt::format("{} from {} to {}, after {}", each.term, each.begin_s, each.end_s, reached));
    if (each.begin_s >= 0.0) reached = each.end_s;
  }
  require(std::abs(reached - run.run_s) <= 1e-6 * std::max(1.0, std::abs(run.run_s)), "stretches end with the clock",
          fmt::format("{} and {}", reached, run.run_s));
}

}  // namespace

const Target& target() {
  static const Target target{"report", true, seeds};
  return target;
}

}  // namespace trainmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trainmark;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto log = fuzz::scratch() / "mlperf.log";
  fuzz::write_file(log, fuzz::part_of(input, ""));
  for (const std::string_view name : fuzz::companions) {
    std::filesystem::remove(fuzz::scratch() / name);
    if (const std::string_view part = fuzz::part_of(input, name); !part.empty())
      fuzz::write_file(fuzz::scratch() / name, part);
  }
  try {
    for (const RunReport& run : report_runs(log)) {
      const std::vector<RunReport> runs(3, run);
      for (const std::size_t count : {std::size_t{1}, runs.size()}) {
        const auto some = std::span(runs).first(count);
        static_cast<void>(render_text(some));
        static_cast<void>(render_csv(some));
        fuzz::check(run, render_json(some), render_html(some));
      }
    }
  } catch (const Error& error) {
    fuzz::require(error.code() == ExitCode::usage, "a log that cannot be reported on is a mistake of usage",
                  error.what());
  }
  return 0;
}
