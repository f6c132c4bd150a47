// Channels beside each other, and channels taken out again: copies of parts of rows, since channels lie last. Rows are
// padded to a multiple of eight channels, so parts may start anywhere in them, and what makes a row's end makes its
// padding too.
#include "backend/cuda/element.cuh"
#include "backend/cuda/plans.hpp"

namespace trainmark::cuda {
namespace {

/// A part of each row: `real` channels from `from_begin` on, and zeros up to `written` of them.
struct Part {
  std::int64_t rows = 0;
  std::int64_t from_row = 0, from_begin = 0;  // channels as stored
  std::int64_t to_row = 0, to_begin = 0;
  std::int64_t real = 0, written = 0;
  [[nodiscard]] bool moves_in(std::int64_t width) const noexcept {
    for (const std::int64_t each : {from_row, from_begin, to_row, to_begin, real, written})
      if (each % width != 0) return false;
    return true;
  }
};

template <class T, int Width>
__global__ void __launch_bounds__(block_threads) copy_part(const T* from, T* to, Part part) {
  const std::int64_t packs = part.written / Width;
  const std::int64_t row = item() / packs;
  const std::int64_t channel = item() % packs * Width;
  if (row >= part.rows) return;
  Pack<T, Width> pack{};
  if (channel < part.real) pack = load<Width>(from + row * part.from_row + part.from_begin + channel);
  store<Width>(to + row * part.to_row + part.to_begin + channel, pack);
}

void copy(cudaStream_t stream, DType type, const void* from, void* to, const Part& part) {
  with_type(type, [&]<class T>(Type<T>) {
    constexpr int width = vector_width<T>;
    const bool vectors = part.moves_in(width);
    const LaunchShape shape = one_thread_each(part.rows * part.written / (vectors ? width : 1));
    launch("copy_part", vectors ? copy_part<T, width> : copy_part<T, 1>, shape, stream, static_cast<const T*>(from),
           static_cast<T*>(to), part);
  });
}

std::int64_t row_of(const TensorDesc& tensor) { return stored_shape(tensor)[1]; }

}  // namespace

Planned plan_op(const Concat&, const Operands& operands) {
  const TensorDesc dst = activation_desc(operands.outputs[0].shape, operands.outputs[0].dtype);
  std::vector<Part> parts;
  std::int64_t begin = 0;
  for (const TensorDesc& input : operands.inputs) {
    const std::int64_t channels = input.shape[1];
    parts.push_back({.rows = dst.shape.elements() / dst.shape[1],
                     .from_row = row_of(input),
                     .to_row = row_of(dst),
                     .to_begin = begin,
                     .real = channels,
                     .written = channels});
    begin += channels;
  }
  parts.back().written += row_of(dst) - begin;
  auto body = [parts, type = dst.dtype](cudaStream_t stream, std::span<void* const> args) {
    for (std::size_t at = 0; at < parts.size(); ++at)
      copy(stream, type, args[at], args[parts.size()], parts[at]);
  };
  return planned(std::move(body), {dst});
}

Planned plan_op(const Slice& op, const Operands& operands) {
  const TensorDesc dst = activation_desc(operands.outputs[0].shape, operands.outputs[0].dtype);
  const Part part{.rows = dst.shape.elements() / dst.shape[1],
                  .from_row = row_of(operands.inputs[0]),
                  .from_begin = op.channels.begin,
                  .to_row = row_of(dst),
                  .real = op.channels.size(),
                  .written = row_of(dst)};
  auto body = [part, type = dst.dtype](cudaStream_t stream, std::span<void* const> args) {
    copy(stream, type, args[0], args[1], part);
  };
  return planned(std::move(body), {dst});
}

}  // namespace trainmark::cuda
