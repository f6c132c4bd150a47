// Weights between logical order and the graphs', conversions, and the sums over rows that bias gradients are.
#include "backend/cuda/layout.hpp"
#include "cuda_kernels/kernel_test.hpp"

namespace trainmark::cuda {
namespace {

class WeightKernels : public KernelTest {
 protected:
  static WeightOrder convolution(std::int64_t outer, std::int64_t inner, std::int64_t spatial) {
    return {.outer = outer,
            .inner = inner,
            .spatial = spatial,
            .stored_outer = padded(outer),
            .stored_inner = padded(inner)};
  }
  static WeightOrder dense(std::int64_t units, std::int64_t voxels, std::int64_t channels) {
    return {.outer = units,
            .inner = channels,
            .spatial = voxels,
            .stored_outer = units,
            .stored_inner = padded(channels),
            .spatial_first = true};
  }
  /// Tiles that are whole, cut and several; depthwise; one tap; biases; the most taps that fit.
  static std::vector<WeightOrder> orders() {
    return {convolution(16, 4, 27),
            convolution(5, 70, 9),
            convolution(9, 130, 27),
            convolution(3, 1, 27),
            convolution(5, 3, 1),
            convolution(8, 16, 1),
            convolution(1, 8, 1536),
            dense(4, 12, 20),
            dense(4, 12, 24),
            {.outer = 17, .stored_outer = 24},
            {.outer = 7, .inner = 33, .stored_outer = 7, .stored_inner = 33}};
  }
  static std::string text(const WeightOrder& order) {
    return std::to_string(order.outer) + " x " + std::to_string(order.inner) + " x " + std::to_string(order.spatial);
  }
  static std::int64_t elements(const WeightOrder& order) { return order.outer * order.inner * order.spatial; }
  static std::vector<float> stored(const WeightOrder& order, const std::vector<float>& logical) {
    std::vector<float> result(static_cast<std::size_t>(order.stored()), 0.0F);
    for (std::int64_t i = 0; i < elements(order); ++i) {
      const std::int64_t outer = i / (order.inner * order.spatial), rest = i % (order.inner * order.spatial);
      const std::int64_t inner = order.spatial_first ? rest % order.inner : rest / order.spatial;
      const std::int64_t place = order.spatial_first ? rest / order.inner : rest % order.spatial;
      const std::int64_t at = (outer * order.spatial + place) * order.stored_inner + inner;
      result[static_cast<std::size_t>(at)] = logical[static_cast<std::size_t>(i)];
    }
    return result;
  }
};

TEST_F(WeightKernels, WeightsArePackedFromAnywhereAndPaddedWithZeros) {
  for (const WeightOrder& order : orders()) {
    for (const DType type : types) {
      for (const std::int64_t offset : {0, 1, 3}) {
        SCOPED_TRACE(text(order) + " as " + std::string(name_of(type)));
        const std::vector<float> logical = random(elements(order));
        const Elements from(logical, offset), to(type, order.stored());
        pack_weights(stream, order, from.floats(), to.data(), type);
        finish();
        ASSERT_EQ(to.values(), stored(order, logical));
      }
    }
  }
}

TEST_F(WeightKernels, GradientsAreUnpackedToAnywhereWithoutPadding) {
  for (const WeightOrder& order : orders()) {
    for (const DType type : types) {
      for (const std::int64_t offset : {0, 1, 2}) {
        SCOPED_TRACE(text(order) + " as " + std::string(name_of(type)));
        const std::vector<float> logical = random(elements(order));
        const Elements ordered(stored(order, logical), 0), from(type, order.stored()),
            to(DType::f32, elements(order), offset);
        convert(stream, ordered.data(), DType::f32, from.data(), type, order.stored());
        unpack_weights(stream, order, from.data(), type, to.floats());
        finish();
        ASSERT_EQ(to.values(), logical);
      }
    }
  }
}

TEST_F(WeightKernels, ConversionTakesAnyLengthAndAlignment) {
  for (const DType from_type : types) {
    for (const DType to_type : types) {
      for (const std::int64_t offset : {0, 1, 4}) {
        for (const std::int64_t count : {1, 7, 8, 9, 700}) {
          const std::vector<float> values = random(count);
          const Elements start(values, 1), from(from_type, count, offset), to(to_type, count, offset);
          convert(stream, start.data(), DType::f32, from.data(), from_type, count);
          convert(stream, from.data(), from_type, to.data(), to_type, count);
          finish();
          ASSERT_EQ(to.values(), values) << name_of(from_type) << " to " << name_of(to_type) << ", " << count;
        }
      }
    }
  }
}

/// Sixty-fourths add up exactly, so that the sums have to be right to the last bit.
TEST_F(WeightKernels, RowsAddUpPerChannel) {
  struct Channels {
    std::int64_t real, stored;
  };
  for (const DType type : types) {
    for (const std::int64_t rows : {1, 7, 300, 2000}) {
      for (const Channels& channels : {Channels{1, 1}, {4, 4}, {5, 8}, {33, 40}, {7, 7}, {300, 304}, {2100, 2104}}) {
        if (rows > 300 && channels.real > 100) continue;
        SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(channels.real) + " " + std::string(name_of(type)));
        const std::vector<float> values = random(rows * channels.stored);
        std::vector<float> expected(static_cast<std::size_t>(channels.real), 0.0F);
        for (std::int64_t i = 0; i < rows * channels.stored; ++i) {
          const std::int64_t channel = i % channels.stored;
          if (channel < channels.real)
            expected[static_cast<std::size_t>(channel)] += values[static_cast<std::size_t>(i)];
        }
        const Elements start(values, 0), from(type, rows * channels.stored), to(DType::f32, channels.real, 1);
        auto* scratch = cuda_double::device_array<std::byte>(bias_scratch_bytes(rows, channels.stored));
        convert(stream, start.data(), DType::f32, from.data(), type, rows * channels.stored);
        sum_rows(stream, from.data(), type, rows, channels.real, channels.stored, to.floats(), scratch);
        finish();
        ASSERT_EQ(to.values(), expected);
      }
    }
  }
}

TEST_F(WeightKernels, SumsOfRowsDoNotDependOnTheOrderOfThreads) {
  const std::int64_t rows = 900, channels = 24;
  Rng rng(3, Purpose::test);
  std::vector<float> values(static_cast<std::size_t>(rows * channels));
  for (float& value : values)
    value = static_cast<float>(rng.normal());
  std::vector<std::vector<float>> sums;
  for (const auto order : {cuda_double::ThreadOrder::forward, cuda_double::ThreadOrder::random}) {
    restart({.threads = order, .seed = 4});
    const Elements from(values, 0), to(DType::f32, channels);
    auto* scratch = cuda_double::device_array<std::byte>(bias_scratch_bytes(rows, channels));
    sum_rows(stream, from.data(), DType::f32, rows, channels, channels, to.floats(), scratch);
    finish();
    sums.push_back(to.values());
  }
  EXPECT_EQ(sums[0], sums[1]);
}

class PackingPlans : public PlanTest {
 protected:
  /// Convolutions of one tap and of many, of channels that fill tiles or not; more than one launch takes.
  static std::vector<Shape> shapes() {
    std::vector<Shape> all = {{16, 4, 3, 3, 3}, {5, 70, 3, 3}, {2, 130, 3, 3, 3},
                              {3, 1, 3, 3},     {40, 3, 1, 1}, {8, 200, 1, 1}};
    while (all.size() < 90)
      all.push_back(
          {static_cast<std::int64_t>(all.size()) % 11 + 1, static_cast<std::int64_t>(all.size()) % 7 + 1, 2, 2});
    return all;
  }
  static std::vector<TensorDesc> descs(const std::vector<Shape>& shapes, DType type, Layout layout) {
    std::vector<TensorDesc> all;
    for (const Shape& shape : shapes)
      all.push_back({shape, type, layout});
    return all;
  }
};

TEST_F(PackingPlans, ManyTensorsArePackedAsOneByOneInFewLaunches) {
  for (const DType type : types) {
    const std::vector<Shape> all = shapes();
    const Planned planned = plan_op(
        PackWeights{}, {.inputs = descs(all, DType::f32, logical_layout), .outputs = descs(all, type, logical_layout)});
    std::vector<Elements> from, to, expected;
    for (const Shape& shape : all) {
      const WeightOrder order = order_of_packed(shape);
      from.emplace_back(random(shape.elements()), 1);
      to.emplace_back(type, order.stored());
      expected.emplace_back(type, order.stored());
      pack_weights(stream, order, from.back().floats(), expected.back().data(), type);
    }
    finish();
    std::vector<void*> args;
    for (const auto* list : {&from, &to})
      for (const Elements& each : *list)
        args.push_back(each.data());
    const std::int64_t before = cuda_double::launches();
    run(planned, args);
    EXPECT_EQ(cuda_double::launches() - before, 2) << "a table holds 80 tensors";
    for (std::size_t at = 0; at < all.size(); ++at) {
      EXPECT_EQ(planned.outputs[at].layout, packed_weights);
      ASSERT_EQ(to[at].values(), expected[at].values()) << to_string(all[at]);
    }
  }
}

TEST_F(PackingPlans, ABucketsGradientsAreUnpackedAsOneByOneInOneLaunch) {
  const std::vector<std::int64_t> parts = {1, 7, 31, 32, 33, 700, 1024}, channels = {1, 5, 33, 64, 8, 24, 2};
  for (const DType type : types) {
    std::vector<Shape> all = shapes();
    all.resize(20);
    std::vector<TensorDesc> inputs = descs(all, type, packed_weights), outputs = descs(all, DType::f32, logical_layout);
    std::vector<Elements> from, to, expected;
    for (const Shape& shape : all) {
      const WeightOrder order = order_of_packed(shape);
      const Elements start(random(order.stored()), 0);
      from.emplace_back(type, order.stored());
      convert(stream, start.data(), DType::f32, from.back().data(), type, order.stored());
      to.emplace_back(DType::f32, shape.elements(), 1);
      expected.emplace_back(DType::f32, shape.elements(), 1);
      unpack_weights(stream, order, from.back().data(), type, expected.back().floats());
    }
    Rng rng(3, Purpose::test);
    for (std::size_t at = 0; at < parts.size(); ++at) {
      const PartialSums sums{parts[at], channels[at], padded(channels[at])};
      std::vector<float> values(static_cast<std::size_t>(sums.parts * sums.stored));
      for (float& value : values)
        value = static_cast<float>(rng.normal());  // whose sums depend on their order
      inputs.push_back({Shape{sums.parts, sums.stored}, DType::f32, logical_layout});
      outputs.push_back({Shape{sums.channels}, DType::f32, logical_layout});
      from.emplace_back(values, 0);
      to.emplace_back(DType::f32, sums.channels, 3);
      expected.emplace_back(DType::f32, sums.channels, 3);
      add_parts(stream, from.back().floats(), sums, expected.back().floats());
    }
    finish();
    std::vector<void*> args;
    for (const auto* list : {&from, &to})
      for (const Elements& each : *list)
        args.push_back(each.data());
    const std::int64_t before = cuda_double::launches();
    run(plan_op(UnpackGradients{}, {.inputs = inputs, .outputs = outputs}), args);
    EXPECT_EQ(cuda_double::launches() - before, 1);
    for (std::size_t at = 0; at < to.size(); ++at)
      ASSERT_EQ(to[at].values(), expected[at].values()) << to_string(outputs[at].shape);
  }
}

}  // namespace
}  // namespace trainmark::cuda
