// One operation on one backend: operands made from logical arrays, outputs and scratch memory poisoned, everything that
// the plan had no business to touch checked afterwards. Tests are parameterised over the backends that are there.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "reference/ops.hpp"
#include "trainmark/backend.hpp"

namespace trainmark::test {

using reference::Array;

/// A backend to test, and the element type of activations.
struct Case {
  std::string name;
  std::function<std::shared_ptr<Backend>(bool deterministic)> get;
  DType dtype = DType::f32;
};
[[nodiscard]] std::vector<Case> cases();
/// This process alone, for backends that want a world.
[[nodiscard]] const World& world_of_one();
/// `value` as the type holds it.
[[nodiscard]] double rounded(double value, DType dtype);
[[nodiscard]] std::string name_of_case(const testing::TestParamInfo<Case>& info);

/// Device memory, filled with 0xFF (a NaN in every floating-point type), with guard bytes behind it.
class Buffer {
 public:
  Buffer(Backend& backend, std::size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&&) = delete;

  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  void upload(const void* from) const;
  [[nodiscard]] std::vector<std::byte> download() const;
  [[nodiscard]] bool guard_intact() const;

 private:
  [[nodiscard]] std::vector<std::byte> read(std::size_t offset, std::size_t bytes) const;
  Backend* backend_;
  std::size_t bytes_;
  void* data_;
};

struct Operand {
  TensorDesc desc;
  Buffer buffer;
};

class BackendTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { backend = GetParam().get(false); }
  /// For tests that demand equal bits of two launches, or of two operations that sum alike: an engine may add
  /// atomically.
  void leave_out_engines_that_vary() { backend = GetParam().get(true); }

  /// Values in [-1, 1), exact in the activations' type; no two calls give the same.
  [[nodiscard]] Array random(const Shape& shape);
  /// Whole numbers in [lowest, lowest + count).
  [[nodiscard]] Array whole(const Shape& shape, int lowest, int count);

  [[nodiscard]] Operand activation(const Array& array) { return activation(array, GetParam().dtype); }
  [[nodiscard]] Operand activation(const Array& array, DType dtype);
  [[nodiscard]] Operand parameter(const Array& array);  ///< fp32 in logical order
  [[nodiscard]] Operand bytes(const TensorDesc& desc, const void* from);
  [[nodiscard]] Operand step_state(const StepState& state, const std::vector<std::int64_t>& ids, std::int64_t batch);
  [[nodiscard]] Array logical(const Operand& operand);

  [[nodiscard]] TensorDesc output(const Shape& shape) const { return {shape, GetParam().dtype, logical_layout}; }
  /// What a convolution's weight gradient was rounded to before it became fp32.
  [[nodiscard]] DType weight_gradient_type() const { return backend->name() == "cuda" ? GetParam().dtype : DType::f32; }
  [[nodiscard]] static TensorDesc gradient(const Shape& shape) { return {shape, DType::f32, logical_layout}; }

  /// Plans and runs `op`. With `in_place` an output and an input share memory as the plan's so many-th offer (from 1)
  /// allows; that it makes it is expected.
  template <class Op>
  std::vector<Operand> execute(const Op& op, const std::vector<Operand>& inputs, const std::vector<TensorDesc>& outputs,
                               int in_place = 0) {
    Operands operands;
    for (const Operand& input : inputs)
      operands.inputs.push_back(input.desc);
    operands.outputs = outputs;
    EXPECT_EQ(backend->refusal(Op(op), operands), "");
    return execute(backend->plan(op, operands), inputs, outputs, in_place);
  }
  /// The first output, in logical order.
  template <class Op>
  Array result(const Op& op, const std::vector<Operand>& inputs, const TensorDesc& output, int in_place = 0) {
    return logical(execute(op, inputs, {output}, in_place)[0]);
  }

  /// |actual - expected| <= rounding of the output's type + accumulation error of sums of these magnitudes.
  /// `stored`: what was rounded to that type on the way to the output, if anything was.
  void expect_close(const Array& actual, const Array& expected, const Array& magnitudes, DType dtype,
                    const Array* stored = nullptr) const;
  void expect_close(const Array& actual, const Array& expected, const Array& magnitudes) const {
    expect_close(actual, expected, magnitudes, GetParam().dtype);
  }
  static void expect_equal(const Array& actual, const Array& expected);

  std::shared_ptr<Backend> backend;

 private:
  std::vector<Operand> execute(Planned planned, const std::vector<Operand>& inputs,
                               const std::vector<TensorDesc>& outputs, int in_place);
  void expect_clean_padding(const Operand& operand);
  std::uint64_t drawn_ = 0;
};

template <class... Operands>
[[nodiscard]] std::vector<Operand> list(Operands&&... operands) {
  std::vector<Operand> all;
  (all.push_back(std::forward<Operands>(operands)), ...);
  return all;
}

}  // namespace trainmark::test
