// How an update's launches find their way: tables of segments in kernels' parameters, pointers into the arenas, what
// the step says to all elements, and from which element on accesses are aligned.
#pragma once

#include <initializer_list>
#include <vector>

#include "backend/cuda/element.cuh"
#include "trainmark/backend.hpp"
#include "trainmark/optim.hpp"

namespace trainmark::cuda {

inline constexpr std::int64_t piece_elements = 1 << 14;  // that a block sums

/// Neighbouring segments of one launch. With what else a kernel takes they fit its 4 KB of parameters.
struct SegmentTable {
  static constexpr int most = 160;
  int count = 0;
  std::int64_t ends[most];  // elements from the launch's first on
  float decays[most];
  bool trusted[most];
  int first_pieces[most];  // each within a segment
  int pieces = 0;

  [[nodiscard]] __device__ Treatment treatment(int segment) const { return {decays[segment], trusted[segment]}; }
  [[nodiscard]] __device__ std::int64_t begin(int segment) const { return segment == 0 ? 0 : ends[segment - 1]; }
  /// That of element `at`; the last one for what lies behind.
  [[nodiscard]] __device__ int segment_of(std::int64_t at) const {
    int low = 0;
    int high = count - 1;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (at < ends[middle]) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }
  [[nodiscard]] __device__ int segment_of_piece(int piece) const {
    int low = 0;
    int high = count - 1;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (piece < first_pieces[middle]) {
        high = middle - 1;
      } else {
        low = middle;
      }
    }
    return low;
  }
};
/// A table and the place of its first element in the update's range.
struct TableAt {
  SegmentTable table;
  std::int64_t offset = 0;
};
inline std::vector<TableAt> tables_of(const std::vector<Segment>& segments) {
  std::vector<TableAt> tables;
  for (const Segment& segment : segments) {
    if (tables.empty() || tables.back().table.count == SegmentTable::most) {
      tables.emplace_back();
      tables.back().offset = segment.range.begin - segments.front().range.begin;
    }
    SegmentTable& table = tables.back().table;
    table.ends[table.count] = segment.range.end - segments.front().range.begin - tables.back().offset;
    table.decays[table.count] = segment.treatment.decay;
    table.trusted[table.count] = segment.treatment.trusted;
    table.first_pieces[table.count] = table.pieces;
    table.pieces += static_cast<int>(ceil_div(segment.range.size(), piece_elements));
    ++table.count;
  }
  return tables;
}

/// The arenas from a launch's first element on.
struct Arenas {
  float* weights;
  const float* gradients;
  float* first;   // slot
  float* second;  // slot, where the rule has two
  [[nodiscard]] Arenas from(std::int64_t offset) const {
    return {weights + offset, gradients + offset, first + offset, second + offset};
  }
};
/// What the step says to all elements.
struct StepInputs {
  const StepState* state;
  const UpdateCount* count;  // null where the rule counts none
  const LossScale* scaler;   // null where nothing is scaled
  [[nodiscard]] __device__ bool skips() const { return scaler != nullptr && scaler->found_inf != 0; }
  [[nodiscard]] __device__ float unscale() const { return scaler == nullptr ? 1.0F : 1.0F / scaler->scale; }
};

/// Ranges of arenas start anywhere, but at the same place in each: then all are aligned from the same element on.
struct Alignment {
  bool together = false;
  std::int64_t head = 0, items = 0;  ///< elements before the first aligned one; threads

  Alignment(std::int64_t count, const void* first, std::initializer_list<const void*> others) : items(count) {
    const std::int64_t off = misaligned_bytes(first);
    together = std::ranges::all_of(others, [off](const void* other) { return misaligned_bytes(other) == off; });
    if (!together) return;
    const std::int64_t before = (access_bytes - off) % access_bytes / static_cast<std::int64_t>(sizeof(float));
    head = std::min(before, count);
    items = head + ceil_div(count - head, vector_width<float>);
  }
};

}  // namespace trainmark::cuda
