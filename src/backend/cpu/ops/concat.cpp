// Channels beside each other, and channels taken out again: copies of parts of rows, since channels lie last.
#include <cstring>

#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"

namespace trainmark::cpu {
namespace {

/// Rows of so many bytes each.
struct Rows {
  std::int64_t count = 0;
  std::size_t bytes = 0;
  explicit Rows(const TensorDesc& tensor)
      : count(tensor.shape.elements() / tensor.shape[1]),
        bytes(static_cast<std::size_t>(tensor.shape[1]) * size_of(tensor.dtype)) {}
};
constexpr std::int64_t grain = 1 << 10;  // rows

/// Copies `bytes` of each row, from the place of `from` in a row to that of `to`.
void copy_rows(const std::byte* from, std::size_t from_row, std::byte* to, std::size_t to_row, std::size_t bytes,
               Range rows) {
  for (auto row = static_cast<std::size_t>(rows.begin); row < static_cast<std::size_t>(rows.end); ++row)
    std::memcpy(to + row * to_row, from + row * from_row, bytes);
}

}  // namespace

Planned plan_op(const Concat&, const Operands& operands) {
  const Rows dst(operands.outputs[0]);
  std::vector<Rows> parts;
  for (const TensorDesc& input : operands.inputs)
    parts.emplace_back(input);
  auto body = [dst, parts](std::span<void* const> args) {
    parallel_for(dst.count, grain, [&](Range rows, int) {
      auto* to = static_cast<std::byte*>(args[parts.size()]);
      for (std::size_t at = 0; at < parts.size(); to += parts[at++].bytes)
        copy_rows(static_cast<const std::byte*>(args[at]), parts[at].bytes, to, dst.bytes, parts[at].bytes, rows);
    });
  };
  return planned(body, as_activations(operands.outputs));
}

Planned plan_op(const Slice& op, const Operands& operands) {
  const Rows src(operands.inputs[0]), dst(operands.outputs[0]);
  const std::size_t skipped = static_cast<std::size_t>(op.channels.begin) * size_of(operands.inputs[0].dtype);
  auto body = [=](std::span<void* const> args) {
    parallel_for(dst.count, grain, [&](Range rows, int) {
      copy_rows(static_cast<const std::byte*>(args[0]) + skipped, src.bytes, static_cast<std::byte*>(args[1]),
                dst.bytes, dst.bytes, rows);
    });
  };
  return planned(body, as_activations(operands.outputs));
}

}  // namespace trainmark::cpu
