// Executes the CUDA backend's graph specifications on the host: plain loops over the memory that cuDNN would be given,
// in its order and types, enqueued on the stream like any kernel. cuDNN itself is only planned without a device.
#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>

#include "backend/cuda/cudnn/graphs.hpp"
#include "backend/cuda/cudnn/tuning.hpp"
#include "backend/cuda/device.hpp"
#include "backend/math.hpp"
#include "cuda_double/double.hpp"

namespace trainmark::cuda {
namespace {

using cuda_double::Access;

std::vector<double> load(const void* from, DType type, std::int64_t count) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (type == DType::f32) {
      float value = 0.0F;
      std::memcpy(&value, static_cast<const std::byte*>(from) + i * sizeof(value), sizeof(value));
      values[i] = value;
    } else {
      std::uint16_t half = 0;
      std::memcpy(&half, static_cast<const std::byte*>(from) + i * sizeof(half), sizeof(half));
      values[i] = type == DType::bf16 ? from_bf16(half) : from_f16(half);
    }
  }
  return values;
}
void store(const std::vector<double>& values, void* to, DType type) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<float>(values[i]);
    if (type == DType::f32) {
      std::memcpy(static_cast<std::byte*>(to) + i * sizeof(value), &value, sizeof(value));
    } else {
      const std::uint16_t half = type == DType::bf16 ? to_bf16(value) : to_f16(value);
      std::memcpy(static_cast<std::byte*>(to) + i * sizeof(half), &half, sizeof(half));
    }
  }
}

using Axes = std::array<std::int64_t, 3>;
Axes axes_of(const std::vector<int>& values, std::int64_t missing) {
  Axes axes{missing, missing, missing};
  std::copy(values.begin(), values.end(), axes.end() - static_cast<std::ptrdiff_t>(values.size()));
  return axes;
}

/// Every (output point, tap) of a convolution with the source point that they read.
class Taps {
 public:
  explicit Taps(const ConvGraph& spec)
      : src_(extents_of(spec.src)),
        dst_(extents_of(spec.dst)),
        kernel_(axes_of(spec.conv.kernel, 1)),
        stride_(axes_of(spec.conv.stride, 1)),
        dilation_(axes_of(spec.conv.dilation, 1)),
        pad_(axes_of(spec.conv.pad_lo, 0)) {}

  /// Calls `each(output point, tap, source point)`, points counted over N,D,H,W.
  template <class Each>
  void for_each(Each&& each) const {
    std::int64_t out = 0;
    for (std::int64_t n = 0; n < dst_.n; ++n)
      for (std::int64_t d = 0; d < dst_.d; ++d)
        for (std::int64_t h = 0; h < dst_.h; ++h)
          for (std::int64_t w = 0; w < dst_.w; ++w, ++out)
            at_output(n, {d * stride_[0] - pad_[0], h * stride_[1] - pad_[1], w * stride_[2] - pad_[2]}, out, each);
  }

 private:
  template <class Each>
  void at_output(std::int64_t n, const Axes& first, std::int64_t out, Each&& each) const {
    std::int64_t tap = 0;
    for (std::int64_t i = 0; i < kernel_[0]; ++i)
      for (std::int64_t j = 0; j < kernel_[1]; ++j)
        for (std::int64_t k = 0; k < kernel_[2]; ++k, ++tap) {
          const std::int64_t d = first[0] + i * dilation_[0], h = first[1] + j * dilation_[1],
                             w = first[2] + k * dilation_[2];
          if (d < 0 || d >= src_.d || h < 0 || h >= src_.h || w < 0 || w >= src_.w) continue;
          each(out, tap, ((n * src_.d + d) * src_.h + h) * src_.w + w);
        }
  }
  Extents src_, dst_;
  Axes kernel_, stride_, dilation_, pad_;
};

void run_conv(const ConvGraph& spec, std::span<void* const> operands) {
  const std::int64_t inner = spec.weights[1], outer = spec.weights[0], channels = spec.src[1];
  const std::int64_t taps = spec.weights.elements() / (inner * outer);
  const Taps points(spec);
  const auto weight_at = [&](std::int64_t o, std::int64_t tap) {
    return static_cast<std::size_t>((o * taps + tap) * inner);
  };
  // cuDNN tells groups by the channels that weights have; each takes its part of a source point.
  const std::int64_t outputs_a_group = outer / (channels / inner);
  const auto source_at = [&](std::int64_t in, std::int64_t o) { return in * channels + o / outputs_a_group * inner; };
  if (spec.pass == ConvGraph::Pass::forward) {
    const auto src = load(operands[0], spec.io, spec.src.elements());
    const auto weights = load(operands[1], spec.io, spec.weights.elements());
    std::vector<double> dst(static_cast<std::size_t>(spec.dst.elements()));
    points.for_each([&](std::int64_t out, std::int64_t tap, std::int64_t in) {
      for (std::int64_t o = 0; o < outer; ++o) {
        const double* from = src.data() + source_at(in, o);
        const double* w = weights.data() + weight_at(o, tap);
        double sum = 0.0;
        for (std::int64_t i = 0; i < inner; ++i)
          sum += from[i] * w[i];
        dst[static_cast<std::size_t>(out * outer + o)] += sum;
      }
    });
    const auto bias =
        spec.bias ? load(operands[2], DType::f32, outer) : std::vector<double>(static_cast<std::size_t>(outer));
    for (std::size_t i = 0; i < dst.size(); ++i) {
      dst[i] += bias[i % bias.size()];
      if (spec.slope && dst[i] < 0.0) dst[i] *= *spec.slope;
    }
    store(dst, operands[spec.bias ? 3 : 2], spec.io);
  } else if (spec.pass == ConvGraph::Pass::backward_data) {
    const auto diff_dst = load(operands[0], spec.io, spec.dst.elements());
    const auto weights = load(operands[1], spec.io, spec.weights.elements());
    std::vector<double> diff_src(static_cast<std::size_t>(spec.src.elements()));
    points.for_each([&](std::int64_t out, std::int64_t tap, std::int64_t in) {
      for (std::int64_t o = 0; o < outer; ++o) {
        double* to = diff_src.data() + source_at(in, o);
        const double* w = weights.data() + weight_at(o, tap);
        const double d = diff_dst[static_cast<std::size_t>(out * outer + o)];
        for (std::int64_t i = 0; i < inner; ++i)
          to[i] += d * w[i];
      }
    });
    store(diff_src, operands[2], spec.io);
  } else {
    const auto src = load(operands[0], spec.io, spec.src.elements());
    const auto diff_dst = load(operands[1], spec.io, spec.dst.elements());
    std::vector<double> diff_weights(static_cast<std::size_t>(spec.weights.elements()));
    points.for_each([&](std::int64_t out, std::int64_t tap, std::int64_t in) {
      for (std::int64_t o = 0; o < outer; ++o) {
        const double* from = src.data() + source_at(in, o);
        double* w = diff_weights.data() + weight_at(o, tap);
        const double d = diff_dst[static_cast<std::size_t>(out * outer + o)];
        for (std::int64_t i = 0; i < inner; ++i)
          w[i] += d * from[i];
      }
    });
    store(diff_weights, operands[2], spec.io);
  }
}

void run_matmul(const MatmulGraph& spec, std::span<void* const> operands) {
  const auto a = load(operands[0], spec.io, spec.m * spec.k);
  const auto b = load(operands[1], spec.io, spec.k * spec.n);
  const auto bias =
      spec.bias ? load(operands[2], DType::f32, spec.n) : std::vector<double>(static_cast<std::size_t>(spec.n));
  std::vector<double> dst(static_cast<std::size_t>(spec.m * spec.n));
  for (std::int64_t i = 0; i < spec.m; ++i) {
    for (std::int64_t j = 0; j < spec.n; ++j) {
      double sum = bias[static_cast<std::size_t>(j)];
      for (std::int64_t l = 0; l < spec.k; ++l) {
        sum += a[static_cast<std::size_t>(spec.a_transposed ? l * spec.m + i : i * spec.k + l)] *
               b[static_cast<std::size_t>(spec.b_transposed ? j * spec.k + l : l * spec.n + j)];
      }
      dst[static_cast<std::size_t>(i * spec.n + j)] = sum;
    }
  }
  store(dst, operands[spec.bias ? 3 : 2], spec.result);
}

/// Bytes of each operand, inputs first; the last is the output.
std::vector<std::size_t> operand_bytes(const ConvGraph& spec) {
  const auto bytes = [](const Shape& shape, DType type) {
    return static_cast<std::size_t>(shape.elements()) * size_of(type);
  };
  const std::size_t src = bytes(spec.src, spec.io), dst = bytes(spec.dst, spec.io),
                    weights = bytes(spec.weights, spec.io);
  switch (spec.pass) {
    case ConvGraph::Pass::backward_data:
      return {dst, weights, src};
    case ConvGraph::Pass::backward_weights:
      return {src, dst, weights};
    case ConvGraph::Pass::forward:
      break;
  }
  if (!spec.bias) return {src, weights, dst};
  return {src, weights, static_cast<std::size_t>(spec.weights[0]) * sizeof(float), dst};
}
std::vector<std::size_t> operand_bytes(const MatmulGraph& spec) {
  const auto bytes = [](std::int64_t count, DType type) { return static_cast<std::size_t>(count) * size_of(type); };
  std::vector<std::size_t> all = {bytes(spec.m * spec.k, spec.io), bytes(spec.k * spec.n, spec.io)};
  if (spec.bias) all.push_back(bytes(spec.n, DType::f32));
  all.push_back(bytes(spec.m * spec.n, spec.result));
  return all;
}

class HostGraph final : public CompiledGraph {
 public:
  explicit HostGraph(const GraphSpec& spec)
      : spec_(spec), bytes_(std::visit([](const auto& one) { return operand_bytes(one); }, spec)) {}
  /// Some memory, so that a plan which forgets to ask for the workspace or to share it is found out.
  [[nodiscard]] std::size_t workspace_bytes() const override { return workspace; }
  [[nodiscard]] std::string engine() const override { return "host loops"; }
  [[nodiscard]] const std::vector<std::size_t>& operand_sizes() const noexcept { return bytes_; }
  void execute(cudaStream_t stream, std::span<void* const> operands, void* memory) override {
    TRAINMARK_CHECK(operands.size() == bytes_.size(), key_of(spec_));
    std::vector<Access> accesses;
    for (std::size_t i = 0; i < operands.size(); ++i)
      accesses.push_back({operands[i], bytes_[i], i + 1 == operands.size()});
    accesses.push_back({memory, workspace, true});
    const std::vector<void*> pointers(operands.begin(), operands.end());
    auto body = [spec = spec_, pointers, memory] {
      std::memset(memory, 0xFF, workspace);
      if (const auto* conv = std::get_if<ConvGraph>(&spec)) {
        run_conv(*conv, pointers);
      } else {
        run_matmul(std::get<MatmulGraph>(spec), pointers);
      }
    };
    check(cuda_double::enqueue(stream, "graph", std::move(body), std::move(accesses)), "graph");
  }

 private:
  static constexpr std::size_t workspace = 64;
  GraphSpec spec_;
  std::vector<std::size_t> bytes_;
};

/// A candidate whose execution fails half-way, as a device's may.
class BrokenGraph final : public CompiledGraph {
 public:
  explicit BrokenGraph(std::shared_ptr<HostGraph> sound) : sound_(std::move(sound)) {}
  [[nodiscard]] std::size_t workspace_bytes() const override { return sound_->workspace_bytes(); }
  [[nodiscard]] std::string engine() const override { return "broken"; }
  void execute(cudaStream_t stream, std::span<void* const> operands, void* memory) override {
    sound_->execute(stream, operands, memory);
    throw Error(ExitCode::communication, "this candidate does not execute");
  }

 private:
  std::shared_ptr<HostGraph> sound_;
};

std::vector<std::string>& made() {
  static std::vector<std::string> all;
  return all;
}

class HostCompiler final : public GraphCompiler {
 public:
  explicit HostCompiler(const CompilerOptions& options)
      : autotune_(options.autotune), deterministic_(options.deterministic) {}
  std::shared_ptr<CompiledGraph> compile(const GraphSpec& spec) override {
    std::shared_ptr<CompiledGraph>& graph = graphs_[key_of(spec)];
    if (graph) return graph;
    made().push_back(key_of(spec) + (deterministic_ ? " deterministic" : ""));
    const auto sound = std::make_shared<HostGraph>(spec);
    const std::vector<std::shared_ptr<CompiledGraph>> candidates = {std::make_shared<BrokenGraph>(sound), sound};
    // Chosen by trial where that is asked for, on the device's memory and streams as they are then.
    if (!autotune_) return graph = sound;
    const Trial trial = autotune_(candidates, sound->operand_sizes());
    tell_of_trial(key_of(spec), candidates, trial);
    return graph = candidates.at(trial.fastest.value());
  }
  [[nodiscard]] std::string library() const override { return "host loops instead of cuDNN"; }

 private:
  TryCandidates autotune_;
  bool deterministic_;
  std::map<std::string, std::shared_ptr<CompiledGraph>> graphs_;
};

}  // namespace

std::unique_ptr<GraphCompiler> make_graph_compiler(const CompilerOptions& options) {
  return std::make_unique<HostCompiler>(options);
}

}  // namespace trainmark::cuda

const std::vector<std::string>& trainmark::cuda_double::plans_made() { return cuda::made(); }
