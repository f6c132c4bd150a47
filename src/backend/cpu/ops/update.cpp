// Optimizer updates, sums of gradients over batches and norms of gradients, over flat ranges of the arenas.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/ops/update.cpp"
#include <hwy/foreach_target.h>
// clang-format off
#include "backend/cpu/simd-inl.hpp"
// clang-format on

#include <array>

#include "backend/chunks.hpp"
#include "backend/cpu/parallel.hpp"
#include "backend/cpu/plans.hpp"

#ifndef TRAINMARK_CPU_UPDATE_ONCE
#define TRAINMARK_CPU_UPDATE_ONCE
namespace trainmark::cpu {

/// What all elements of a piece have in common. Gradients are multiplied by `scale`: a power of two, 1 where nothing
/// was scaled (one path for both, so that scaling changes no bit), times what clipping says.
struct Piece {
  float* weights;
  const float* gradients;
  float* first;   // slot
  float* second;  // slot, where the rule has two
  std::int64_t count;
  float rate, decay, scale;
  BiasCorrection correction;
};
struct SquaredNorms {
  double weights = 0.0, step = 0.0;
};

}  // namespace trainmark::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace trainmark::cpu::HWY_NAMESPACE {

/// optim.hpp's update(SgdMomentum), in vectors.
void momentum_piece(const SgdMomentum& rule, const Piece& p) {
  over_lanes(p.count, [&](auto d, std::int64_t at) HWY_ATTR {
    const auto w = load(d, p.weights + at);
    const auto true_size = hn::Mul(load(d, p.gradients + at), hn::Set(d, p.scale));
    const auto g = hn::Add(true_size, hn::Mul(hn::Set(d, p.decay), w));
    const auto v = hn::Sub(hn::Mul(hn::Set(d, rule.momentum), load(d, p.first + at)), hn::Mul(hn::Set(d, p.rate), g));
    store(d, v, p.first + at);
    store(d, hn::Add(w, v), p.weights + at);
  });
}

/// optim.hpp's direction(), in vectors.
template <class D, class Rule>
HWY_INLINE hn::Vec<D> direction_of(D d, const Rule& rule, const Piece& p, hn::Vec<D> first, hn::Vec<D> second) {
  const auto root = hn::Sqrt(hn::Div(second, hn::Set(d, p.correction.second)));
  return hn::Div(hn::Div(first, hn::Set(d, p.correction.first)), hn::Add(root, hn::Set(d, rule.epsilon)));
}
/// optim.hpp's advance_moments(), in vectors; returns where they point.
template <class D, class Rule>
HWY_INLINE hn::Vec<D> advance(D d, const Rule& rule, const Piece& p, std::int64_t at, hn::Vec<D> g) {
  const auto m =
      hn::Add(hn::Mul(hn::Set(d, rule.beta1), load(d, p.first + at)), hn::Mul(hn::Set(d, 1.0F - rule.beta1), g));
  const auto v = hn::Add(hn::Mul(hn::Set(d, rule.beta2), load(d, p.second + at)),
                         hn::Mul(hn::Mul(hn::Set(d, 1.0F - rule.beta2), g), g));
  store(d, m, p.first + at);
  store(d, v, p.second + at);
  return direction_of(d, rule, p, m, v);
}

/// optim.hpp's update(Adam), in vectors.
void adam_piece(const Adam& rule, const Piece& p) {
  over_lanes(p.count, [&](auto d, std::int64_t at) HWY_ATTR {
    const auto w = load(d, p.weights + at);
    const auto decayed = hn::Mul(hn::Set(d, p.decay), w);
    const auto g = hn::Mul(load(d, p.gradients + at), hn::Set(d, p.scale));
    const auto step = advance(d, rule, p, at, rule.decoupled ? g : hn::Add(g, decayed));
    const auto whole = rule.decoupled ? hn::Add(step, decayed) : step;
    store(d, hn::Sub(w, hn::Mul(hn::Set(d, p.rate), whole)), p.weights + at);
  });
}

/// In fp64 and four sums, which vectorise and stay in one order.
double squares_of(const float* values, std::int64_t count) {
  std::array<double, 4> sums{};
  std::int64_t at = 0;
  for (; at + 4 <= count; at += 4)
    for (std::size_t i = 0; i < 4; ++i)
      sums[i] +=
          static_cast<double>(values[at + static_cast<std::int64_t>(i)]) * values[at + static_cast<std::int64_t>(i)];
  for (; at < count; ++at)
    sums[0] += static_cast<double>(values[at]) * values[at];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// LAMB's first pass: moments, and the norms of the weights and of the step that they make.
SquaredNorms lamb_moments(const Lamb& rule, const Piece& p) {
  constexpr std::int64_t width = 256;
  std::array<float, width> step;
  SquaredNorms norms;
  for (std::int64_t begin = 0; begin < p.count; begin += width) {
    const std::int64_t count = std::min(width, p.count - begin);
    over_lanes(count, [&](auto d, std::int64_t at) HWY_ATTR {
      const auto g = hn::Mul(load(d, p.gradients + begin + at), hn::Set(d, p.scale));
      const auto decayed = hn::Mul(hn::Set(d, p.decay), load(d, p.weights + begin + at));
      store(d, hn::Add(advance(d, rule, p, begin + at, g), decayed), step.data() + at);
    });
    norms.weights += squares_of(p.weights + begin, count);
    norms.step += squares_of(step.data(), count);
  }
  return norms;
}
/// The second: the step again, which nobody had to store, scaled.
void lamb_apply(const Lamb& rule, const Piece& p, float ratio) {
  over_lanes(p.count, [&](auto d, std::int64_t at) HWY_ATTR {
    const auto w = load(d, p.weights + at);
    const auto point = direction_of(d, rule, p, load(d, p.first + at), load(d, p.second + at));
    const auto step = hn::Add(point, hn::Mul(hn::Set(d, p.decay), w));
    store(d, hn::Sub(w, hn::Mul(hn::Set(d, p.rate * ratio), step)), p.weights + at);
  });
}

void accumulate_range(float* gradients, float* sums, std::int64_t count, bool last) {
  over_lanes(count, [&](auto d, std::int64_t at) HWY_ATTR {
    const auto sum = hn::Add(load(d, sums + at), load(d, gradients + at));
    if (last) store(d, sum, gradients + at);
    store(d, last ? hn::Zero(d) : sum, sums + at);
  });
}

}  // namespace trainmark::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trainmark::cpu {
namespace {

HWY_EXPORT(momentum_piece);
HWY_EXPORT(adam_piece);
HWY_EXPORT(lamb_moments);
HWY_EXPORT(lamb_apply);
HWY_EXPORT(squares_of);
HWY_EXPORT(accumulate_range);

constexpr std::int64_t chunk_elements = 1 << 14;

/// Of weights, gradients and a slot or two: what a core's cache holds from one pass to the next.
constexpr std::int64_t elements_a_thread = 1 << 16;

/// Calls body(chunk's index) for these chunks; those of one thread are neighbours.
template <class Body>
void over_chunks(Range chunks, const Body& body) {
  parallel_for(chunks.size(), 1, [&](Range range, int) {
    for (std::int64_t at = range.begin; at < range.end; ++at)
      body(static_cast<std::size_t>(chunks.begin + at));
  });
}
Range all_of(const std::vector<SegmentChunk>& chunks) { return {0, std::ssize(chunks)}; }

/// Ranges of chunks that are whole tensors, together no more than caches hold, or one tensor. A rule of two passes
/// makes both over one range before it goes to the next, and reads from memory once.
std::vector<Range> blocks_of(const std::vector<SegmentChunk>& chunks, std::int64_t elements) {
  std::vector<Range> blocks;
  std::int64_t held = 0;
  for (std::int64_t first = 0, end = 0; first < std::ssize(chunks); first = end) {
    std::int64_t tensor = 0;
    const auto chunk = [&](std::int64_t at) -> const SegmentChunk& { return chunks[static_cast<std::size_t>(at)]; };
    for (end = first; end < std::ssize(chunks) && chunk(end).segment == chunk(first).segment; ++end)
      tensor += chunk(end).range.size();
    const bool joins = !blocks.empty() && held + tensor <= elements;
    if (!joins) blocks.push_back({first, first});
    blocks.back().end = end;
    held = joins ? held + tensor : tensor;
  }
  return blocks;
}

/// An update's launch: what the nodes before it left, and its arenas.
class Step {
 public:
  Step(const Update& update, const std::vector<SegmentChunk>& chunks, std::span<void* const> args)
      : update_(update), chunks_(chunks), args_(args), at_(update) {
    const LossScale scaler = update.scaled ? *operand<LossScale>(at_.loss_scale) : LossScale{};
    skipped_ = scaler.found_inf != 0;
    unscale_ = 1.0F / scaler.scale;
    if (counts_updates(update.rule)) count_ = *operand<UpdateCount>(at_.count);
  }
  [[nodiscard]] bool skipped() const { return skipped_; }
  [[nodiscard]] UpdateCount count() const { return count_; }
  /// Of all gradients, at their true size.
  [[nodiscard]] double squared_norm() const {
    double sum = 0.0;
    for (int at = 0; at < update_.norms; ++at)
      sum += *operand<double>(at_.norms + static_cast<std::size_t>(at));
    return sum * unscale_ * unscale_;
  }
  [[nodiscard]] Piece piece(std::size_t index, BiasCorrection correction = {}, float clipping = 1.0F) const {
    const SegmentChunk& chunk = chunks_[index];
    const auto arena = [&](std::size_t arg) { return static_cast<float*>(args_[arg]) + chunk.range.begin; };
    return {.weights = arena(0),
            .gradients = arena(1),
            .first = arena(2),
            .second = arena(slots_of(update_.rule) > 1 ? 3 : 2),
            .count = chunk.range.size(),
            .rate = operand<StepState>(at_.step_state)->rate,
            .decay = treatment(chunk.segment).decay,
            .scale = unscale_ * clipping,
            .correction = correction};
  }
  [[nodiscard]] const Treatment& treatment(std::int64_t segment) const {
    return update_.segments[static_cast<std::size_t>(segment)].treatment;
  }
  template <class Momentum>
  [[nodiscard]] SgdMomentum momentum_of(const Momentum& rule) const {
    const auto* state = operand<StepState>(at_.step_state);
    return at_rate(rule, state->rate, state->previous_rate);
  }

 private:
  template <class T>
  [[nodiscard]] const T* operand(std::size_t arg) const {
    return static_cast<const T*>(args_[arg]);
  }
  const Update& update_;
  const std::vector<SegmentChunk>& chunks_;
  std::span<void* const> args_;
  UpdateOperands at_;
  bool skipped_ = false;
  float unscale_ = 1.0F;
  UpdateCount count_;
};

/// An update's elements: chunks in order, and blocks of chunks.
struct Work {
  std::vector<SegmentChunk> chunks;
  std::vector<Range> blocks;
};

/// `sums`: two for each chunk. Each chunk of the block gets its tensor's.
void add_by_tensor(const std::vector<SegmentChunk>& chunks, Range block, std::span<double> sums) {
  const auto last = static_cast<std::size_t>(block.end);
  for (std::size_t first = static_cast<std::size_t>(block.begin), end = 0; first < last; first = end) {
    SquaredNorms tensor;
    for (end = first; end < last && chunks[end].segment == chunks[first].segment; ++end) {
      tensor.weights += sums[2 * end];
      tensor.step += sums[2 * end + 1];
    }
    for (std::size_t at = first; at < end; ++at) {
      sums[2 * at] = tensor.weights;
      sums[2 * at + 1] = tensor.step;
    }
  }
}

void run(const SgdMomentum& rule, const Step& step, const Work& work, std::span<double>) {
  const SgdMomentum now = step.momentum_of(rule);
  over_chunks(all_of(work.chunks), [&](std::size_t at) { HWY_DYNAMIC_DISPATCH(momentum_piece)(now, step.piece(at)); });
}
/// `sums`: as above, of weights and gradients.
void run(const Lars& rule, const Step& step, const Work& work, std::span<double> sums) {
  const SgdMomentum now = step.momentum_of(rule);
  for (const Range block : work.blocks) {
    over_chunks(block, [&](std::size_t at) {
      const Piece piece = step.piece(at);
      const auto scale = static_cast<double>(piece.scale);
      sums[2 * at] = HWY_DYNAMIC_DISPATCH(squares_of)(piece.weights, piece.count);
      sums[2 * at + 1] = HWY_DYNAMIC_DISPATCH(squares_of)(piece.gradients, piece.count) * scale * scale;
    });
    add_by_tensor(work.chunks, block, sums);
    over_chunks(block, [&](std::size_t at) {
      Piece piece = step.piece(at);
      piece.rate *= trust_ratio(rule, step.treatment(work.chunks[at].segment), sums[2 * at], sums[2 * at + 1]);
      HWY_DYNAMIC_DISPATCH(momentum_piece)(now, piece);
    });
  }
}
void run(const Adam& rule, const Step& step, const Work& work, std::span<double>) {
  const BiasCorrection correction = bias_correction(rule, step.count());
  over_chunks(all_of(work.chunks), [&](std::size_t at) {
    HWY_DYNAMIC_DISPATCH(adam_piece)(rule, step.piece(at, correction));
  });
}
/// `sums`: as above, of weights and steps.
void run(const Lamb& rule, const Step& step, const Work& work, std::span<double> sums) {
  const BiasCorrection correction = bias_correction(rule, step.count());
  const float clipping = clip(rule, step.squared_norm());
  for (const Range block : work.blocks) {
    over_chunks(block, [&](std::size_t at) {
      const SquaredNorms norms = HWY_DYNAMIC_DISPATCH(lamb_moments)(rule, step.piece(at, correction, clipping));
      sums[2 * at] = norms.weights;
      sums[2 * at + 1] = norms.step;
    });
    add_by_tensor(work.chunks, block, sums);
    over_chunks(block, [&](std::size_t at) {
      const float ratio = trust_ratio(step.treatment(work.chunks[at].segment).decay, sums[2 * at], sums[2 * at + 1]);
      HWY_DYNAMIC_DISPATCH(lamb_apply)(rule, step.piece(at, correction, clipping), ratio);
    });
  }
}

}  // namespace

Planned plan_op(const Accumulate& accumulate, const Operands&) {
  auto body = [count = accumulate.range.size(), last = accumulate.last](std::span<void* const> args) {
    parallel_for(count, chunk_elements, [&](Range range, int) {
      HWY_DYNAMIC_DISPATCH(accumulate_range)
      (static_cast<float*>(args[0]) + range.begin, static_cast<float*>(args[1]) + range.begin, range.size(), last);
    });
  };
  return planned(body, {});
}

Planned plan_op(const SquaredNorm& norm, const Operands& operands) {
  auto body = [chunks = chunks_of(norm.range.size(), chunk_elements)](std::span<void* const> args) {
    const auto* gradients = static_cast<const float*>(args[0]);
    auto* sums = static_cast<double*>(args[2]);
    over_chunks(all_of(chunks), [&](std::size_t at) {
      sums[at] = HWY_DYNAMIC_DISPATCH(squares_of)(gradients + chunks[at].range.begin, chunks[at].range.size());
    });
    double total = 0.0;
    for (std::size_t at = 0; at < chunks.size(); ++at)
      total += sums[at];
    *static_cast<double*>(args[1]) = total;
  };
  const std::size_t scratch = chunks_of(norm.range.size(), chunk_elements).size() * sizeof(double);
  return planned(std::move(body), operands.outputs, {}, scratch);
}

Planned plan_op(const CountUpdate& op, const Operands&) {
  auto body = [scaled = op.scaled](std::span<void* const> args) {
    if (scaled && static_cast<const LossScale*>(args[1])->found_inf != 0) return;
    ++static_cast<UpdateCount*>(args[0])->done;
  };
  return planned(body, {});
}

Planned plan_op(const Update& update, const Operands&) {
  std::vector<SegmentChunk> chunks = chunks_of(update.segments, chunk_elements);
  const std::size_t sums = measures_tensors(update.rule) ? 2 * chunks.size() : 0;
  std::vector<Range> blocks = blocks_of(chunks, loop_threads() * elements_a_thread);
  auto body = [update, work = Work{std::move(chunks), std::move(blocks)}, sums](std::span<void* const> args) {
    const Step step(update, work.chunks, args);
    if (step.skipped()) return;
    const std::span<double> scratch(sums > 0 ? static_cast<double*>(args.back()) : nullptr, sums);
    std::visit([&](const auto& rule) { run(rule, step, work, scratch); }, update.rule);
  };
  return planned(std::move(body), {}, {}, sums * sizeof(double));
}

}  // namespace trainmark::cpu
#endif
