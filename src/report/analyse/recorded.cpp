#include "report/analyse/recorded.hpp"

#include <fmt/core.h>

#include <array>
#include <string_view>
#include <utility>

namespace trainmark::report {
namespace {

class Recorded {
 public:
  Recorded(RunReport& run, const Companions& beside) : run_(run), beside_(beside) {}
  [[nodiscard]] std::optional<double> value(std::string_view key) const {
    const auto found = beside_.figures.find(std::string(key));
    return found == beside_.figures.end() ? std::nullopt : std::optional(found->second);
  }
  [[nodiscard]] std::string text(const std::string& key) const {
    const auto found = beside_.texts.find(key);
    return found == beside_.texts.end() ? std::string() : found->second;
  }
  void add(const std::string& name, std::string_view key, const char* unit, double scale = 1.0) {
    if (const auto found = value(key)) run_.figures.push_back({name, *found * scale, unit, FigureSource::measured});
  }
  void note(std::string line) { run_.notes.push_back(std::move(line)); }

 private:
  RunReport& run_;
  const Companions& beside_;
};

void add_start_up(Recorded& of) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 8> scopes = {{{"mpi", "MPI"},
                                                                                    {"dataset", "finding the dataset"},
                                                                                    {"backend", "backend"},
                                                                                    {"planning", "planning"},
                                                                                    {"warm_up", "warm-up"},
                                                                                    {"staging", "staging"},
                                                                                    {"first_step", "first step"},
                                                                                    {"rest", "rest"}}};
  for (const auto& [key, name] : scopes)
    of.add(fmt::format("start-up, {}", name), fmt::format("startup_{}_s", key), "s");
}

void add_step_terms(Recorded& of) {
  const double steps = of.value("steps").value_or(0.0);
  if (steps <= 0.0) return;
  of.add("mean step", "steps_s", "ms", 1e3 / steps);
  for (const auto& [key, name] : step_terms)
    of.add(fmt::format("mean step, {}", name), fmt::format("{}_s", key), "ms", 1e3 / steps);
  of.add("99 % of steps within", "step_p99_s", "ms", 1e3);
  of.add("longest step", "step_max_s", "ms", 1e3);
}

void add_last_rank(Recorded& of) {
  const auto rank = of.value("last_rank"), count = of.value("last_rank_steps"), cost = of.value("last_rank_cost_s");
  if (!rank || !count || !cost) return;
  of.add("waiting for the last rank", "last_rank_cost_s", "s");
  of.note(fmt::format("rank {} on {} came last to the sums over ranks in {} steps, by {}: the others waited {:.3f} s",
                      *rank, of.text("last_rank_host"), *count, of.text("last_rank_by"), *cost));
}

void add_energy(Recorded& of) {
  of.add("energy of training", "energy_j", "J");
  of.add("energy a sample", "energy_per_sample_j", "J");
  of.add("energy to target", "energy_to_target_j", "J");
  if (of.value("energy_j"))
    of.note(fmt::format("energy by {}, from run_start to run_stop; evaluation and staging inside the clock are in it",
                        of.text("energy_source")));
}

}  // namespace

void add_recorded_figures(RunReport& run, const RunFiles& files) {
  Recorded of(run, files.beside);
  add_start_up(of);
  add_step_terms(of);
  add_last_rank(of);
  add_energy(of);
}

}  // namespace trainmark::report
