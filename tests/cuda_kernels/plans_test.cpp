// Plans in places that the tests of all backends do not reach: bytes as raw data, means summed in many parts, dropout
// over padded volumes.
#include <cmath>

#include "backend/cuda/layout.hpp"
#include "cuda_kernels/kernel_test.hpp"
#include "reference/ops.hpp"

namespace trainmark::cuda {
namespace {

class KernelPlans : public PlanTest {
 protected:
  static void* on_device(const TensorDesc& desc, const std::vector<float>& logical) {
    std::vector<std::byte> host(stored_bytes(desc));
    from_logical_order(desc, logical.data(), host.data());
    return cuda_double::on_device(host);
  }
  static std::vector<float> logical(const TensorDesc& desc, const void* memory) {
    const auto host = cuda_double::on_host(static_cast<const std::byte*>(memory), stored_bytes(desc));
    std::vector<float> values(static_cast<std::size_t>(desc.shape.elements()));
    to_logical_order(desc, host.data(), values.data());
    return values;
  }
};

TEST_F(KernelPlans, PreprocessingTakesBytesAndSumsSamplesInParts) {
  for (const Shape& shape : {Shape{2, 4, 16, 16, 17}, Shape{3, 3, 50, 51}, Shape{2, 11, 7, 5}, Shape{2, 4100}}) {
    for (const bool logarithm : {true, false}) {
      SCOPED_TRACE(to_string(shape) + (logarithm ? ", log" : ", mean"));
      const std::int64_t channels = shape[1], voxels = shape.elements() / shape[0] / channels;
      reference::Array counts(shape);
      std::vector<std::uint8_t> raw(counts.values.size());
      Rng rng(9, Purpose::test);
      for (std::int64_t i = 0; i < shape.elements(); ++i) {
        counts[i] = static_cast<double>(rng.below(256));
        const std::int64_t n = i / voxels / channels, c = i / voxels % channels;
        raw[static_cast<std::size_t>((n * voxels + i % voxels) * channels + c)] = static_cast<std::uint8_t>(counts[i]);
      }
      const reference::Array expected = reference::preprocess({.log_transform = logarithm}, counts);
      const Planned planned =
          plan_op(Preprocess{.log_transform = logarithm},
                  {.inputs = {{shape, DType::u8, logical_layout}}, .outputs = {{shape, DType::f32, logical_layout}}});
      const TensorDesc& desc = planned.outputs[0];
      void* dst = cuda_double::device_array<std::byte>(stored_bytes(desc));
      run(planned, {cuda_double::on_device(raw), dst});
      const std::vector<float> actual = logical(desc, dst);
      for (std::int64_t i = 0; i < shape.elements(); ++i)
        ASSERT_NEAR(actual[static_cast<std::size_t>(i)], expected[i], 2e-6 * std::fabs(expected[i])) << i;
    }
  }
}

TEST_F(KernelPlans, DropoutNumbersTheUnitsOfAVolumeWithoutItsPadding) {
  const Dropout dropout{.rate = 0.5F, .seed = 9, .layer = 3};
  for (const Shape& shape : {Shape{2, 4, 3, 3, 3}, Shape{3, 5, 4, 3}, Shape{2, 13, 3}, Shape{2, 16, 2, 2}}) {
    for (const DType type : types) {
      SCOPED_TRACE(to_string(shape) + " " + std::string(name_of(type)));
      const TensorDesc desc = activation_desc(shape, type);
      const std::vector<float> src = random(shape.elements());
      std::vector<std::int64_t> ids(static_cast<std::size_t>(shape[0] - 1), 1000);  // the last sample is padding
      void* dst = cuda_double::device_array<std::byte>(stored_bytes(desc));
      run(plan_op(dropout, {.inputs = {desc, {}}, .outputs = {desc}}),
          {on_device(desc, src), step_state(state(static_cast<int>(ids.size())), ids, shape[0]), dst});
      const std::vector<float> actual = logical(desc, dst);
      const std::int64_t channels = shape[1], voxels = shape.elements() / shape[0] / channels;
      for (std::int64_t i = 0; i < shape.elements(); ++i) {
        const std::int64_t n = i / voxels / channels, unit = i % voxels * channels + i / voxels % channels;
        const bool keep = n < shape[0] - 1 && dropout_keeps(dropout, 3, 1000, unit);
        ASSERT_EQ(actual[static_cast<std::size_t>(i)], keep ? 2.0F * src[static_cast<std::size_t>(i)] : 0.0F) << i;
      }
    }
  }
}

}  // namespace
}  // namespace trainmark::cuda
