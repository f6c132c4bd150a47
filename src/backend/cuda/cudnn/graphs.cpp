// Graph specifications as one line of text each: the key by which plans are shared, cached and listed in the committed
// table. Two specifications have the same key exactly when they ask for the same computation.
#include "backend/cuda/cudnn/graphs.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace trainmark::cuda {
namespace {

/// 16-bit types always use tensor cores, so `math` says something about fp32 alone.
std::string_view type_text(DType io, Math math) {
  return io == DType::f32 && math == Math::tf32 ? std::string_view("tf32") : name_of(io);
}

std::string_view name_of_pass(ConvGraph::Pass pass) {
  switch (pass) {
    case ConvGraph::Pass::forward:
      return "forward";
    case ConvGraph::Pass::backward_data:
      return "backward_data";
    case ConvGraph::Pass::backward_weights:
      return "backward_weights";
  }
  TRAINMARK_CHECK(false, "unknown pass");
}

std::string key_text(const ConvGraph& graph) {
  std::string text =
      fmt::format("conv.{} {} src={} weights={} dst={}", name_of_pass(graph.pass), type_text(graph.io, graph.math),
                  to_string(graph.src), to_string(graph.weights), to_string(graph.dst));
  text += fmt::format(" stride={} pad={}/{}", fmt::join(graph.conv.stride, "x"), fmt::join(graph.conv.pad_lo, "x"),
                      fmt::join(graph.conv.pad_hi, "x"));
  if (!graph.conv.dilation.empty()) text += fmt::format(" dilation={}", fmt::join(graph.conv.dilation, "x"));
  if (graph.conv.groups != 1) text += fmt::format(" groups={}", graph.conv.groups);
  if (graph.bias) text += " bias";
  if (graph.slope) text += fmt::format(" slope={}", *graph.slope);
  return text;
}

std::string key_text(const MatmulGraph& graph) {
  std::string text = fmt::format("matmul {} {}x{}x{}", type_text(graph.io, graph.math), graph.m, graph.n, graph.k);
  if (graph.result != graph.io) text += fmt::format(" result={}", name_of(graph.result));
  if (graph.a_transposed) text += " a_transposed";
  if (graph.b_transposed) text += " b_transposed";
  if (graph.bias) text += " bias";
  return text;
}

}  // namespace

std::string key_of(const GraphSpec& spec) {
  return std::visit([](const auto& graph) { return key_text(graph); }, spec);
}

}  // namespace trainmark::cuda
