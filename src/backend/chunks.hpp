// Stretches of the arenas cut into pieces of one size, each within one segment. Sums over segments are sums over their
// pieces in this order, so that they do not depend on how many threads share the work.
#pragma once

#include <algorithm>
#include <vector>

#include "trainmark/nn.hpp"

namespace trainmark {

struct SegmentChunk {
  Range range;  ///< from the first segment's begin on
  std::int64_t segment = 0;
};

[[nodiscard]] inline std::vector<SegmentChunk> chunks_of(const std::vector<Segment>& segments, std::int64_t size) {
  std::vector<SegmentChunk> chunks;
  const std::int64_t base = segments.empty() ? 0 : segments.front().range.begin;
  for (std::size_t at = 0; at < segments.size(); ++at) {
    const Range range{segments[at].range.begin - base, segments[at].range.end - base};
    for (std::int64_t begin = range.begin; begin < range.end; begin += size)
      chunks.push_back({{begin, std::min(begin + size, range.end)}, static_cast<std::int64_t>(at)});
  }
  return chunks;
}
[[nodiscard]] inline std::vector<SegmentChunk> chunks_of(std::int64_t count, std::int64_t size) {
  return chunks_of(std::vector<Segment>{{.range = {0, count}}}, size);
}

/// Where an update's operands stand behind the arenas' pointers: the step's state, then what the rule and the loss
/// scale add.
struct UpdateOperands {
  std::size_t step_state = 0, count = 0, norms = 0, loss_scale = 0;
  explicit UpdateOperands(const Update& update)
      : step_state(2 + static_cast<std::size_t>(slots_of(update.rule))),
        count(step_state + 1),
        norms(count + (counts_updates(update.rule) ? 1 : 0)),
        loss_scale(norms + static_cast<std::size_t>(update.norms)) {}
};

}  // namespace trainmark
