// What the harness itself costs a step: a full CosmoFlow step on the backend that does nothing. Prints one JSON line.
#include <fmt/core.h>

#include <algorithm>

#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

int main(int argc, char** argv) {
  using namespace trainmark;
  const Mpi mpi(argc, argv);
  const World& world = mpi.world();
  const auto backend = make_null_backend();
  CosmoflowOptions model;
  model.extent = 32;
  const Recipe recipe{.model = model, .rule = {}, .schedule = {}};
  Graph graph = graphs_of(recipe, {}).last;
  ModelState state(*backend, graph, slots_of(recipe.rule));
  const auto collective = backend->make_collective(world.all());
  Program program(*backend, std::move(graph), state, *collective, make_input_slots(*backend), {});
  std::vector<std::vector<std::byte>> fields = {std::vector<std::byte>(data_schema(model).fields[0].bytes()),
                                                std::vector<std::byte>(16),
                                                std::vector<std::byte>(step_state_bytes(1))};
  const std::vector<std::span<const std::byte>> inputs(fields.begin(), fields.end());
  std::vector<double> seconds;
  constexpr int steps = 1000;
  for (int repetition = 0; repetition < 11; ++repetition) {
    const Clock clock;
    for (int step = 0; step < steps; ++step) {
      program.upload(step & 1, inputs);
      program.step(step & 1);
    }
    seconds.push_back(clock.seconds() / steps);
  }
  std::sort(seconds.begin(), seconds.end());
  fmt::print("{{\"program\": \"trainmark null backend\", \"launches\": {}, \"step_median_us\": {:.2f}}}\n",
             program.graph().nodes.size(), 1e6 * seconds[seconds.size() / 2]);
  return 0;
}
