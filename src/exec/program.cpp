// A compiled graph with its memory and recordings. Addresses are baked into recordings, so recording waits until the
// memory that programs share has its final size.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "exec/plan.hpp"
#include "exec/schedule.hpp"
#include "exec/slots.hpp"
#include "exec/timed_plan.hpp"

namespace trainmark {
namespace {

/// What a step has come to, in host memory that the device writes at the step's end: the host reads one step's while
/// the next one runs.
struct Told {
  float loss = 0.0F;
  LossScale scale;
};
/// (loss, scale, loss in host memory, scale in host memory); without the scales where there is none.
class TellHost final : public Plan {
 public:
  explicit TellHost(Backend& backend) : backend_(backend) {}
  void execute(Stream& stream, std::span<void* const> args) override {
    const std::size_t values = args.size() / 2;
    backend_.copy_to_host(stream, args[values], args[0], sizeof(Told::loss));
    if (values > 1) backend_.copy_to_host(stream, args[values + 1], args[1], sizeof(Told::scale));
  }

 private:
  Backend& backend_;
};

}  // namespace

static_assert(step_state_bytes(3) == static_cast<std::size_t>(step_state_extent(3)),
              "graphs and backends must agree on the size of step_state");
static_assert(sizeof(LossScale) == static_cast<std::size_t>(loss_scale_extent) &&
                  sizeof(UpdateCount) == static_cast<std::size_t>(update_count_extent),
              "graphs and backends must agree on the sizes of loss_scale and update_count");

struct Program::Impl {
  Impl(Backend& owner, Graph source, ModelState& model, const Collectives& collectives,
       std::shared_ptr<InputSlots> memory, Options options)
      : backend(owner),
        state(model),
        slots(std::move(memory)),
        planned(plan_graph(owner, std::move(source), collectives, options)),
        overlap(options.overlap),
        timed(options.timed),
        capture(options.capture),
        tell(owner),
        told(&owner.pinned_memory()) {
    const Graph& graph = planned.graph;
    for (std::size_t id = 0; id < graph.tensors.size(); ++id) {
      if (graph.tensors[id].role == Role::parameter) require_known(graph.tensors[id], state.entries());
      if (graph.tensors[id].role == Role::statistic) require_known(graph.tensors[id], state.statistics());
      if (graph.tensors[id].role != Role::input) continue;
      inputs.push_back(static_cast<TensorId>(id));
      slots->want_input(graph.tensors[id].name, planned.bytes[id]);
    }
    slots->want_pool(planned.memory.pool_bytes);
    for (std::size_t at = 0; at < graph.nodes.size(); ++at) {
      const Lane lane = graph.nodes[at].lane;
      std::size_t& largest = scratch.at(static_cast<std::size_t>(lane));
      largest = std::max(largest, planned.plans[at].scratch_bytes);
      slots->want_scratch(lane, largest);
    }
  }

  /// A program reads the state's arenas by its graph's offsets: they must be those of the state's own graph.
  static void require_known(const Tensor& tensor, const std::vector<ModelState::Entry>& entries) {
    const auto found = std::ranges::find(entries, tensor.name, &ModelState::Entry::name);
    TRAINMARK_CHECK(found != entries.end() && found->offset == tensor.offset && found->shape == tensor.shape,
                    fmt::format("{} is not a tensor of this state", tensor.name));
  }

  [[nodiscard]] void* address(TensorId id, int slot) const {
    const auto at = static_cast<std::size_t>(id);
    const Tensor& tensor = planned.graph.tensors.at(at);
    switch (tensor.role) {
      case Role::input:
        return slots->input(slot, tensor.name);
      case Role::activation:
        return slots->pool() + planned.memory.offset.at(at);
      case Role::parameter:
        return state.parameters() + tensor.offset;
      case Role::gradient:
        return state.gradients() + tensor.offset;
      case Role::metric:
        return state.metrics();
      case Role::scaler:
        return state.scaler();
      case Role::counter:
        return state.data(Space::update_count);
      case Role::statistic:
        return state.statistic_values() + tensor.offset;
    }
    return nullptr;
  }

  [[nodiscard]] std::vector<void*> arguments(std::size_t at, int slot) const {
    const Node& node = planned.graph.nodes[at];
    std::vector<void*> args;
    const std::vector<ArenaUse> uses = arena_uses(node.op);
    for (const ArenaUse& use : uses)
      args.push_back(state.data(use));
    for (const auto* operands : {&node.inputs, &node.outputs}) {
      for (const TensorId id : *operands) {
        const bool gradient = planned.graph.tensors.at(static_cast<std::size_t>(id)).role == Role::gradient;
        if (uses.empty() || !gradient) args.push_back(address(id, slot));
      }
    }
    if (planned.plans[at].scratch_bytes > 0) args.push_back(slots->scratch(node.lane));
    return args;
  }

  void record() {
    if (recorded) return;
    slots->fix();
    const Graph& graph = planned.graph;
    auto waits = waits_of(graph, accesses_of(graph, planned.memory, planned.bytes));
    for (std::size_t at = 1; at < graph.nodes.size() && !overlap; ++at)
      if (graph.nodes[at].lane != graph.nodes[at - 1].lane) waits[at] = {static_cast<int>(at) - 1};
    const bool trains =
        std::ranges::any_of(graph.nodes, [](const Node& n) { return std::holds_alternative<Update>(n.op); });
    if (trains) told.resize(InputSlots::count);
    for (int slot = 0; slot < InputSlots::count; ++slot) {
      std::vector<Launch>& list = launches.at(static_cast<std::size_t>(slot));
      for (std::size_t at = 0; at < graph.nodes.size(); ++at) {
        const Node& node = graph.nodes[at];
        Plan* plan = planned.plans[at].plan.get();
        if (timed) plan = &timers.at(static_cast<std::size_t>(slot)).emplace_back(*plan, backend);
        list.push_back({plan, arguments(at, slot), node.lane, waits[at], node.name});
      }
      std::vector<Launch> step = list;
      if (trains) step.push_back(telling(slot));
      replays.at(static_cast<std::size_t>(slot)) =
          capture ? backend.record(std::move(step)) : backend.record_streamed(std::move(step));
    }
    recorded = true;
  }

  /// The last launch of a step in this slot.
  [[nodiscard]] Launch telling(int slot) {
    const std::vector<Node>& nodes = planned.graph.nodes;
    Launch launch{&tell, {state.gradients() + state.parameter_elements()}, Lane::compute, {}, "tell host"};
    Told& to = told.at(static_cast<std::size_t>(slot));
    if (state.scales_loss()) launch.args.push_back(state.scaler());
    launch.args.push_back(&to.loss);
    if (state.scales_loss()) launch.args.push_back(&to.scale);
    for (std::size_t at = nodes.size(); at-- > 0 && launch.waits.empty();)
      if (nodes[at].lane != Lane::compute) launch.waits = {static_cast<int>(at)};
    return launch;
  }

  /// Whether a later node of the step writes where this tensor lies.
  [[nodiscard]] bool overwritten(TensorId id) const {
    const auto& offset = planned.memory.offset;
    const auto own = static_cast<std::size_t>(id);
    bool produced = false;
    for (const Node& node : planned.graph.nodes) {
      for (const TensorId output : node.outputs) {
        const auto other = static_cast<std::size_t>(output);
        if (produced && offset[other] >= 0 &&
            offset[own] < offset[other] + static_cast<std::int64_t>(planned.bytes[other]) &&
            offset[other] < offset[own] + static_cast<std::int64_t>(planned.bytes[own])) {
          return true;
        }
      }
      produced = produced || std::ranges::find(node.outputs, id) != node.outputs.end();
    }
    return false;
  }

  /// A tensor of slot 0 that a step has left, once the step has ended.
  [[nodiscard]] std::pair<TensorDesc, void*> at_rest(std::string_view tensor) {
    record();
    const TensorId id = planned.graph.find(tensor);
    const TensorDesc& desc = planned.tensors[static_cast<std::size_t>(id)];
    TRAINMARK_CHECK(desc.dtype == DType::f32 || desc.dtype == DType::bf16 || desc.dtype == DType::f16, tensor);
    if (planned.graph.tensors[static_cast<std::size_t>(id)].role == Role::activation) {
      TRAINMARK_CHECK(!overwritten(id), fmt::format("{} is gone by the end of a step", tensor));
    }
    backend.stream(Lane::compute).synchronize();
    return {desc, address(id, 0)};
  }

  Backend& backend;
  ModelState& state;
  std::shared_ptr<InputSlots> slots;
  PlannedGraph planned;
  bool overlap, timed, capture;
  std::array<std::deque<TimedPlan>, InputSlots::count> timers;  // by node, where launches are timed
  TellHost tell;
  std::pmr::vector<Told> told;  ///< by slot, where the graph updates parameters
  std::vector<TensorId> inputs;
  std::array<std::size_t, InputSlots::lanes> scratch{};
  std::array<std::vector<Launch>, InputSlots::count> launches;
  std::array<std::unique_ptr<Replay>, InputSlots::count> replays;
  bool recorded = false;
};

Program::Program(Backend& backend, Graph graph, ModelState& state, const Collectives& collectives,
                 std::shared_ptr<InputSlots> slots, Options options)
    : impl_(std::make_unique<Impl>(backend, std::move(graph), state, collectives, std::move(slots), options)) {}
Program::~Program() = default;
Program::Program(Program&&) noexcept = default;

UploadTimes Program::upload(int slot, std::span<const std::span<const std::byte>> inputs) {
  impl_->record();
  TRAINMARK_CHECK(inputs.size() == impl_->inputs.size(), fmt::format("{} inputs", inputs.size()));
  const auto at = static_cast<std::size_t>(slot);
  Stream& stream = impl_->backend.stream(Lane::copy);
  impl_->slots->used.at(at)->make_wait(stream);
  impl_->slots->upload_begun->record(stream);
  for (std::size_t index = 0; index < inputs.size(); ++index) {
    const TensorId id = impl_->inputs[index];
    TRAINMARK_CHECK(inputs[index].size() == impl_->planned.bytes[static_cast<std::size_t>(id)],
                    impl_->planned.graph.tensors[static_cast<std::size_t>(id)].name);
    impl_->backend.copy_to_device(stream, impl_->address(id, slot), inputs[index].data(), inputs[index].size());
  }
  impl_->slots->uploaded.at(at)->record(stream);
  stream.synchronize();
  return impl_->slots->upload_times(slot);
}

void Program::step(int slot) {
  impl_->record();
  const auto at = static_cast<std::size_t>(slot);
  Stream& stream = impl_->backend.stream(Lane::compute);
  impl_->slots->uploaded.at(at)->make_wait(stream);
  impl_->slots->step_begun.at(at)->record(stream);
  impl_->replays.at(at)->launch();
  impl_->slots->used.at(at)->record(stream);
  impl_->slots->last_used = impl_->slots->used.at(at).get();
}

std::optional<StepTimes> Program::times(int slot) const {
  if (!impl_->recorded) return std::nullopt;
  const auto at = static_cast<std::size_t>(slot);
  const auto seconds = impl_->slots->used.at(at)->seconds_since(*impl_->slots->step_begun.at(at));
  if (!seconds) return std::nullopt;
  const auto exposed = impl_->replays.at(at)->exposed_seconds();
  if (!exposed) return std::nullopt;
  return StepTimes{*seconds, std::clamp(*exposed, 0.0, *seconds)};
}

StepResult Program::result(int slot) const {
  const auto at = static_cast<std::size_t>(slot);
  TRAINMARK_CHECK(at < impl_->told.size(), "only what updates parameters has results");
  // By way of the lane that an upload into this slot would wait on; the compute lane has later steps in it.
  Stream& stream = impl_->backend.stream(Lane::copy);
  impl_->slots->used.at(at)->make_wait(stream);
  stream.synchronize();
  const Told& told = impl_->told[at];
  return {told.loss, impl_->state.scales_loss() ? std::optional(told.scale) : std::nullopt};
}

std::span<const Launch> Program::launches(int slot) const noexcept {
  return impl_->launches[static_cast<std::size_t>(slot)];
}

std::optional<LaunchTimes> Program::times(int slot, std::size_t at) const {
  const auto index = static_cast<std::size_t>(slot);
  if (at >= impl_->timers.at(index).size()) return std::nullopt;
  const TimedPlan& timer = impl_->timers[index][at];
  const StreamEvent& start = *impl_->slots->step_begun.at(index);
  const std::optional<double> begin = timer.begun().seconds_since(start), end = timer.ended().seconds_since(start);
  if (!begin || !end) return std::nullopt;
  return LaunchTimes{*begin, *end};
}

const Graph& Program::graph() const noexcept { return impl_->planned.graph; }
const MemoryPlan& Program::memory() const noexcept { return impl_->planned.memory; }
std::size_t Program::scratch_bytes() const noexcept {
  std::size_t total = 0;
  for (const std::size_t bytes : impl_->scratch)
    total += bytes;
  return total;
}

std::vector<float> Program::read(std::string_view tensor) const {
  const auto [desc, address] = impl_->at_rest(tensor);
  std::vector<float> values(static_cast<std::size_t>(desc.shape.elements()));
  impl_->backend.to_logical(desc, address, values.data());
  return values;
}

void Program::write(std::string_view tensor, std::span<const float> values) {
  const auto [desc, address] = impl_->at_rest(tensor);
  TRAINMARK_CHECK(std::ssize(values) == desc.shape.elements(), tensor);
  impl_->backend.from_logical(desc, values.data(), address);
}

void Program::execute(std::size_t at) {
  const Launch& launch = impl_->launches.front().at(at);
  Stream& stream = impl_->backend.stream(launch.lane);
  launch.plan->execute(stream, launch.args);
  stream.synchronize();
}

Profile Program::profile(int slot) {
  impl_->record();
  return impl_->backend.profile(impl_->launches.at(static_cast<std::size_t>(slot)));
}

}  // namespace trainmark
