// Arithmetic of boxes in arrays of any rank: which contiguous runs of elements a box is made of. No I/O, no types.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace trainmark {

constexpr std::size_t max_rank = 32;  // of the HDF5 library
using Extents = std::array<std::int64_t, max_rank>;

/// A box of an array: where it begins and how far it goes along each axis.
struct Box {
  std::size_t rank = 0;
  Extents begin{};
  Extents extent{};
  [[nodiscard]] std::int64_t elements() const noexcept {
    std::int64_t product = 1;
    for (std::size_t axis = 0; axis < rank; ++axis)
      product *= extent[axis];
    return product;
  }
};

/// The same `extent` elements seen in two row-major arrays, at a place of its own in each.
struct BoxPair {
  std::size_t rank = 0;
  Extents extent{};
  Extents from_dims{}, from_begin{};
  Extents to_dims{}, to_begin{};
};

/// Calls visit(from, to, length), in elements, for every run that is contiguous in both arrays, in ascending order.
template <class Visit>
void for_each_run(const BoxPair& pair, Visit&& visit) {
  // Axes that are whole in both arrays melt into the run.
  std::size_t outer = pair.rank == 0 ? 0 : pair.rank - 1;
  std::int64_t length = pair.rank == 0 ? 1 : pair.extent[outer];
  while (outer > 0 && pair.extent[outer] == pair.from_dims[outer] && pair.extent[outer] == pair.to_dims[outer]) {
    --outer;
    length *= pair.extent[outer];
  }
  Extents from_stride{}, to_stride{};
  std::int64_t from = 0, to = 0, from_step = 1, to_step = 1;
  for (std::size_t axis = pair.rank; axis-- > 0;) {
    from_stride[axis] = from_step;
    to_stride[axis] = to_step;
    from += pair.from_begin[axis] * from_step;
    to += pair.to_begin[axis] * to_step;
    from_step *= pair.from_dims[axis];
    to_step *= pair.to_dims[axis];
  }
  Extents index{};
  for (;;) {
    visit(from, to, length);
    std::size_t axis = outer;
    for (;; --axis) {
      if (axis == 0) return;
      const std::size_t moved = axis - 1;
      from += from_stride[moved];
      to += to_stride[moved];
      if (++index[moved] < pair.extent[moved]) break;
      from -= pair.extent[moved] * from_stride[moved];
      to -= pair.extent[moved] * to_stride[moved];
      index[moved] = 0;
    }
  }
}

}  // namespace trainmark
