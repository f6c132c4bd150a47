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

/// Element by element between fp32 and the type of `desc`.
template <class From, class To>
void convert(const TensorDesc& desc, const void* from, void* to, To (*bf16)(From), To (*f16)(From)) {
  const auto count = static_cast<std::size_t>(desc.shape.elements());
  if (desc.dtype == DType::f32) {
    std::memcpy(to, from, count * sizeof(float));
    return;
  }
  TRAINMARK_CHECK(desc.dtype == DType::bf16 || desc.dtype == DType::f16, name_of(desc.dtype));
  for (std::size_t at = 0; at < count; ++at) {
    From value{};
    std::memcpy(&value, static_cast<const std::byte*>(from) + at * sizeof(From), sizeof(From));
    const To converted = desc.dtype == DType::bf16 ? bf16(value) : f16(value);
    std::memcpy(static_cast<std::byte*>(to) + at * sizeof(To), &converted, sizeof(To));
  }
}

}  // namespace

void NullBackend::to_logical(const TensorDesc& desc, const void* from, float* to) {
  convert<std::uint16_t, float>(desc, from, to, from_bf16, from_f16);
}

void NullBackend::from_logical(const TensorDesc& desc, const float* from, void* to) {
  convert<float, std::uint16_t>(desc, from, to, to_bf16, to_f16);
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

std::unique_ptr<Backend> make_null_backend() { return std::make_unique<NullBackend>(); }

}  // namespace trainmark
