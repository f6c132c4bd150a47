// The CPU backend: oneDNN and own kernels on this rank's cores, MPI between ranks.
#include <fmt/core.h>

#include "backend/cpu/ops/first_block.hpp"
#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"
#include "backend/cpu/primitive.hpp"
#include "backend/cpu/streams.hpp"
#include "backend/host.hpp"
#include "backend/math.hpp"

namespace trainmark {
namespace cpu {

TensorDesc activation_desc(const Shape& shape, DType dtype) {
  return {shape, dtype, shape.rank() > 2 ? channels_last : logical_layout};
}
std::vector<TensorDesc> as_activations(const std::vector<TensorDesc>& outputs) {
  std::vector<TensorDesc> descs;
  for (const TensorDesc& output : outputs)
    descs.push_back(activation_desc(output.shape, output.dtype));
  return descs;
}

namespace {

const char* instruction_set() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "SSE4.1";
    case dnnl::cpu_isa::avx:
      return "AVX";
    case dnnl::cpu_isa::avx2:
      return "AVX2";
    case dnnl::cpu_isa::avx2_vnni:
      return "AVX2 VNNI";
    case dnnl::cpu_isa::avx512_core:
      return "AVX-512";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "AVX-512 VNNI";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "AVX-512 bf16";
    default:
      return "newer than AVX-512 bf16";
  }
}

bool native_bf16() {
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto needed = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
  return (isa & needed) == needed;
}

constexpr const char* no_pooled_block =
    "convolution with pooling in one block is there for kernels of 3^3 over at most 8 channels of even extents, leaky "
    "ReLU and windows of 2^3 only";

class CpuBackend final : public HostBackend {
 public:
  CpuBackend(int threads, bool overlap, bool tf32) : team_(start_team(threads)), tf32_(tf32) {
    if (overlap) worker_ = std::make_unique<Worker>();
  }

  [[nodiscard]] std::string name() const override { return "cpu"; }
  [[nodiscard]] std::string description() const override {
    const dnnl_version_t* version = dnnl_version();
    return fmt::format("cpu (oneDNN {}.{}.{}, {}, {} thread{} a rank{}{}{})", version->major, version->minor,
                       version->patch, instruction_set(), team_.threads, team_.threads == 1 ? "" : "s",
                       worker_ ? " and one for communication" : "", native_bf16() ? "" : ", bf16 emulated",
                       tf32_ ? ", tf32 computed as fp32" : "");
  }
  [[nodiscard]] bool overlaps() const override { return worker_ != nullptr; }
  [[nodiscard]] int threads() const override { return team_.threads; }
  [[nodiscard]] std::string caveat() const override { return caveat_of(team_); }

  [[nodiscard]] TensorDesc activation(const Shape& shape, DType dtype) const override {
    return activation_desc(shape, dtype);
  }
  void to_logical(const TensorDesc& desc, const void* from, float* to) override {
    reorder(described(desc), from, described(desc.shape, DType::f32, logical_layout), to);
  }
  void from_logical(const TensorDesc& desc, const float* from, void* to) override {
    reorder(described(desc.shape, DType::f32, logical_layout), from, described(desc), to);
  }

  [[nodiscard]] std::string refusal(const Op& op, const Operands& operands) const override {
    for (const auto* descs : {&operands.inputs, &operands.outputs}) {
      for (const TensorDesc& desc : *descs) {
        if (desc.dtype == DType::f16) return "fp16 is for devices; use fp32 or bf16 on a CPU";
      }
    }
    if (std::holds_alternative<DenseBlock>(op) || std::holds_alternative<DenseBlockBackwardData>(op))
      return "what follows a dense layer is an operation of its own here; run the graph unfused";
    if (std::holds_alternative<PackWeights>(op) || std::holds_alternative<UnpackGradients>(op))
      return "each pass brings its weights into blocks and its gradients back here";
    const auto* block = std::get_if<ConvBlock>(&op);
    if (block != nullptr && block->has_pool &&
        !FirstBlock::fits(*block, operands.inputs[0].shape, operands.outputs[0].shape))
      return no_pooled_block;
    if (block != nullptr && !block->has_pool && !keeps_nan(block->activation))
      return "a convolution has a ReLU of slope 0 behind it here, not in itself; run the graph unfused";
    const auto* backward = std::get_if<ConvBlockBackwardWeights>(&op);
    if (backward != nullptr && (operands.outputs.size() > 2 ||
                                !FirstBlock::fits(backward->block, operands.inputs[0].shape, operands.inputs[2].shape)))
      return no_pooled_block;
    return {};
  }
  [[nodiscard]] Graph fuse(Graph graph) const override { return cpu::fuse(std::move(graph)); }

  [[nodiscard]] Planned plan(const Op& op, const Operands& operands) override {
    return std::visit([&](const auto& each) { return plan_op(each, operands); }, op);
  }

  [[nodiscard]] std::unique_ptr<Collective> make_collective(const Group& group, Lane) override {
    return cpu::make_collective(group);
  }
  [[nodiscard]] std::unique_ptr<Replay> record(std::vector<Launch> launches) override {
    return make_replay(std::move(launches), stream_, worker_.get());
  }

 private:
  static void reorder(const dnnl::memory::desc& from_desc, const void* from, const dnnl::memory::desc& to_desc,
                      void* to) {
    dnnl::memory source(from_desc, engine(), const_cast<void*>(from));
    dnnl::memory destination(to_desc, engine(), to);
    dnnl::stream stream(engine());
    dnnl::reorder(source, destination).execute(stream, source, destination);
    stream.wait();
  }

  Team team_;
  bool tf32_;
  std::unique_ptr<Worker> worker_;
};

}  // namespace
}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend(int threads, bool overlap, bool tf32) {
  return std::make_unique<cpu::CpuBackend>(std::max(1, threads), overlap, tf32);
}

}  // namespace trainmark
