// Times the update of all of a model's tensors in one pass over the arena against one pass for each tensor, by turns,
// and sets the bytes of the former beside the copy bandwidth of the same run. Prints one JSON line for each model and
// rule.
#include <fmt/core.h>

#include <map>
#include <string>

#include "measure.hpp"
#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace {

using namespace trainmark;
using namespace trainmark::bench;

struct Case {
  const char* name;
  Recipe recipe;
};
/// All of a network's parameters; activations as small as they may be.
std::vector<Case> cases() {
  const Resnet50Options resnet{.extent = 32};
  const DeepcamOptions deepcam{.rows = 32, .columns = 32};
  const CosmoflowOptions cosmoflow{.extent = 32};
  return {{"resnet50 lars", {.model = resnet, .rule = Lars{}, .schedule = {}}},
          {"resnet50 lars, premultiplied", {.model = resnet, .rule = Lars{.form = LarsForm::premultiplied}, .schedule = {}}},
          {"deepcam lamb", {.model = deepcam, .rule = Lamb{}, .schedule = {}}},
          {"deepcam adam", {.model = deepcam, .rule = Adam{}, .schedule = {}}},
          {"cosmoflow sgd", {.model = cosmoflow, .rule = SgdMomentum{}, .schedule = {}}}};
}

/// A step's program whose gradients leave in buckets of so many bytes or more: an update for each.
class Step {
 public:
  Step(Backend& backend, const World& world, const Recipe& recipe, std::int64_t bucket_bytes)
      : graph_(graphs_of(recipe, {.graph = {.local_batch = 1, .global_batch = 1}, .grouping = {.bytes = bucket_bytes}})
                   .last),
        state_(backend, graph_, slots_of(recipe.rule)),
        collective_(backend.make_collective(world.all())),
        program_(backend, graph_, state_, *collective_, make_input_slots(backend), {}) {
    state_.initialise(1);
    for (const Field& field : schema_of(recipe.model).fields)
      inputs_.emplace_back(field.bytes());
    StepState header;
    header.rate = header.previous_rate = 1e-6F;
    header.valid = 1;
    std::memcpy(inputs_.emplace_back(step_state_bytes(1)).data(), &header, sizeof header);
    const std::vector<std::span<const std::byte>> inputs(inputs_.begin(), inputs_.end());
    program_.upload(0, inputs);
    for (const Node& node : program_.graph().nodes) {
      if (!std::holds_alternative<Update>(node.op)) continue;
      ++updates;
      bytes += cost(program_.graph(), node).bytes;
      is_update_[node.name] = true;
    }
  }
  /// Of all updates of one step.
  [[nodiscard]] double update_seconds() {
    double sum = 0.0;
    for (const auto& [name, seconds] : program_.profile(0))
      if (is_update_.contains(name)) sum += seconds;
    return sum;
  }
  int updates = 0;
  std::int64_t bytes = 0;  ///< read and written by them

 private:
  Graph graph_;
  ModelState state_;
  std::unique_ptr<Collective> collective_;
  Program program_;
  std::vector<std::vector<std::byte>> inputs_;
  std::map<std::string, bool> is_update_;
};

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::stoi(argv[1]) : 2;
  const Mpi mpi(argc, argv);
  const auto backend = make_cpu_backend(threads, false);
  const double bandwidth = copy_bandwidth(threads);
  for (const Case& each : cases()) {
    Step together(*backend, mpi.world(), each.recipe, std::int64_t{1} << 40);
    Step one_by_one(*backend, mpi.world(), each.recipe, 1);
    std::vector<double> batched, looped, ratios;
    for (int round = 0; round < 11; ++round) {
      batched.push_back(together.update_seconds());
      looped.push_back(one_by_one.update_seconds());
      ratios.push_back(looped.back() / batched.back());
    }
    fmt::print(
        "{{\"update\": \"{}\", \"threads\": {}, \"passes\": {}, \"passes_one_by_one\": {}, \"median_ms\": {:.3f}, "
        "\"one_by_one_median_ms\": {:.3f}, \"ratio_median\": {:.2f}, \"ratio_min\": {:.2f}, \"ratio_max\": {:.2f}, "
        "\"copy_bandwidth_share\": {:.2f}, \"copy_gb_per_s\": {:.1f}}}\n",
        each.name, threads, together.updates, one_by_one.updates, 1e3 * median(batched), 1e3 * median(looped),
        median(ratios), *std::min_element(ratios.begin(), ratios.end()),
        *std::max_element(ratios.begin(), ratios.end()),
        static_cast<double>(together.bytes) / bandwidth / median(batched), bandwidth * 1e-9);
  }
  return 0;
}
