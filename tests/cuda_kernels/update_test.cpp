// Updates in places that the tests of all backends do not reach: ranges of arenas that start anywhere, more segments
// than one launch takes, packs that lie in several of them, more buckets than one launch adds up.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <tuple>

#include "cuda_kernels/kernel_test.hpp"
#include "reference/ops.hpp"

namespace trainmark::cuda {
namespace {

using reference::Array;

/// Tensors side by side, of 1 to 9 elements, each of a decay of its own.
std::vector<Segment> small_segments(int count) {
  std::vector<Segment> segments;
  std::int64_t begin = 11;
  for (int at = 0; at < count; ++at) {
    const std::int64_t end = begin + 1 + at * 5 % 9;
    segments.push_back({{begin, end}, {at % 3 == 0 ? 0.0F : 0.001F * static_cast<float>(at)}});
    begin = end;
  }
  return segments;
}

class KernelUpdates : public PlanTest {
 protected:
  using Reference =
      std::function<void(double decay, const Array& gradients, Array& first, Array& second, Array& weights)>;

  /// One step, with each arena off from an aligned address by so many elements; slots start at zero.
  void expect_step(const Update& update, const std::array<std::int64_t, 4>& off, const std::vector<void*>& inputs,
                   const Reference& expected) {
    const std::int64_t count = update.range().size();
    const std::vector<float> start = random(count), gradients = random(count);
    const Elements weights(start, off[0]), on_gradients(gradients, off[1]);
    const Elements first(std::vector<float>(start.size()), off[2]), second(std::vector<float>(start.size()), off[3]);
    std::vector<void*> args = {weights.data(), on_gradients.data(), first.data()};
    if (slots_of(update.rule) > 1) args.push_back(second.data());
    args.insert(args.end(), inputs.begin(), inputs.end());
    run(plan_op(update, {}), args);
    EXPECT_EQ(on_gradients.values(), gradients);
    const std::vector<float> moved = weights.values(), slot = first.values();
    for (const Segment& segment : update.segments) {
      const std::int64_t begin = segment.range.begin - update.range().begin;
      const Shape shape{segment.range.size()};
      Array own(shape), gradient(shape), m(shape), v(shape);
      std::copy_n(start.begin() + begin, segment.range.size(), own.values.begin());
      std::copy_n(gradients.begin() + begin, segment.range.size(), gradient.values.begin());
      expected(segment.treatment.decay, gradient, m, v, own);
      for (std::int64_t i = 0; i < segment.range.size(); ++i) {
        ASSERT_NEAR(moved[static_cast<std::size_t>(begin + i)], own[i], 2e-6) << "element " << begin + i;
        ASSERT_NEAR(slot[static_cast<std::size_t>(begin + i)], m[i], 2e-6) << "element " << begin + i;
      }
    }
  }
  static constexpr std::array<std::array<std::int64_t, 4>, 4> offsets = {
      {{0, 0, 0, 0}, {1, 1, 1, 1}, {3, 3, 3, 3}, {2, 2, 2, 3}}};
};

/// The double reports any access outside the ranges, which end where their memory does.
TEST_F(KernelUpdates, UpdatesTakeRangesThatStartAnywhere) {
  const SgdMomentum rule;
  for (const std::int64_t offset : {0, 1, 2, 3, 5}) {
    for (const std::int64_t count : {1, 2, 3, 4, 5, 17, 700}) {
      for (const std::int64_t apart : {0, 1}) {  // arenas whose alignment differs
        SCOPED_TRACE(std::to_string(count) + " from " + std::to_string(offset));
        std::vector<float> weights = random(count), velocity = random(count);
        const std::vector<float> gradients = random(count);
        const Elements on_weights(weights, offset), on_velocity(velocity, offset),
            on_gradients(gradients, offset + apart);
        run(plan_op(Update{.rule = rule, .segments = {{{7, 7 + count}, {0.01F}}}}, {}),
            {on_weights.data(), on_gradients.data(), on_velocity.data(), step_state(state(1), {1}, 1)});
        for (std::size_t i = 0; i < weights.size(); ++i)
          update(rule, 0.1F, 0.01F, gradients[i], velocity[i], weights[i]);
        const std::vector<float> new_weights = on_weights.values(), new_velocity = on_velocity.values();
        for (std::size_t i = 0; i < weights.size(); ++i) {
          ASSERT_FLOAT_EQ(new_weights[i], weights[i]);
          ASSERT_FLOAT_EQ(new_velocity[i], velocity[i]);
        }
      }
    }
  }
}

TEST_F(KernelUpdates, ElementsAreTreatedAsTheirSegmentSaysHoweverManyThereAre) {
  const StepState now = state(1);
  const std::int64_t done = 2;
  for (const int segments : {1, 2, 160, 330}) {
    for (const auto& off : offsets) {
      SCOPED_TRACE(std::to_string(segments) + " segments, " + std::to_string(off[0]));
      Update update{.rule = SgdMomentum{}, .segments = small_segments(segments)};
      void* state_on_device = step_state(now, {1}, 1);
      expect_step(update, off, {state_on_device},
                  [](double decay, const Array& gradients, Array& first, Array&, Array& weights) {
                    reference::update(SgdMomentum{}, 0.1F, decay, gradients, first, weights);
                  });
      for (const bool decoupled : {false, true}) {
        const Adam rule{.epsilon = 0.1F, .decoupled = decoupled};  // a small one makes much of a rounding
        update.rule = rule;
        expect_step(update, off, {state_on_device, cuda_double::on_device(std::vector<std::int64_t>{done})},
                    [&](double decay, const Array& gradients, Array& first, Array& second, Array& weights) {
                      reference::update(rule, done, 0.1F, decay, gradients, first, second, weights);
                    });
      }
    }
  }
}

TEST_F(KernelUpdates, LambScalesEachSegmentAndClipsByTheNormsOfAllBuckets) {
  const Lamb rule{.largest_norm = 2.0F};
  const std::int64_t done = 1;
  for (const auto& [segments, buckets, off] : {std::tuple{1, 1, offsets[0]}, std::tuple{3, 256, offsets[1]},
                                               std::tuple{9, 2, offsets[3]}, std::tuple{161, 300, offsets[2]}}) {
    SCOPED_TRACE(std::to_string(segments) + " segments, " + std::to_string(buckets) + " buckets");
    std::vector<void*> inputs = {step_state(state(1), {1}, 1), cuda_double::on_device(std::vector<std::int64_t>{done})};
    double squared = 0.0;
    for (int bucket = 0; bucket < buckets; ++bucket) {
      squared += bucket + 7.0;
      inputs.push_back(cuda_double::on_device(std::vector<double>{bucket + 7.0}));
    }
    expect_step({.rule = rule, .segments = small_segments(segments), .norms = buckets}, off, inputs,
                [&](double decay, const Array& gradients, Array& first, Array& second, Array& weights) {
                  reference::update(rule, done, std::sqrt(squared), 0.1F, decay, gradients, first, second, weights);
                });
  }
}

TEST_F(KernelUpdates, LarsScalesEachSegmentInBothFormsAndLeavesOutWhatIsNotTrusted) {
  StepState now = state(1);
  now.previous_rate = 0.5F * now.rate;
  for (const LarsForm form : {LarsForm::reference, LarsForm::premultiplied}) {
    const Lars rule{.momentum_correction = true, .eta = 0.5F, .form = form, .peak_rate = 3.0F};
    for (const auto& [segments, off] :
         {std::pair{1, offsets[0]}, std::pair{9, offsets[3]}, std::pair{161, offsets[2]}, std::pair{330, offsets[1]}}) {
      SCOPED_TRACE(std::to_string(segments) + " segments");
      Update update{.rule = rule, .segments = small_segments(segments)};
      for (Segment& segment : update.segments)
        segment.treatment.trusted = segment.treatment.decay > 0.0F;
      expect_step(update, off, {step_state(now, {1}, 1)},
                  [&](double decay, const Array& gradients, Array& velocity, Array&, Array& weights) {
                    const Treatment treatment{static_cast<float>(decay), decay > 0.0};
                    reference::update(rule, 0.0, now.rate, treatment, gradients, velocity, weights);
                  });
    }
  }
}

TEST_F(KernelUpdates, SquaredNormsTakeRangesThatStartAnywhere) {
  for (const std::int64_t offset : {0, 1, 2, 3}) {
    for (const std::int64_t count : {0, 1, 2, 3, 4, 5, 1027}) {
      SCOPED_TRACE(std::to_string(count) + " from " + std::to_string(offset));
      const std::vector<float> gradients = random(count);
      double expected = 0.0;
      for (const float value : gradients)
        expected += static_cast<double>(value) * static_cast<double>(value);
      auto* sum = cuda_double::device_array<double>(1);
      run(plan_op(SquaredNorm{{7, 7 + count}}, {}), {Elements(gradients, offset).data(), sum});
      EXPECT_DOUBLE_EQ(cuda_double::on_host(sum, 1)[0], expected);
    }
  }
}

}  // namespace
}  // namespace trainmark::cuda
