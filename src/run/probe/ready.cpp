#include "run/probe/ready.hpp"

#include <algorithm>
#include <cstring>

namespace trainmark {
namespace {

/// Numbers of either sign between 0.5 and 1 in magnitude: sums of products stay in the range of fp16, and, other than
/// zeros, they cost a device the power that real ones cost.
std::vector<std::byte> random_block(DType type) {
  constexpr std::size_t bytes = std::size_t{1} << 20;
  std::vector<std::byte> block(bytes);
  Rng random(1, Purpose::warm_up);
  if (type == DType::f32) {
    for (std::size_t at = 0; at < bytes; at += sizeof(std::uint32_t)) {
      const std::uint32_t bits = random.bits();
      const std::uint32_t value = (bits & 0x807FFFFFU) | (126U << 23);
      std::memcpy(&block[at], &value, sizeof value);
    }
    return block;
  }
  const unsigned mantissa = type == DType::bf16 ? 7 : 10, exponent = type == DType::bf16 ? 126 : 14;
  for (std::size_t at = 0; at < bytes; at += sizeof(std::uint16_t)) {
    const std::uint32_t bits = random.bits();
    const auto value =
        static_cast<std::uint16_t>((bits & 0x8000U) | (exponent << mantissa) | (bits >> 16 & ((1U << mantissa) - 1)));
    std::memcpy(&block[at], &value, sizeof value);
  }
  return block;
}

void fill(Backend& backend, const Arena& arena, DType type) {
  const std::vector<std::byte> block = random_block(type);
  Stream& stream = backend.stream(Lane::compute);
  for (std::size_t at = 0; at < arena.bytes(); at += block.size())
    backend.copy_to_device(stream, arena.data() + at, block.data(), std::min(block.size(), arena.bytes() - at));
  stream.synchronize();
}

}  // namespace

Ready::Ready(Backend& backend, const Op& op, const Operands& operands, bool filled)
    : backend_(backend), planned_(backend.plan(op, operands)) {
  for (const TensorDesc& input : operands.inputs) {
    const Arena& arena = memory(backend.bytes_of(input));
    if (filled) fill(backend, arena, input.dtype);
  }
  for (const TensorDesc& output : planned_.outputs)
    memory(backend.bytes_of(output));
  memory(planned_.scratch_bytes);
}

Arena& Ready::memory(std::size_t bytes) {
  memory_.push_back(std::make_unique<Arena>(backend_, std::max<std::size_t>(bytes, 1)));
  args_.push_back(memory_.back()->data());
  return *memory_.back();
}

void Ready::run(int times) {
  Stream& stream = backend_.stream(Lane::compute);
  for (int time = 0; time < times; ++time)
    planned_.plan->execute(stream, args_);
  stream.synchronize();
}

}  // namespace trainmark
