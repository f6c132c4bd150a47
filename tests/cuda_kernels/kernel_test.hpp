// Device memory of the double for tests of single kernels: values of an element type at any offset, in and out.
#pragma once

#include <cstring>
#include <vector>

#include "backend/cuda/plans.hpp"
#include "backend/math.hpp"
#include "cuda_double/support.hpp"

namespace trainmark::cuda {

[[nodiscard]] inline float value_at(const std::vector<std::byte>& memory, std::int64_t index, DType type) {
  const std::byte* from = memory.data() + static_cast<std::size_t>(index) * size_of(type);
  if (type == DType::f32) {
    float value = 0.0F;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  std::uint16_t half = 0;
  std::memcpy(&half, from, sizeof half);
  return type == DType::bf16 ? from_bf16(half) : from_f16(half);
}

/// `elements` of `type`, the first of them `offset` elements behind an aligned address; every byte 0xFF, a NaN.
class Elements {
 public:
  Elements(DType type, std::int64_t elements, std::int64_t offset = 0)
      : type_(type), offset_(static_cast<std::size_t>(offset) * size_of(type)) {
    const std::vector<std::byte> fill(offset_ + static_cast<std::size_t>(elements) * size_of(type), std::byte{0xFF});
    memory_ = cuda_double::on_device(fill);
    bytes_ = fill.size();
  }
  Elements(const std::vector<float>& values, std::int64_t offset)
      : Elements(DType::f32, static_cast<std::int64_t>(values.size()), offset) {
    EXPECT_EQ(cudaMemcpy(data(), values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
  }
  [[nodiscard]] void* data() const { return memory_ + offset_; }
  [[nodiscard]] float* floats() const { return static_cast<float*>(data()); }
  [[nodiscard]] std::vector<float> values() const {
    const std::vector<std::byte> host = cuda_double::on_host(static_cast<std::byte*>(data()), bytes_ - offset_);
    std::vector<float> values;
    for (std::size_t i = 0; i < host.size() / size_of(type_); ++i)
      values.push_back(value_at(host, static_cast<std::int64_t>(i), type_));
    return values;
  }

 private:
  DType type_;
  std::size_t offset_, bytes_ = 0;
  std::byte* memory_ = nullptr;  // the double's, until its reset
};

/// A fresh device for each test, and values that every type holds exactly.
class KernelTest : public ::testing::Test {
 protected:
  void SetUp() override { restart({}); }
  void restart(const cuda_double::Options& options) {
    cuda_double::reset(options);
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  }
  void finish() { ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess); }
  [[nodiscard]] std::vector<float> random(std::int64_t count) {
    Rng rng(5, Purpose::test, ++drawn_);
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values)
      value = static_cast<float>(static_cast<int>(rng.below(255)) - 127) / 64.0F;
    return values;
  }
  static constexpr std::array<DType, 3> types = {DType::f32, DType::bf16, DType::f16};
  cudaStream_t stream = nullptr;

 private:
  std::uint64_t drawn_ = 0;
};

/// Plans run on a stream of their own, with scratch memory behind their operands.
class PlanTest : public KernelTest {
 protected:
  void run(const Planned& planned, std::vector<void*> args) {
    CudaStream lane(Lane::compute);
    args.push_back(cuda_double::device_array<std::byte>(planned.scratch_bytes + 1));
    planned.plan->execute(lane, args);
    lane.synchronize();
  }
  static void* step_state(const StepState& state, const std::vector<std::int64_t>& ids, std::int64_t batch) {
    std::vector<std::byte> host(step_state_bytes(batch), std::byte{0xFF});
    std::memcpy(host.data(), &state, sizeof state);
    std::memcpy(host.data() + sizeof state, ids.data(), ids.size() * sizeof(std::int64_t));
    return cuda_double::on_device(host);
  }
  static StepState state(int valid) {
    StepState result;
    result.rate = 0.1F;
    result.valid = valid;
    result.epoch = 3;
    return result;
  }
};

}  // namespace trainmark::cuda
