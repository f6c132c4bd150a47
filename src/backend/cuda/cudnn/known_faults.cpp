#include "backend/cuda/cudnn/known_faults.hpp"

#include <algorithm>

namespace trainmark::cuda {
namespace {

/// From `first` on, before `fixed`.
struct Versions {
  std::size_t first, fixed;
  [[nodiscard]] bool hold(std::size_t version) const { return first <= version && version < fixed; }
};
// PyTorch keeps the same lists: issue 163539 with pull request 166480 (16 bit), pull request 167024 (TF32).
constexpr Versions volumes_in_16_bits = {90800, 91500};
constexpr Versions volumes_in_tf32 = {91002, 91600};

}  // namespace

std::string known_fault(std::size_t version, const GraphSpec& spec) {
  const auto* graph = std::get_if<ConvGraph>(&spec);
  const bool volume = graph != nullptr && graph->conv.kernel.size() == 3 && std::ranges::max(graph->conv.kernel) > 1;
  if (!volume) return {};
  if (graph->io != DType::f32 && volumes_in_16_bits.hold(version))
    return "cuDNN 9.8 to 9.14 computes some 3-D convolutions in bf16 and fp16 wrongly (PyTorch issue 163539)";
  if (graph->io == DType::f32 && graph->math == Math::tf32 && volumes_in_tf32.hold(version))
    return "cuDNN 9.10.2 to 9.15 computes some 3-D convolutions in TF32 wrongly (PyTorch pull request 167024)";
  return {};
}

}  // namespace trainmark::cuda
