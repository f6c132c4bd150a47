// What operations touch besides their operands: one answer, from which launches get their addresses and their order.
#include "trainmark/nn.hpp"

namespace trainmark {
namespace {

template <class T>
std::vector<ArenaUse> uses_of(const T&) {
  return {};
}
std::vector<ArenaUse> uses_of(const Accumulate& sum) {
  return {{Space::gradient, sum.range, sum.last}, {Space::gradient_sum, sum.range, true}};
}
std::vector<ArenaUse> uses_of(const AllReduce& reduce) { return {{Space::gradient, reduce.range, true}}; }
std::vector<ArenaUse> uses_of(const GradientCheck& check) { return {{Space::gradient, check.range, false}}; }
std::vector<ArenaUse> uses_of(const SquaredNorm& norm) { return {{Space::gradient, norm.range, false}}; }
std::vector<ArenaUse> uses_of(const AverageStatistics& average) {
  return {{Space::statistic, {0, average.elements}, true}};
}
std::vector<ArenaUse> uses_of(const Update& update) {
  std::vector<ArenaUse> uses = {{Space::parameter, update.range(), true}, {Space::gradient, update.range(), false}};
  for (int slot = 0; slot < slots_of(update.rule); ++slot)
    uses.push_back({Space::slot, update.range(), true, slot});
  return uses;
}

}  // namespace

std::vector<ArenaUse> arena_uses(const Op& op) {
  return std::visit([](const auto& each) { return uses_of(each); }, op);
}

bool changes_state(const Op& op) {
  return std::holds_alternative<GradientCheck>(op) || std::holds_alternative<AdjustLossScale>(op) ||
         std::holds_alternative<CountUpdate>(op) || std::holds_alternative<NormApply>(op);
}

}  // namespace trainmark
