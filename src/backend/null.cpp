// A backend that does nothing, fast. What a step costs here is what the harness itself costs; a dry run plans memory
// and checks graphs with it.
#include "backend/null.hpp"

#include <utility>

#include "backend/all_reduce.hpp"
#include "backend/math.hpp"

namespace trainmark {
namespace {

class NullPlan final : public Plan {
 public:
  void execute(Stream&, std::span<void* const>) override {}
};
/// What every backend computes element by element and, if it may, over its input.
struct InPlaceOf {
  using List = std::vector<InPlace>;
  List operator()(const Activation&) const { return {{0, 0}}; }
  List operator()(const Dropout&) const { return {{0, 0}}; }
  List operator()(const Add&) const { return {{0, 0}, {0, 1}}; }
  List operator()(const NormApply&) const { return {{0, 0}}; }
  List operator()(const NormInference&) const { return {{0, 0}}; }
  List operator()(const NormBackward&) const { return {{0, 4}, {0, 0}}; }
  List operator()(const SumOverGroup&) const { return {{0, 0}}; }
  List operator()(const ActivationBackward&) const { return {{0, 1}}; }
  List operator()(const DropoutBackward&) const { return {{0, 0}}; }
  List operator()(const PoolActivationBackward&) const { return {{0, 0}}; }
  template <class Other>
  List operator()(const Other&) const {
    return {};
  }
};

}  // namespace

void NullBackend::to_logical(const TensorDesc& desc, const void* from, float* to) {
  const auto count = static_cast<std::size_t>(desc.shape.elements());
  if (desc.dtype == DType::f32) {
    std::memcpy(to, from, count * sizeof(float));
    return;
  }
  TRAINMARK_CHECK(desc.dtype == DType::bf16 || desc.dtype == DType::f16, name_of(desc.dtype));
  for (std::size_t at = 0; at < count; ++at) {
    std::uint16_t half = 0;
    std::memcpy(&half, static_cast<const std::byte*>(from) + at * sizeof(half), sizeof(half));
    to[at] = desc.dtype == DType::bf16 ? from_bf16(half) : from_f16(half);
  }
}

void NullBackend::from_logical(const TensorDesc& desc, const float* from, void* to) {
  const auto count = static_cast<std::size_t>(desc.shape.elements());
  if (desc.dtype == DType::f32) {
    std::memcpy(to, from, count * sizeof(float));
    return;
  }
  TRAINMARK_CHECK(desc.dtype == DType::bf16 || desc.dtype == DType::f16, name_of(desc.dtype));
  for (std::size_t at = 0; at < count; ++at) {
    const std::uint16_t half = desc.dtype == DType::bf16 ? to_bf16(from[at]) : to_f16(from[at]);
    std::memcpy(static_cast<std::byte*>(to) + at * sizeof(half), &half, sizeof(half));
  }
}

Planned NullBackend::plan(const Op& op, const Operands& operands) {
  Planned result{std::make_unique<NullPlan>(), operands.outputs, 0, std::visit(InPlaceOf{}, op)};
  for (TensorDesc& output : result.outputs)
    output.layout = logical_layout;
  return result;
}

std::unique_ptr<Collective> NullBackend::make_collective(const Group&, Lane) {
  return std::make_unique<SelfCollective>();
}

Profile NullBackend::profile(const std::vector<Launch>& launches) {
  Profile seconds;
  for (const Launch& launch : launches) {
    const Clock clock;
    launch.plan->execute(stream_, launch.args);
    seconds.emplace_back(launch.name, clock.seconds());
  }
  return seconds;
}

std::unique_ptr<Backend> make_null_backend() { return std::make_unique<NullBackend>(); }

}  // namespace trainmark
