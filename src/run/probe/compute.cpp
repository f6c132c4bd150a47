// How fast this machine multiplies: matrices of a good shape, and the step's own largest convolutions, in each
// precision that the backend takes.
#include <fmt/core.h>

#include <algorithm>

#include "run/probe/probe.hpp"
#include "run/probe/ready.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace {

struct ProbePrecision {
  std::string name;
  DType type = DType::f32;
};

Operands matrix_operands(const Backend& backend, std::int64_t size, DType type) {
  const Shape square{size, size};
  return {.inputs = {backend.activation(square, type),
                     {square, DType::f32, logical_layout},
                     {Shape{size}, DType::f32, logical_layout}},
          .outputs = {{square, type, logical_layout}}};
}

/// What a rank may fill: a part of what is left of host memory. A device says itself when it is full.
double room_of(const Probing& probing) {
  constexpr double part = 0.25;
  if (probing.backend.name() != "cpu") return 1e300;
  return part * memory_room().bytes / probing.world.node().size();
}

double least_of_all(const World& world, double mine) {
  std::array<double, 1> negated = {-mine};
  world.all().max(negated);
  return -negated[0];
}

std::optional<ProbeFigure> timed(Probing& probing, const std::string& name, const std::string& of, const Op& op,
                                 const Operands& operands, double flops, double limit) {
  std::unique_ptr<Ready> ready;
  agree_on(probing.world.all(), [&] { ready = std::make_unique<Ready>(probing.backend, op, operands); });
  const auto work = [&](int times) {
    ready->run(times);
    return flops * times;
  };
  return probing.measured({.name = name, .of = of}, {.work = work}, limit);
}

/// Products of growing size, as long as the next, of eight times the work, fits into the limit: the best of them.
std::optional<ProbeFigure> best_product(Probing& probing, const ProbePrecision& precision, double limit) {
  const bool device = probing.backend.name() != "cpu";
  const std::int64_t largest = device ? 16384 : 4096;
  const double begin = probing.rounds.used(), room = least_of_all(probing.world, room_of(probing));
  // A half stays for the next size; where nodes are shared half of the other is for one rank a node.
  const double part = probing.rounds.nodes_are_shared() ? 0.25 : 0.5;
  std::optional<ProbeFigure> best;
  for (std::int64_t size = 512; size <= largest; size *= 2) {
    const double n = static_cast<double>(size), flops = 2.0 * n * n * n, left = limit - (probing.rounds.used() - begin);
    // Two rounds stand before those that count.
    if (best && (Rounds::least + 2) * flops / best->rank.median > part * left) break;
    if (16.0 * n * n > room) break;
    std::optional<ProbeFigure> figure;
    const auto measure = [&] {
      figure = timed(probing, fmt::format("matrix_{}_flops_per_s", precision.name),
                     fmt::format("{0} x {0} times {0} x {0}", size), Dense{},
                     matrix_operands(probing.backend, size, precision.type), flops, 0.5 * left);
    };
    if (!best) {
      measure();
    } else {
      probing.attempt(fmt::format("a matrix product of {}", size), measure);
    }
    if (!figure) break;
    if (!best || figure->rank.median > best->rank.median) best = std::move(figure);
  }
  return best;
}

/// Samples that a convolution takes so that it fits into time and memory; at most the local batch.
std::int64_t samples_for(const ProbeConv& whole, std::int64_t local_batch, double rate, double limit, double room,
                         const Backend& backend) {
  constexpr double slower = 0.2;  // a convolution may reach this part of a product's rate
  double bytes = 0.0;
  for (const auto* descs : {&whole.operands.inputs, &whole.operands.outputs})
    for (const TensorDesc& desc : *descs)
      bytes += static_cast<double>(backend.bytes_of(desc));
  const double samples = static_cast<double>(local_batch);
  const double seconds = (Rounds::least + 2) * static_cast<double>(whole.flops) / (slower * rate);
  const double most = samples * std::min({1.0, limit / seconds, room / (2.0 * bytes)});
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(most));
}

std::optional<ProbeFigure> best_convolution(Probing& probing, const ProbePrecision& precision, double rate,
                                            double limit) {
  constexpr std::size_t most = 3;
  const std::int64_t local = probing.options.train.batch() / probing.world.all().size();
  const auto all = [&](std::int64_t samples) {
    return largest_convolutions(probing.backend, probing.graphs.last, most, local, samples, precision.type);
  };
  const std::vector<ProbeConv> whole = all(local);
  const double room = least_of_all(probing.world, room_of(probing));
  std::optional<ProbeFigure> best;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    const double part = limit / static_cast<double>(whole.size());
    const std::int64_t samples = samples_for(whole[at], local, rate, part, room, probing.backend);
    const ProbeConv conv = all(samples).at(at);
    const std::string of = fmt::format("{}, {} sample{}", conv.name, samples, samples == 1 ? "" : "s");
    if (const std::string why = probing.backend.refusal(conv.op, conv.operands); !why.empty()) {
      probing.leave_out(fmt::format("{} in {}", of, precision.name), why);
      continue;
    }
    std::optional<ProbeFigure> figure;
    probing.attempt(fmt::format("{} in {}", of, precision.name), [&] {
      figure = timed(probing, fmt::format("convolution_{}_flops_per_s", precision.name), of, conv.op, conv.operands,
                     static_cast<double>(conv.flops), part);
      if (!figure) probing.leave_out(fmt::format("{} in {}", of, precision.name), too_short(part));
    });
    if (figure && (!best || figure->rank.median > best->rank.median)) best = std::move(figure);
  }
  return best;
}

std::vector<ProbePrecision> precisions_of(Probing& probing) {
  const bool tf32 = computed_in(probing.backend, probing.options.train.precision) == Precision::tf32;
  std::vector<ProbePrecision> taken;
  for (ProbePrecision each :
       {ProbePrecision{tf32 ? "tf32" : "fp32", DType::f32}, {"bf16", DType::bf16}, {"fp16", DType::f16}}) {
    const std::string why = probing.backend.refusal(Dense{}, matrix_operands(probing.backend, 512, each.type));
    if (why.empty()) {
      taken.push_back(std::move(each));
    } else {
      probing.leave_out(each.name, why);
    }
  }
  return taken;
}

}  // namespace

std::vector<ProbeConv> largest_convolutions(const Backend& backend, const Graph& step, std::size_t most,
                                            std::int64_t local_batch, std::int64_t samples, DType compute) {
  std::vector<std::pair<std::int64_t, const Node*>> nodes;
  for (const Node& node : step.nodes) {
    if (std::holds_alternative<Conv>(node.op) || std::holds_alternative<ConvBackwardData>(node.op) ||
        std::holds_alternative<ConvBackwardWeights>(node.op))
      nodes.emplace_back(cost(step, node).macs, &node);
  }
  std::ranges::stable_sort(nodes, std::greater<>(), &std::pair<std::int64_t, const Node*>::first);
  nodes.resize(std::min(most, nodes.size()));
  const auto described = [&](TensorId id, bool produced) {
    const Tensor& tensor = step.tensors.at(static_cast<std::size_t>(id));
    if (tensor.role != Role::activation) return TensorDesc{tensor.shape, tensor.dtype, logical_layout};
    Shape shape = tensor.shape;
    shape[0] = samples;
    return produced ? TensorDesc{shape, compute, logical_layout} : backend.activation(shape, compute);
  };
  std::vector<ProbeConv> convolutions;
  for (const auto& [macs, node] : nodes) {
    ProbeConv& conv = convolutions.emplace_back(ProbeConv{node->name, node->op, {}, 2 * macs / local_batch * samples});
    for (const TensorId id : node->inputs)
      conv.operands.inputs.push_back(described(id, false));
    for (const TensorId id : node->outputs)
      conv.operands.outputs.push_back(described(id, true));
  }
  return convolutions;
}

void probe_compute(Probing& probing) {
  for (const ProbePrecision& precision : precisions_of(probing)) {
    std::optional<ProbeFigure> product, convolution;
    const std::string what = "matrix products in " + precision.name;
    const double limit = probing.share();
    probing.attempt(what, [&] {
      product = best_product(probing, precision, limit);
      if (!product) probing.leave_out(what, too_short(limit));
    });
    const double rest = probing.share();
    if (product) convolution = best_convolution(probing, precision, product->rank.median, rest);
    const bool convolves = convolution && convolution->rank.median > product->rank.median;
    if (product) {
      ProbeFigure best = convolves ? *convolution : *product;
      best.name = fmt::format("compute_{}_flops_per_s", precision.name);
      probing.result.figures.push_back(std::move(best));
    }
    for (std::optional<ProbeFigure>* each : {&product, &convolution})
      if (*each) probing.result.figures.push_back(std::move(**each));
  }
}

}  // namespace trainmark
