// Where activations lie: tensors that are never alive together share memory. Blocks are placed largest first, each into
// the tightest gap between the blocks that are alive with it.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "trainmark/exec.hpp"

namespace trainmark {
namespace {

constexpr std::int64_t alignment = 64;
constexpr int nowhere = -1;

/// The tensors that are written over each other, and when their common memory is in use.
struct Block {
  std::int64_t bytes = 0;
  int first = 0, last = 0;  // nodes, both included
  std::int64_t offset = 0;
};

struct Life {
  int producer = nowhere, last = nowhere;
};

std::vector<Life> lives_of(const Graph& graph) {
  std::vector<Life> lives(graph.tensors.size());
  for (std::size_t at = 0; at < graph.nodes.size(); ++at) {
    const Node& node = graph.nodes[at];
    for (const bool output : {false, true}) {
      for (const TensorId id : output ? node.outputs : node.inputs) {
        const Tensor& tensor = graph.tensors[static_cast<std::size_t>(id)];
        if (tensor.role != Role::activation) continue;
        TRAINMARK_CHECK(node.lane == Lane::compute,
                        fmt::format("{} touches activation {} beside the compute lane", node.name, tensor.name));
        Life& life = lives[static_cast<std::size_t>(id)];
        TRAINMARK_CHECK(
            output == (life.producer == nowhere),
            fmt::format("{} is {} by {}", tensor.name, output ? "written twice" : "read too early", node.name));
        if (output) life.producer = static_cast<int>(at);
        life.last = static_cast<int>(at);
      }
    }
  }
  return lives;
}

class Planner {
 public:
  Planner(const Graph& graph, const std::vector<std::size_t>& bytes)
      : lives_(lives_of(graph)), block_of_(graph.tensors.size(), nowhere) {
    plan_.offset.assign(graph.tensors.size(), -1);
    for (std::size_t id = 0; id < lives_.size(); ++id) {
      if (lives_[id].producer == nowhere) continue;
      const std::int64_t size = (static_cast<std::int64_t>(bytes.at(id)) + alignment - 1) / alignment * alignment;
      block_of_[id] = static_cast<int>(blocks_.size());
      blocks_.push_back({size, lives_[id].producer, lives_[id].last, 0});
      plan_.unshared_bytes += static_cast<std::size_t>(size);
    }
  }

  void merge(const std::vector<Alias>& in_place) {
    // In the order of producers, so that chains a -> b -> c end in one block, and for each output in order of
    // preference.
    std::vector<Alias> aliases = in_place;
    std::ranges::stable_sort(aliases, {}, [&](const Alias& alias) { return life(alias.output).producer; });
    for (const Alias& alias : aliases) {
      const int from = block_of_[index(alias.output)];
      const int into = block_of_[index(alias.input)];
      if (from == nowhere || into == nowhere || from == into || merged(alias.output)) continue;
      Block& target = blocks_[static_cast<std::size_t>(into)];
      Block& source = blocks_[static_cast<std::size_t>(from)];
      // The block's last use must be this very node: nobody reads the input later, and no sibling took its memory.
      if (target.last != life(alias.output).producer || taken(alias)) continue;
      target.bytes = std::max(target.bytes, source.bytes);
      target.last = source.last;
      source.bytes = 0;
      block_of_[index(alias.output)] = into;
      merged_.push_back(alias);
    }
  }

  void place_together() {
    std::vector<Block*> order;
    for (Block& block : blocks_)
      if (block.bytes > 0) order.push_back(&block);
    std::ranges::stable_sort(order, [](const Block* a, const Block* b) { return a->bytes > b->bytes; });
    std::vector<const Block*> placed;  // by offset
    for (Block* block : order) {
      block->offset = tightest_gap(*block, placed);
      placed.insert(std::ranges::upper_bound(placed, block->offset, {}, &Block::offset), block);
      plan_.pool_bytes = std::max(plan_.pool_bytes, static_cast<std::size_t>(block->offset + block->bytes));
    }
  }

  void place_apart() {
    for (Block& block : blocks_) {
      block.offset = static_cast<std::int64_t>(plan_.pool_bytes);
      plan_.pool_bytes += static_cast<std::size_t>(block.bytes);
    }
  }

  MemoryPlan take() {
    for (std::size_t id = 0; id < block_of_.size(); ++id)
      if (block_of_[id] != nowhere) plan_.offset[id] = blocks_[static_cast<std::size_t>(block_of_[id])].offset;
    return std::move(plan_);
  }

 private:
  static std::size_t index(TensorId id) { return static_cast<std::size_t>(id); }
  const Life& life(TensorId id) const { return lives_[index(id)]; }
  bool merged(TensorId output) const { return std::ranges::find(merged_, output, &Alias::output) != merged_.end(); }
  bool taken(const Alias& alias) const {
    return std::ranges::any_of(merged_, [&](const Alias& other) { return other.input == alias.input; });
  }

  static std::int64_t tightest_gap(const Block& block, const std::vector<const Block*>& placed) {
    std::int64_t best = -1;
    std::int64_t best_size = std::numeric_limits<std::int64_t>::max();
    std::int64_t free_from = 0;
    for (const Block* other : placed) {
      if (other->last < block.first || block.last < other->first) continue;
      const std::int64_t gap = other->offset - free_from;
      if (gap >= block.bytes && gap < best_size) {
        best = free_from;
        best_size = gap;
      }
      free_from = std::max(free_from, other->offset + other->bytes);
    }
    return best >= 0 ? best : free_from;
  }

  std::vector<Life> lives_;
  std::vector<int> block_of_;  // by tensor
  std::vector<Block> blocks_;
  std::vector<Alias> merged_;
  MemoryPlan plan_;
};

}  // namespace

MemoryPlan plan_memory(const Graph& graph, const std::vector<std::size_t>& bytes, const std::vector<Alias>& in_place,
                       bool reuse) {
  Planner planner(graph, bytes);
  if (reuse) {
    planner.merge(in_place);
    planner.place_together();
  } else {
    planner.place_apart();
  }
  return planner.take();
}

}  // namespace trainmark
