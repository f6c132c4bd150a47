// Update rules over several tensors that are treated differently: moments, counts, norms, clipping and skipped steps.
#include <cmath>
#include <cstring>

#include "backend/harness.hpp"

namespace trainmark::test {
namespace {

struct Tensors {
  std::vector<Segment> segments;
  std::vector<Array> weights, gradients, first, second;
};

class BackendUpdate : public BackendTest {
 protected:
  /// Tensors side by side, the first at element 5 of the arenas; the second neither decays nor is trusted.
  [[nodiscard]] Tensors tensors() {
    Tensors made;
    std::int64_t begin = 5;
    for (const std::int64_t count : {7, 1, 40000, 300, 16385, 26000, 5}) {
      made.segments.push_back({{begin, begin + count}, {count == 1 ? 0.0F : 0.05F, count != 1}});
      begin += count;
      made.weights.push_back(random(Shape{count}));
      made.gradients.push_back(random(Shape{count}));
      made.first.emplace_back(Shape{count});
      made.second.emplace_back(Shape{count});
    }
    return made;
  }
  [[nodiscard]] static Array joined(const std::vector<Array>& parts) {
    std::vector<double> values;
    for (const Array& part : parts)
      values.insert(values.end(), part.values.begin(), part.values.end());
    Array array(Shape{static_cast<std::int64_t>(values.size())});
    array.values = std::move(values);
    return array;
  }
  [[nodiscard]] static double squares(const std::vector<Array>& parts) {
    double sum = 0.0;
    for (const double value : joined(parts).values)
      sum += value * value;
    return sum;
  }
  [[nodiscard]] Operand one(const void* value, std::int64_t bytes_of_it) {
    return bytes({Shape{bytes_of_it}, DType::u8, logical_layout}, value);
  }
  void run(Planned planned, std::vector<void*> args) {
    const Buffer scratch(*backend, planned.scratch_bytes);
    args.push_back(scratch.data());
    planned.plan->execute(backend->stream(Lane::compute), args);
    backend->stream(Lane::compute).synchronize();
    EXPECT_TRUE(scratch.guard_intact());
  }

  /// Three steps on the backend and in fp64. `norm`: of all gradients, which the second step scales by 2^16.
  template <class Rule, class Reference>
  void expect_steps(const Rule& rule, const Reference& expected) {
    Tensors now = tensors();
    const Operand weights = parameter(joined(now.weights)), first = parameter(joined(now.first)),
                  second = parameter(joined(now.second));
    const double extra = 9.0;  // of another bucket
    for (std::int64_t step = 1; step <= 3; ++step) {
      const bool scaled = step == 2;
      const LossScale scale{.scale = scaled ? 65536.0F : 1.0F};
      Array gradients = joined(now.gradients);
      for (double& value : gradients.values)
        value *= scale.scale;
      const Operand g = parameter(gradients), count = one(&step, sizeof step), loss_scale = one(&scale, sizeof scale);
      const std::array<double, 2> norms = {squares(now.gradients) * scale.scale * scale.scale,
                                           extra * scale.scale * scale.scale};
      const Operand norm0 = one(&norms[0], sizeof(double)), norm1 = one(&norms[1], sizeof(double));
      const Operand state = step_state({.rate = 0.01F, .valid = 1, .epoch = 0}, {1}, 1);
      Update update{.rule = rule, .segments = now.segments, .norms = takes_norms(rule) ? 2 : 0, .scaled = scaled};
      std::vector<void*> args = {weights.buffer.data(), g.buffer.data(),     first.buffer.data(),
                                 second.buffer.data(),  state.buffer.data(), count.buffer.data()};
      if (update.norms > 0) args.insert(args.end(), {norm0.buffer.data(), norm1.buffer.data()});
      if (scaled) args.push_back(loss_scale.buffer.data());
      run(backend->plan(update, {}), args);
      const double norm = std::sqrt(squares(now.gradients) + extra);
      for (std::size_t at = 0; at < now.weights.size(); ++at)
        expected(step, norm, now.segments[at].treatment.decay, now.gradients[at], now.first[at], now.second[at],
                 now.weights[at]);
      Array bounds = joined(now.weights);
      for (double& value : bounds.values)
        value = 1.0;
      expect_close(logical(weights), joined(now.weights), bounds, DType::f32);
      expect_close(logical(first), joined(now.first), bounds, DType::f32);
      expect_close(logical(second), joined(now.second), bounds, DType::f32);
      expect_equal(logical(g), gradients);
      EXPECT_TRUE(weights.buffer.guard_intact() && first.buffer.guard_intact() && second.buffer.guard_intact());
      for (Array& gradient : now.gradients)
        for (double& value : gradient.values)
          value = static_cast<float>(-0.75 * value);
    }
  }

  /// Four steps of a rule with a velocity, at rates that change; the third is scaled by 2^16.
  template <class Rule, class Reference>
  void expect_velocity(const Rule& rule, const Reference& expected) {
    Tensors now = tensors();
    const Operand weights = parameter(joined(now.weights)), velocity = parameter(joined(now.first));
    const std::array<float, 5> rates = {0.0F, 0.0F, 0.1F, 0.3F, 0.2F};
    for (std::size_t step = 1; step < rates.size(); ++step) {
      const bool scaled = step == 3;
      const LossScale scale{.scale = scaled ? 65536.0F : 1.0F};
      Array gradients = joined(now.gradients);
      for (double& value : gradients.values)
        value *= scale.scale;
      const Operand g = parameter(gradients), loss_scale = one(&scale, sizeof scale);
      const StepState header{.rate = rates[step], .valid = 1, .epoch = 0, .previous_rate = rates[step - 1]};
      const Operand state = step_state(header, {1}, 1);
      std::vector<void*> args = {weights.buffer.data(), g.buffer.data(), velocity.buffer.data(), state.buffer.data()};
      if (scaled) args.push_back(loss_scale.buffer.data());
      run(backend->plan(Update{.rule = rule, .segments = now.segments, .scaled = scaled}, {}), args);
      double momentum = rule.momentum;
      if (rule.momentum_correction && rates[step - 1] > 0.0F)
        momentum *= static_cast<double>(rates[step]) / static_cast<double>(rates[step - 1]);
      for (std::size_t at = 0; at < now.weights.size(); ++at)
        expected(momentum, rates[step], now.segments[at].treatment, now.gradients[at], now.first[at], now.weights[at]);
      Array bounds = joined(now.weights);
      for (double& value : bounds.values)
        value = 1.0;
      expect_close(logical(weights), joined(now.weights), bounds, DType::f32);
      expect_close(logical(velocity), joined(now.first), bounds, DType::f32);
      EXPECT_TRUE(weights.buffer.guard_intact() && velocity.buffer.guard_intact());
      for (Array& gradient : now.gradients)
        for (double& value : gradient.values)
          value = static_cast<float>(-0.75 * value);
    }
  }
};

TEST_P(BackendUpdate, AdamAgreesWithDecayInTheGradientAndBesideIt) {
  for (const bool decoupled : {false, true}) {
    const Adam rule{.weight_decay = 0.05F, .decoupled = decoupled};
    expect_steps(
        rule, [&](std::int64_t step, double, double decay, const Array& gradients, Array& first, Array& second,
                  Array& weights) { reference::update(rule, step, 0.01F, decay, gradients, first, second, weights); });
  }
}

TEST_P(BackendUpdate, LambAgreesWhetherItClipsOrNot) {
  for (const float largest : {1.0F, 1e6F}) {
    const Lamb rule{.weight_decay = 0.05F, .largest_norm = largest};
    expect_steps(rule, [&](std::int64_t step, double norm, double decay, const Array& gradients, Array& first,
                           Array& second, Array& weights) {
      reference::update(rule, step, norm, 0.01F, decay, gradients, first, second, weights);
    });
  }
}

TEST_P(BackendUpdate, LarsAgreesInBothFormsWithAndWithoutMomentumCorrection) {
  for (const LarsForm form : {LarsForm::reference, LarsForm::premultiplied}) {
    for (const bool corrected : {false, true}) {
      const Lars rule{.momentum_correction = corrected, .eta = 0.5F, .form = form, .peak_rate = 3.0F};
      expect_velocity(rule, [&](double momentum, double rate, const Treatment& treatment, const Array& gradients,
                                Array& velocity, Array& weights) {
        reference::update(rule, momentum, rate, treatment, gradients, velocity, weights);
      });
    }
  }
}

TEST_P(BackendUpdate, MomentumFollowsTheRateWhereItIsCorrected) {
  const SgdMomentum rule{.momentum_correction = true};
  expect_velocity(rule, [&](double momentum, double rate, const Treatment& treatment, const Array& gradients,
                            Array& velocity, Array& weights) {
    const SgdMomentum now{.momentum = static_cast<float>(momentum)};
    reference::update(now, rate, treatment.decay, gradients, velocity, weights);
  });
}

TEST_P(BackendUpdate, LarsTakesThePlainRateWhereATensorOrItsGradientIsZero) {
  const Array zero(Shape{33}), some = random(Shape{33});
  for (const bool of_weights : {false, true}) {
    Array weights = of_weights ? zero : some, velocity = zero;
    const Array& gradients = of_weights ? some : zero;
    const Operand w = parameter(weights), g = parameter(gradients), v = parameter(velocity);
    const Operand state = step_state({.rate = 0.5F, .valid = 1, .epoch = 0}, {1}, 1);
    const Update update{.rule = Lars{}, .segments = {{{0, 33}, {0.25F}}}};
    run(backend->plan(update, {}), {w.buffer.data(), g.buffer.data(), v.buffer.data(), state.buffer.data()});
    for (std::int64_t i = 0; i < 33; ++i)
      EXPECT_NEAR(logical(w)[i], of_weights ? -0.5 * gradients[i] : 0.875 * weights[i], 1e-6);
  }
}

TEST_P(BackendUpdate, LambTakesThePlainRateWhereATensorIsZero) {
  const Lamb rule{.weight_decay = 0.05F};
  Array weights(Shape{33}), first(Shape{33}), second(Shape{33});
  const Array gradients = random(Shape{33});
  const Operand w = parameter(weights), g = parameter(gradients), m = parameter(first), v = parameter(second);
  const std::int64_t done = 1;
  const double norm = 0.25;
  const Operand count = one(&done, sizeof done), squared = one(&norm, sizeof norm);
  const Operand state = step_state({.rate = 0.5F, .valid = 1, .epoch = 0}, {1}, 1);
  run(backend->plan(Update{.rule = rule, .segments = {{{0, 33}, {0.05F}}}, .norms = 1}, {}),
      {w.buffer.data(), g.buffer.data(), m.buffer.data(), v.buffer.data(), state.buffer.data(), count.buffer.data(),
       squared.buffer.data()});
  reference::update(rule, 1, 0.5, 0.5, 0.05, gradients, first, second, weights);
  for (std::int64_t i = 0; i < 33; ++i) {
    EXPECT_NEAR(logical(w)[i], weights[i], 1e-5);
    EXPECT_NEAR(std::fabs(logical(w)[i]), 0.5, 1e-3) << "the first step of Adam is the rate";
  }
}

TEST_P(BackendUpdate, NothingMovesInAStepThatTheLossScaleSkips) {
  for (const Rule& rule : {Rule(Adam{}), Rule(Lamb{}), Rule(Lars{}), Rule(SgdMomentum{})}) {
    const Array weights = random(Shape{1000}), gradients = random(Shape{1000}), first = random(Shape{1000}),
                second = random(Shape{1000});
    const Operand w = parameter(weights), g = parameter(gradients), m = parameter(first), v = parameter(second);
    std::int64_t done = 4;
    const double norm = std::numeric_limits<double>::infinity();
    const LossScale alarmed{.scale = 2.0F, .found_inf = 1};
    const Operand count = one(&done, sizeof done), squared = one(&norm, sizeof norm),
                  scale = one(&alarmed, sizeof alarmed);
    const Operand state = step_state({.rate = 0.5F, .valid = 1, .epoch = 0}, {1}, 1);
    run(backend->plan(CountUpdate{true}, {}), {count.buffer.data(), scale.buffer.data()});
    const int norms = takes_norms(rule) ? 1 : 0;
    std::vector<void*> args = {w.buffer.data(), g.buffer.data(), m.buffer.data()};
    if (slots_of(rule) > 1) args.push_back(v.buffer.data());
    args.push_back(state.buffer.data());
    if (counts_updates(rule)) args.push_back(count.buffer.data());
    if (norms > 0) args.push_back(squared.buffer.data());
    args.push_back(scale.buffer.data());
    run(backend->plan(Update{.rule = rule, .segments = {{{0, 1000}, {0.1F}}}, .norms = norms, .scaled = true}, {}),
        args);
    expect_equal(logical(w), weights);
    expect_equal(logical(m), first);
    expect_equal(logical(v), second);
    std::memcpy(&done, count.buffer.download().data(), sizeof done);
    EXPECT_EQ(done, 4);
  }
}

TEST_P(BackendUpdate, CountsUpdates) {
  std::int64_t done = 4;
  const LossScale calm{.scale = 2.0F};
  const Operand count = one(&done, sizeof done), scale = one(&calm, sizeof calm);
  run(backend->plan(CountUpdate{false}, {}), {count.buffer.data()});
  run(backend->plan(CountUpdate{true}, {}), {count.buffer.data(), scale.buffer.data()});
  std::memcpy(&done, count.buffer.download().data(), sizeof done);
  EXPECT_EQ(done, 6);
}

TEST_P(BackendUpdate, SquaredNormsAreThoseOfTheirRange) {
  for (const std::int64_t count : {1, 3, 16384, 50001}) {
    const Array gradients = random(Shape{count});
    const Operand g = parameter(gradients);
    const Operand sum{{{1}, DType::f64, logical_layout}, Buffer(*backend, sizeof(double))};
    Operands operands;
    operands.outputs = {sum.desc};
    run(backend->plan(SquaredNorm{{7, 7 + count}}, operands), {g.buffer.data(), sum.buffer.data()});
    double found = 0.0;
    std::memcpy(&found, sum.buffer.download().data(), sizeof found);
    EXPECT_NEAR(found, squares({gradients}), 1e-6 * found);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendUpdate, testing::ValuesIn(cases()), name_of_case);

}  // namespace
}  // namespace trainmark::test
