// Sums over all positions of a sample, in fp64, and the spreading of one value a channel over all positions.
#include <cstring>

#include "backend/cpu/element.hpp"
#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"

namespace trainmark::cpu {
Planned plan_op(const SpatialSum& op, const Operands& operands) {
  const TensorDesc& src = operands.inputs[0];
  const std::int64_t samples = src.shape[0], channels = src.shape[1];
  const std::int64_t positions = src.shape.elements() / (samples * channels);
  const DType type = src.dtype;
  auto body = [=, factor = op.factor](std::span<void* const> args) {
    constexpr std::int64_t together = 64;  // channels whose sums stay in registers or the nearest cache
    parallel_for(samples * channels, together, [&](Range range, int) {
      for (std::int64_t at = range.begin; at < range.end;) {
        const std::int64_t sample = at / channels, first = at % channels;
        const std::int64_t count = std::min({together, range.end - at, channels - first});
        std::array<double, together> sums{};
        for (std::int64_t position = 0; position < positions; ++position)
          for (std::int64_t c = 0; c < count; ++c)
            sums[static_cast<std::size_t>(c)] +=
                read(args[0], (sample * positions + position) * channels + first + c, type);
        for (std::int64_t c = 0; c < count; ++c)
          write(args[1], at + c, type, static_cast<float>(factor * sums[static_cast<std::size_t>(c)]));
        at += count;
      }
    });
  };
  return planned(body, as_activations(operands.outputs));
}

Planned plan_op(const Tile& op, const Operands& operands) {
  const TensorDesc& dst = operands.outputs[0];
  const std::int64_t samples = dst.shape[0], channels = dst.shape[1];
  const std::int64_t positions = dst.shape.elements() / (samples * channels);
  const DType type = operands.inputs[0].dtype;
  auto body = [=, factor = op.factor](std::span<void* const> args) {
    const std::size_t bytes = static_cast<std::size_t>(channels) * size_of(type);
    auto* to = static_cast<std::byte*>(args[1]);
    parallel_for(samples * positions, 256, [&](Range rows, int) {
      std::int64_t previous = -1;
      for (std::int64_t row = rows.begin; row < rows.end; previous = row++) {
        const std::int64_t sample = row / positions;
        if (previous >= 0 && previous / positions == sample) {
          std::memcpy(to + static_cast<std::size_t>(row) * bytes, to + static_cast<std::size_t>(previous) * bytes,
                      bytes);
          continue;
        }
        for (std::int64_t c = 0; c < channels; ++c)
          write(to, row * channels + c, type, factor * read(args[0], sample * channels + c, type));
      }
    });
  };
  return planned(body, as_activations(operands.outputs));
}

}  // namespace trainmark::cpu
