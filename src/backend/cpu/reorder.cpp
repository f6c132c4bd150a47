#include "backend/cpu/reorder.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/reorder.cpp"
#include <hwy/foreach_target.h>
// clang-format off
#include "backend/cpu/simd-inl.hpp"
// clang-format on
#include <algorithm>
#include <cstring>

#include "backend/cpu/parallel.hpp"
#include "backend/cpu/primitive.hpp"

HWY_BEFORE_NAMESPACE();
namespace trainmark::cpu::HWY_NAMESPACE {

/// out[c * out_stride + r] = in[r * in_stride + c].
void transpose(const std::uint32_t* in, std::int64_t in_stride, std::int64_t rows, std::int64_t columns,
               std::uint32_t* out, std::int64_t out_stride) {
  std::int64_t row = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<std::uint32_t, 4> d;
  const hn::Repartition<std::uint64_t, decltype(d)> pairs;
  for (; row + 4 <= rows; row += 4) {
    const std::uint32_t* from = in + row * in_stride;
    std::uint32_t* to = out + row;
    std::int64_t column = 0;
    for (; column + 4 <= columns; column += 4) {
      const auto a = hn::LoadU(d, from + column), b = hn::LoadU(d, from + in_stride + column);
      const auto e = hn::LoadU(d, from + 2 * in_stride + column), f = hn::LoadU(d, from + 3 * in_stride + column);
      const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(d, a, b));
      const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b));
      const auto ef_low = hn::BitCast(pairs, hn::InterleaveLower(d, e, f));
      const auto ef_high = hn::BitCast(pairs, hn::InterleaveUpper(d, e, f));
      std::uint32_t* first = to + column * out_stride;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, ab_low, ef_low)), d, first);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_low, ef_low)), d, first + out_stride);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, ab_high, ef_high)), d, first + 2 * out_stride);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_high, ef_high)), d, first + 3 * out_stride);
    }
    for (; column < columns; ++column) {
      for (std::int64_t i = 0; i < 4; ++i)
        to[column * out_stride + i] = from[i * in_stride + column];
    }
  }
#endif
  for (; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column)
      out[column * out_stride + row] = in[row * in_stride + column];
  }
}

void halve(const float* from, std::int64_t count, std::uint16_t* to) {
  over_lanes(count, [&](auto d, std::int64_t at) HWY_ATTR { store(d, load(d, from + at), to + at); });
}

/// Pairs of bf16, the first of a pair in the low half.
void pair_up(const float* low, const float* high, std::int64_t count, std::uint32_t* to) {
  over_lanes(count, [&](auto d, std::int64_t at) HWY_ATTR {
    const hn::RebindToUnsigned<decltype(d)> words;
    const auto first = half_bits(d, load(d, low + at)), second = half_bits(d, load(d, high + at));
    hn::StoreU(hn::Or(first, hn::ShiftLeft<16>(second)), words, to + at);
  });
}

/// Of the row-major tensor.
std::int64_t stride_of(const WeightBlocks& weights, std::size_t axis) {
  return axis == 0 ? weights.extents[1] * weights.taps : weights.taps;
}

/// A tile of the plain tensor as words [x][column]: an fp32 or a pair of bf16 each, zero beyond the extents. Columns
/// are units and their taps. Returns the words from row to row.
std::int64_t gather(const WeightBlocks& weights, const float* plain, Range x, Range y, std::uint32_t* tile) {
  const std::size_t other = 1 - weights.axis;
  const std::int64_t block_stride = stride_of(weights, weights.axis), other_stride = stride_of(weights, other);
  const std::int64_t width = weights.units_of_tile() * weights.taps;
  const std::int64_t rows = std::min(x.end, weights.extents[weights.axis]) - x.begin;
  const std::int64_t count = std::min(y.end, weights.extents[other]) - y.begin;
  if (rows < x.size() || count < y.size()) std::fill_n(tile, weights.block * width, 0U);
  if (rows <= 0 || count <= 0) return width;
  const float* from = plain + x.begin * block_stride + y.begin * other_stride;
  const std::int64_t together = weights.axis == 1 ? rows : 1;  // with their taps they are contiguous
  for (std::int64_t row = 0; row < rows; row += together) {
    const float* begin = from + row * block_stride;
    std::uint32_t* to = tile + row * width;
    if (!weights.half) {
      std::memcpy(to, begin, sizeof(float) * together * count * weights.taps);
    } else if (other_stride == 1) {  // pairs are neighbours
      halve(begin, count, reinterpret_cast<std::uint16_t*>(to));
    } else {
      static constexpr std::array<float, WeightBlocks::room> zeros = {};
      for (std::int64_t first = 0; first < count; first += 2, to += weights.taps) {
        const float* low = begin + first * other_stride;
        pair_up(low, first + 1 < count ? low + other_stride : zeros.data(), together * weights.taps, to);
      }
    }
  }
  return width;
}

void pack(const WeightBlocks& weights, const float* plain, std::byte* blocks, Range tiles) {
  const std::size_t other = 1 - weights.axis;
  const std::int64_t step = weights.units_of_tile() * weights.unit;  // along the other axis
  const auto [across, down] = weights.tiles();
  const std::int64_t size = weights.half ? 2 : 4;
  // Words from unit to unit, and from tap to tap.
  const std::int64_t unit_stride = weights.strides[other] * size / 4, tap_stride = weights.tap_stride * size / 4;
  alignas(64) std::array<std::uint32_t, WeightBlocks::room> tile;
  for (std::int64_t at = tiles.begin; at < tiles.end; ++at) {
    // In the order of the plain tensor.
    const std::int64_t at_x = weights.axis == 0 ? at / down : at % across;
    const std::int64_t at_y = weights.axis == 0 ? at % down : at / across;
    const Range x{at_x * weights.block, (at_x + 1) * weights.block};
    const Range y{at_y * step, std::min((at_y + 1) * step, weights.padded[other])};
    const std::int64_t width = gather(weights, plain, x, y, tile.data());
    auto* to = reinterpret_cast<std::uint32_t*>(
        blocks + size * (at_x * weights.strides[weights.axis] + y.begin / weights.unit * weights.strides[other]));
    if (width == 1) {
      std::memcpy(to, tile.data(), sizeof(std::uint32_t) * weights.block);
    } else if (weights.taps == 1) {
      transpose(tile.data(), width, weights.block, y.size() / weights.unit, to, unit_stride);
    } else {
      for (std::int64_t unit = 0; unit < y.size() / weights.unit; ++unit)
        transpose(tile.data() + unit * weights.taps, width, weights.block, weights.taps, to + unit * unit_stride,
                  tap_stride);
    }
  }
}

/// Of fp32 without taps in blocks of 16 x 16, the outer axis fastest.
void unpack(const WeightBlocks& weights, const float* blocks, float* plain, Range tiles) {
  constexpr std::int64_t side = 16;
  const std::int64_t row_stride = stride_of(weights, 0);
  for (std::int64_t at = tiles.begin; at < tiles.end; ++at) {
    const std::int64_t o = at / (weights.padded[1] / side), i = at % (weights.padded[1] / side);
    const std::int64_t rows = std::min(side, weights.extents[0] - o * side);
    const std::int64_t count = std::min(side, weights.extents[1] - i * side);
    const auto* from = reinterpret_cast<const std::uint32_t*>(blocks + o * weights.strides[0] + i * weights.strides[1]);
    auto* to = reinterpret_cast<std::uint32_t*>(plain + o * side * row_stride + i * side);
    transpose(from, side, count, rows, to, row_stride);
  }
}

}  // namespace trainmark::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trainmark::cpu {
namespace {

HWY_EXPORT(pack);
HWY_EXPORT(unpack);

using dnnl::memory;

constexpr std::int64_t grain = 1 << 14;  ///< elements worth a thread

template <class Body>
void over_tiles(std::int64_t tiles, std::int64_t elements_each, const Body& body) {
  parallel_for(tiles, std::max<std::int64_t>(1, grain / elements_each), [&](Range range, int) { body(range); });
}

bool is_row_major(const memory::desc& desc) {
  if (desc.get_format_kind() != memory::format_kind::blocked || desc.get_inner_nblks() != 0) return false;
  const auto dims = desc.get_dims(), strides = desc.get_strides();
  std::int64_t expected = 1;
  for (std::size_t axis = dims.size(); axis-- > 0; expected *= dims[axis]) {
    if (strides[axis] != expected) return false;
  }
  return true;
}

/// What a blocked layout is, where it is one of those that we know.
std::optional<WeightBlocks> blocks_of(const memory::desc& desc) {
  const auto dims = desc.get_dims(), padded = desc.get_padded_dims();
  if (desc.get_format_kind() != memory::format_kind::blocked || dims.size() < 3) return std::nullopt;
  const auto blocks = desc.get_inner_blks(), axes = desc.get_inner_idxs(), strides = desc.get_strides();
  if (blocks.empty() || blocks.size() > 2 || axes[0] > 1 || (axes.size() == 2 && axes[1] != 1 - axes[0]))
    return std::nullopt;
  WeightBlocks weights;
  weights.half = desc.get_data_type() == memory::data_type::bf16;
  if (!weights.half && desc.get_data_type() != memory::data_type::f32) return std::nullopt;
  for (std::size_t axis = 2; axis < dims.size(); ++axis) {
    if (padded[axis] != dims[axis]) return std::nullopt;
    weights.taps *= dims[axis];
  }
  // Taps in their order, at one distance.
  std::int64_t expected = weights.tap_stride = strides.back();
  for (std::size_t axis = dims.size(); axis-- > 2; expected *= dims[axis]) {
    if (dims[axis] > 1 && strides[axis] != expected) return std::nullopt;
  }
  for (const std::size_t axis : {0U, 1U}) {
    weights.extents[axis] = dims[axis];
    weights.padded[axis] = padded[axis];
    weights.strides[axis] = strides[axis];
  }
  weights.axis = static_cast<std::size_t>(axes[0]);
  weights.block = blocks[0];
  if (blocks.size() == 2) weights.unit = blocks[1];
  return weights;
}

/// oneDNN is as fast where the plain tensor and the blocks both have whole cache lines.
std::optional<WeightBlocks> packed_for(const memory::desc& from, const memory::desc& to) {
  if (from.get_data_type() != memory::data_type::f32 || !is_row_major(from)) return std::nullopt;
  const auto weights = blocks_of(to);
  const bool fits = weights && weights->unit == (weights->half ? 2 : 1) &&
                    weights->block * weights->units_of_tile() * weights->taps <= WeightBlocks::room;
  return fits && (weights->axis == 0 || (weights->half && weights->block <= 32)) ? weights : std::nullopt;
}

std::optional<WeightBlocks> unpacked_from(const memory::desc& from, const memory::desc& to) {
  if (to.get_data_type() != memory::data_type::f32 || !is_row_major(to)) return std::nullopt;
  const auto weights = blocks_of(from);
  const bool fits = weights && !weights->half && weights->taps == 1 && weights->axis == 1 && weights->block == 16 &&
                    weights->unit == 16;
  return fits ? weights : std::nullopt;
}

}  // namespace

Reorder::Reorder(const memory::desc& from, const memory::desc& to)
    : pack_(packed_for(from, to)), unpack_(unpacked_from(from, to)) {
  if (!is_ours()) library_ = dnnl::reorder({engine(), from, engine(), to});
}

void Reorder::execute(dnnl::stream& stream, memory& from, memory& to) const {
  if (library_) return library_->execute(stream, from, to);
  const auto* source = static_cast<const float*>(from.get_data_handle());
  if (pack_) {
    const auto [across, down] = pack_->tiles();
    over_tiles(across * down, pack_->block * pack_->unit * pack_->units_of_tile() * pack_->taps, [&](Range tiles) {
      HWY_DYNAMIC_DISPATCH(pack)(*pack_, source, static_cast<std::byte*>(to.get_data_handle()), tiles);
    });
    return;
  }
  const std::int64_t blocks = unpack_->padded[0] / unpack_->block * (unpack_->padded[1] / unpack_->unit);
  over_tiles(blocks, unpack_->block * unpack_->unit, [&](Range tiles) {
    HWY_DYNAMIC_DISPATCH(unpack)(*unpack_, source, static_cast<float*>(to.get_data_handle()), tiles);
  });
}

}  // namespace trainmark::cpu
#endif
