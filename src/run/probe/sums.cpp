// Sums over ranks of the very sizes and groups that a step has, through the collectives of a run.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "run/probe/probe.hpp"

namespace trainmark {
namespace {

/// A sum as a step's graph has it: of gradients over all ranks, or of a norm's moments over a group (f64).
struct Sum {
  std::string name;
  DType wire;  // f64: over a group
  std::int64_t elements = 0;
  [[nodiscard]] bool of_all() const { return wire != DType::f64; }
  [[nodiscard]] std::int64_t bytes() const { return elements * static_cast<std::int64_t>(size_of(wire)); }
  [[nodiscard]] std::size_t value_bytes() const {
    return static_cast<std::size_t>(elements) * size_of(of_all() ? DType::f32 : DType::f64);
  }
  [[nodiscard]] std::pair<DType, std::int64_t> kind() const { return {wire, elements}; }
};

std::vector<Sum> sums_of(const Graph& step) {
  std::vector<Sum> sums;
  for (const Node& node : step.nodes) {
    if (const auto* reduce = std::get_if<AllReduce>(&node.op))
      sums.push_back({node.name, reduce->wire, reduce->range.size()});
    if (std::holds_alternative<SumOverGroup>(node.op)) {
      const Tensor& values = step.tensors.at(static_cast<std::size_t>(node.inputs.front()));
      sums.push_back({node.name, DType::f64, values.shape.elements()});
    }
  }
  return sums;
}

std::optional<Rates> timed(Probing& probing, const Sum& sum, double limit) {
  Backend& backend = probing.backend;
  Collective& collective = sum.of_all() ? *probing.collectives.all : *probing.collectives.norm;
  Stream& stream = backend.stream(sum.of_all() ? Lane::communication : Lane::compute);
  std::unique_ptr<Arena> values, scratch;
  agree_on(probing.world.all(), [&] {
    values = std::make_unique<Arena>(backend, sum.value_bytes());
    const std::size_t wanted = sum.of_all() ? collective.wire_scratch_bytes(sum.elements, sum.wire) : 0;
    scratch = std::make_unique<Arena>(backend, wanted);
    backend.fill_zero(stream, values->data(), values->bytes());  // sums of sums would leave the range of floats
    stream.synchronize();
  });
  const auto work = [&](int times) {
    for (int time = 0; time < times; ++time) {
      if (sum.of_all()) {
        collective.all_reduce(stream, reinterpret_cast<float*>(values->data()), sum.elements, sum.wire,
                              scratch->data());
      } else {
        collective.all_reduce(stream, reinterpret_cast<double*>(values->data()), sum.elements);
      }
    }
    stream.synchronize();
    return static_cast<double>(sum.bytes()) * times;
  };
  return probing.rounds.measure({.work = work}, limit);
}

}  // namespace

double bus_factor(int ranks) noexcept { return ranks < 1 ? 0.0 : 2.0 * (ranks - 1) / ranks; }

void probe_sums(Probing& probing) {
  const double limit = probing.share();
  if (probing.world.all().size() == 1) return probing.leave_out("sums over ranks", "a rank alone sums with nobody");
  const std::vector<Sum> sums = sums_of(probing.graphs.last);
  std::map<std::pair<DType, std::int64_t>, std::optional<Rates>> measured;  // equal ones once
  for (const Sum& sum : sums)
    measured[sum.kind()];
  const double each = limit / static_cast<double>(std::max<std::size_t>(1, measured.size()));
  for (const Sum& sum : sums) {
    std::optional<Rates>& rates = measured[sum.kind()];
    const std::string what = fmt::format("sum {} of {} bytes", sum.name, sum.bytes());
    const int ranks = sum.of_all() ? probing.world.all().size() : norm_group_of(probing.options.recipe.model);
    if (!rates && !probing.attempt(what, [&] { rates = timed(probing, sum, each); })) continue;
    if (!rates) {
      probing.leave_out(what, too_short(each));
      continue;
    }
    const double factor = bus_factor(ranks) * static_cast<double>(sum.bytes());
    const Spread& seconds = rates->seconds;
    probing.result.messages.push_back(
        {sum.name,
         ranks,
         sum.bytes(),
         seconds,
         {seconds.n, factor / seconds.median, factor / seconds.most, factor / seconds.least}});
  }
}

}  // namespace trainmark
