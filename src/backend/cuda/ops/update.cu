// Optimizer updates, sums of gradients over batches and norms of gradients, over flat ranges of the arenas. Rate and
// count come from device memory, so that a captured step follows the schedule; how a tensor is treated travels in the
// kernels' parameters.
#include "backend/chunks.hpp"
#include "backend/cuda/ops/segments.cuh"
#include "backend/cuda/plans.hpp"
#include "backend/cuda/scratch.hpp"

namespace trainmark::cuda {
namespace {

constexpr std::int64_t most_pieces = 1024;  // of a norm

// --- Rules that look at elements alone -------------------------------------------------------------------------------

/// What all elements of a launch have in common.
struct Common {
  float rate, scale;
  BiasCorrection correction;
};
__device__ inline BiasCorrection block_correction(const SgdMomentum&, const StepInputs&) { return {}; }
/// One thread's powers, for the block.
__device__ inline BiasCorrection block_correction(const Adam& rule, const StepInputs& inputs) {
  __shared__ float divisors[2];
  if (threadIdx.x == 0) {
    const BiasCorrection correction = bias_correction(rule, *inputs.count);
    divisors[0] = correction.first;
    divisors[1] = correction.second;
  }
  __syncthreads();
  return {divisors[0], divisors[1]};
}
__device__ inline SgdMomentum at_rate(const SgdMomentum& rule, const StepInputs& inputs) {
  return at_rate(rule, inputs.state->rate, inputs.state->previous_rate);
}
__device__ inline Adam at_rate(const Adam& rule, const StepInputs&) { return rule; }
__device__ inline void update_one(const SgdMomentum& rule, const Common& common, float decay, float gradient,
                                  float& first, float&, float& weight) {
  update(rule, common.rate, decay, gradient, first, weight);
}
__device__ inline void update_one(const Adam& rule, const Common& common, float decay, float gradient, float& first,
                                  float& second, float& weight) {
  update(rule, common.correction, common.rate, decay, gradient, first, second, weight);
}

template <int Width, class Rule>
__device__ void update_pack(const Rule& rule, const Common& common, const Arenas& arenas, const SegmentTable& table,
                            std::int64_t at, std::int64_t left) {
  constexpr bool two_slots = !std::is_same_v<Rule, SgdMomentum>;
  const Pack<float, Width> gradient = load<Width>(arenas.gradients + at, left);
  Pack<float, Width> weight = load<Width>(arenas.weights + at, left);
  Pack<float, Width> first = load<Width>(arenas.first + at, left);
  Pack<float, Width> second{};
  if constexpr (two_slots) second = load<Width>(arenas.second + at, left);
  int segment = table.segment_of(at);
  for (int i = 0; i < Width; ++i) {
    while (at + i >= table.ends[segment] && segment < table.count - 1)
      ++segment;
    update_one(rule, common, table.decays[segment], common.scale * gradient.values[i], first.values[i],
               second.values[i], weight.values[i]);
  }
  store<Width>(arenas.first + at, first, left);
  if constexpr (two_slots) store<Width>(arenas.second + at, second, left);
  store<Width>(arenas.weights + at, weight, left);
}

/// The first `head` elements lie before the first aligned access and have a thread each behind the packs' threads.
template <class Rule, int Width>
__global__ void __launch_bounds__(block_threads)
    update_elements(Arenas arenas, std::int64_t head, StepInputs inputs, Rule rule,
                    const __grid_constant__ SegmentTable table) {
  if (inputs.skips()) return;
  const Common common{inputs.state->rate, inputs.unscale(), block_correction(rule, inputs)};
  const Rule now = at_rate(rule, inputs);
  const std::int64_t count = table.ends[table.count - 1];
  const std::int64_t packs = (count - head + Width - 1) / Width;
  if (item() < packs) {
    const std::int64_t at = head + item() * Width;
    update_pack<Width>(now, common, arenas, table, at, count - at);
  } else if (item() - packs < head) {
    update_pack<1>(now, common, arenas, table, item() - packs, 1);
  }
}

// --- Rules that look at tensors as wholes: norms of pieces, a ratio for each tensor, the update ----------------------

/// A block's piece: calls body(std::integral_constant<int, width>, first element, elements from there on). Where all
/// arenas are aligned alike, elements before the first aligned access go one by one.
template <int Width, class Body>
__device__ void over_piece(const Arenas& arenas, const SegmentTable& table, int segment, Body&& body) {
  const std::int64_t within = blockIdx.x - table.first_pieces[segment];
  const std::int64_t begin = table.begin(segment) + within * piece_elements;
  const std::int64_t stop = begin + piece_elements;
  const std::int64_t end = stop < table.ends[segment] ? stop : table.ends[segment];
  const auto off = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(arenas.weights + begin) / sizeof(float));
  const std::int64_t before = (Width - off % Width) % Width;
  const std::int64_t aligned = begin + before < end ? begin + before : end;
  for (std::int64_t at = begin + threadIdx.x; at < aligned; at += blockDim.x)
    body(std::integral_constant<int, 1>{}, at, 1);
  for (std::int64_t at = aligned + threadIdx.x * Width; at < end; at += static_cast<std::int64_t>(blockDim.x) * Width)
    body(std::integral_constant<int, Width>{}, at, end - at);
}
/// Two of a piece.
__device__ inline void store_sums(double weights, double others, double* sums) {
  __shared__ double slots[block_threads];
  weights = block_sum(weights, slots);
  others = block_sum(others, slots);
  if (threadIdx.x != 0) return;
  sums[2 * blockIdx.x] = weights;
  sums[2 * blockIdx.x + 1] = others;
}

__device__ inline float ratio_of(const Lamb&, const StepInputs&, const Treatment& treatment, double squared_weights,
                                 double squared_step) {
  return trust_ratio(treatment.decay, squared_weights, squared_step);
}
/// Gradients were measured as they lie there.
__device__ inline float ratio_of(const Lars& rule, const StepInputs& inputs, const Treatment& treatment,
                                 double squared_weights, double squared_gradient) {
  const auto unscale = static_cast<double>(inputs.unscale());
  return trust_ratio(rule, treatment, squared_weights, squared_gradient * unscale * unscale);
}
/// A block a segment.
template <class Rule>
__global__ void __launch_bounds__(block_threads)
    tensor_ratios(StepInputs inputs, Rule rule, const __grid_constant__ SegmentTable table, const double* sums,
                  float* ratios) {
  __shared__ double slots[block_threads];
  if (inputs.skips()) return;
  const int segment = static_cast<int>(blockIdx.x);
  const int end = segment + 1 < table.count ? table.first_pieces[segment + 1] : table.pieces;
  double weights = 0.0, others = 0.0;
  for (int piece = table.first_pieces[segment] + static_cast<int>(threadIdx.x); piece < end;
       piece += static_cast<int>(blockDim.x)) {
    weights += sums[2 * piece];
    others += sums[2 * piece + 1];
  }
  weights = block_sum(weights, slots);
  others = block_sum(others, slots);
  if (threadIdx.x == 0) ratios[segment] = ratio_of(rule, inputs, table.treatment(segment), weights, others);
}

// --- LARS: the norms of weights and gradients, then the update -------------------------------------------------------

template <int Width>
__global__ void __launch_bounds__(block_threads)
    lars_norms(Arenas arenas, StepInputs inputs, const __grid_constant__ SegmentTable table, double* sums) {
  if (inputs.skips()) return;
  double weights = 0.0, gradients = 0.0;
  const int segment = table.segment_of_piece(static_cast<int>(blockIdx.x));
  over_piece<Width>(arenas, table, segment, [&](auto width, std::int64_t at, std::int64_t left) {
    constexpr int n = decltype(width)::value;
    const Pack<float, n> gradient = load<n>(arenas.gradients + at, left);
    const Pack<float, n> weight = load<n>(arenas.weights + at, left);
    for (int i = 0; i < n; ++i) {
      weights += static_cast<double>(weight.values[i]) * static_cast<double>(weight.values[i]);
      gradients += static_cast<double>(gradient.values[i]) * static_cast<double>(gradient.values[i]);
    }
  });
  store_sums(weights, gradients, sums);
}

template <int Width>
__global__ void __launch_bounds__(block_threads)
    lars_apply(Arenas arenas, StepInputs inputs, Lars rule, const __grid_constant__ SegmentTable table,
               const float* ratios) {
  if (inputs.skips()) return;
  const int segment = table.segment_of_piece(static_cast<int>(blockIdx.x));
  const float decay = table.decays[segment];
  const float rate = inputs.state->rate * ratios[segment];
  const float scale = inputs.unscale();
  const SgdMomentum now = at_rate(rule, inputs.state->rate, inputs.state->previous_rate);
  over_piece<Width>(arenas, table, segment, [&](auto width, std::int64_t at, std::int64_t left) {
    constexpr int n = decltype(width)::value;
    const Pack<float, n> gradient = load<n>(arenas.gradients + at, left);
    Pack<float, n> weight = load<n>(arenas.weights + at, left);
    Pack<float, n> velocity = load<n>(arenas.first + at, left);
    for (int i = 0; i < n; ++i)
      update(now, rate, decay, scale * gradient.values[i], velocity.values[i], weight.values[i]);
    store<n>(arenas.first + at, velocity, left);
    store<n>(arenas.weights + at, weight, left);
  });
}

// --- LAMB: its norms, then the step again, which nobody had to store -------------------------------------------------

/// What a launch finds out for the others.
struct LambStep {
  double squared_norm;  // of the buckets so far
  float scale;          // of gradients, clipping included
  BiasCorrection correction;
};
struct NormPointers {
  static constexpr int most = 256;
  int count = 0;
  const double* sums[most];
};
/// One thread. Buckets in several tables add up.
__global__ void clip_gradients(const __grid_constant__ NormPointers norms, bool first, bool last, StepInputs inputs,
                               Lamb rule, LambStep* step) {
  if (inputs.skips()) return;
  double sum = first ? 0.0 : step->squared_norm;
  for (int at = 0; at < norms.count; ++at)
    sum += *norms.sums[at];
  step->squared_norm = sum;
  if (!last) return;
  const auto unscale = static_cast<double>(inputs.unscale());
  step->scale = inputs.unscale() * clip(rule, sum * unscale * unscale);
  step->correction = bias_correction(rule, *inputs.count);
}

/// Moments, and of each piece the squared norms of the weights and of the step that they make.
template <int Width>
__global__ void __launch_bounds__(block_threads)
    lamb_moments(Arenas arenas, StepInputs inputs, const LambStep* step, Lamb rule,
                 const __grid_constant__ SegmentTable table, double* sums) {
  if (inputs.skips()) return;
  const int segment = table.segment_of_piece(static_cast<int>(blockIdx.x));
  const float decay = table.decays[segment];
  const float scale = step->scale;
  const BiasCorrection correction = step->correction;
  double weights = 0.0, steps = 0.0;
  over_piece<Width>(arenas, table, segment, [&](auto width, std::int64_t at, std::int64_t left) {
    constexpr int n = decltype(width)::value;
    const Pack<float, n> gradient = load<n>(arenas.gradients + at, left);
    const Pack<float, n> weight = load<n>(arenas.weights + at, left);
    Pack<float, n> first = load<n>(arenas.first + at, left);
    Pack<float, n> second = load<n>(arenas.second + at, left);
    for (int i = 0; i < n; ++i) {
      advance_moments(rule, scale * gradient.values[i], first.values[i], second.values[i]);
      const float own = step_of(rule, correction, decay, first.values[i], second.values[i], weight.values[i]);
      weights += static_cast<double>(weight.values[i]) * static_cast<double>(weight.values[i]);
      steps += static_cast<double>(own) * static_cast<double>(own);
    }
    store<n>(arenas.first + at, first, left);
    store<n>(arenas.second + at, second, left);
  });
  store_sums(weights, steps, sums);
}

template <int Width>
__global__ void __launch_bounds__(block_threads)
    lamb_apply(Arenas arenas, StepInputs inputs, const LambStep* step, Lamb rule,
               const __grid_constant__ SegmentTable table, const float* ratios) {
  if (inputs.skips()) return;
  const int segment = table.segment_of_piece(static_cast<int>(blockIdx.x));
  const float decay = table.decays[segment];
  const float rate = inputs.state->rate * ratios[segment];
  const BiasCorrection correction = step->correction;
  over_piece<Width>(arenas, table, segment, [&](auto width, std::int64_t at, std::int64_t left) {
    constexpr int n = decltype(width)::value;
    Pack<float, n> weight = load<n>(arenas.weights + at, left);
    const Pack<float, n> first = load<n>(arenas.first + at, left);
    const Pack<float, n> second = load<n>(arenas.second + at, left);
    for (int i = 0; i < n; ++i)
      weight.values[i] -= rate * step_of(rule, correction, decay, first.values[i], second.values[i], weight.values[i]);
    store<n>(arenas.weights + at, weight, left);
  });
}

// --- Sums of gradients -----------------------------------------------------------------------------------------------

/// Of the squares of a part, a block each; packs first, then the `head` elements before them, as above.
template <int Width>
__global__ void __launch_bounds__(block_threads)
    sum_squares(const float* gradients, std::int64_t head, std::int64_t count, double* sums) {
  __shared__ double slots[block_threads];
  double sum = 0.0;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x * Width;
  for (std::int64_t at = head + item() * Width; at < count; at += step) {
    const Pack<float, Width> pack = load<Width>(gradients + at, count - at);
    for (int i = 0; i < Width; ++i)
      sum += static_cast<double>(pack.values[i]) * static_cast<double>(pack.values[i]);
  }
  if (item() < head) sum += static_cast<double>(gradients[item()]) * static_cast<double>(gradients[item()]);
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}
__global__ void __launch_bounds__(block_threads) add_squares(const double* sums, std::int64_t parts, double* total) {
  __shared__ double slots[block_threads];
  double sum = 0.0;
  for (std::int64_t part = threadIdx.x; part < parts; part += blockDim.x)
    sum += sums[part];
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) *total = sum;
}

__global__ void count_update(UpdateCount* count, const LossScale* scaler) {
  if (scaler == nullptr || scaler->found_inf == 0) ++count->done;
}

template <int Width>
__device__ void accumulate_pack(float* gradients, float* sums, std::int64_t left, bool last) {
  const Pack<float, Width> gradient = load<Width>(gradients, left);
  Pack<float, Width> sum = load<Width>(sums, left);
  for (int i = 0; i < Width; ++i)
    sum.values[i] += gradient.values[i];
  if (last) store<Width>(gradients, sum, left);
  store<Width>(sums, last ? Pack<float, Width>{} : sum, left);
}
/// As above.
template <int Width>
__global__ void __launch_bounds__(block_threads)
    accumulate_gradients(float* gradients, float* sums, std::int64_t head, std::int64_t count, bool last) {
  const std::int64_t packs = (count - head + Width - 1) / Width;
  if (item() < packs) {
    const std::int64_t at = head + item() * Width;
    accumulate_pack<Width>(gradients + at, sums + at, count - at, last);
  } else if (item() - packs < head) {
    const std::int64_t at = item() - packs;
    accumulate_pack<1>(gradients + at, sums + at, 1, last);
  }
}

/// An update's launches, whose arguments are these.
class Updating {
 public:
  explicit Updating(const Update& update)
      : tables_(tables_of(update.segments)), at_(update), scaled_(update.scaled), norms_(update.norms) {
    two_slots_ = slots_of(update.rule) > 1;
    counts_ = counts_updates(update.rule);
    int pieces = 0;
    for (const TableAt& each : tables_)
      pieces = std::max(pieces, each.table.pieces);
    if (!measures_tensors(update.rule)) return;
    if (takes_norms(update.rule)) step_ = scratch_.take(sizeof(LambStep));
    ratios_ = scratch_.take(SegmentTable::most * sizeof(float));
    sums_ = scratch_.take(2 * static_cast<std::size_t>(pieces) * sizeof(double));
  }
  [[nodiscard]] std::size_t scratch_bytes() const { return scratch_.bytes(); }

  template <class Rule>
  void run(const Rule& rule, cudaStream_t stream, std::span<void* const> args) const {
    const StepInputs inputs = inputs_of(args);
    for (const TableAt& each : tables_) {
      const Arenas arenas = arenas_of(args).from(each.offset);
      const Alignment aligned = alignment_of(arenas, each.table);
      launch("update_elements",
             aligned.together ? update_elements<Rule, vector_width<float>> : update_elements<Rule, 1>,
             one_thread_each(aligned.items), stream, arenas, aligned.head, inputs, rule, each.table);
    }
  }
  void run(const Lars& rule, cudaStream_t stream, std::span<void* const> args) const {
    const StepInputs inputs = inputs_of(args);
    const Measured measured = measured_of(args);
    for (const TableAt& each : tables_) {
      const Arenas arenas = arenas_of(args).from(each.offset);
      const bool vectors = alignment_of(arenas, each.table).together;
      constexpr int width = vector_width<float>;
      launch("lars_norms", vectors ? lars_norms<width> : lars_norms<1>, pieces_of(each.table), stream, arenas, inputs,
             each.table, measured.sums);
      launch("lars_ratios", tensor_ratios<Lars>, segments_of(each.table), stream, inputs, rule, each.table,
             measured.sums, measured.ratios);
      launch("lars_apply", vectors ? lars_apply<width> : lars_apply<1>, pieces_of(each.table), stream, arenas, inputs,
             rule, each.table, measured.ratios);
    }
  }
  void run(const Lamb& rule, cudaStream_t stream, std::span<void* const> args) const {
    const StepInputs inputs = inputs_of(args);
    const Measured measured = measured_of(args);
    auto* step = reinterpret_cast<LambStep*>(static_cast<std::byte*>(args.back()) + step_);
    clip_all(rule, stream, args, step);
    for (const TableAt& each : tables_) {
      const Arenas arenas = arenas_of(args).from(each.offset);
      const bool vectors = alignment_of(arenas, each.table).together;
      constexpr int width = vector_width<float>;
      launch("lamb_moments", vectors ? lamb_moments<width> : lamb_moments<1>, pieces_of(each.table), stream, arenas,
             inputs, step, rule, each.table, measured.sums);
      launch("lamb_ratios", tensor_ratios<Lamb>, segments_of(each.table), stream, inputs, rule, each.table,
             measured.sums, measured.ratios);
      launch("lamb_apply", vectors ? lamb_apply<width> : lamb_apply<1>, pieces_of(each.table), stream, arenas, inputs,
             step, rule, each.table, measured.ratios);
    }
  }

 private:
  static constexpr unsigned ratio_threads = 64;

  /// In scratch memory, of one table at a time.
  struct Measured {
    float* ratios;
    double* sums;
  };
  [[nodiscard]] Measured measured_of(std::span<void* const> args) const {
    auto* scratch = static_cast<std::byte*>(args.back());
    return {reinterpret_cast<float*>(scratch + ratios_), reinterpret_cast<double*>(scratch + sums_)};
  }
  [[nodiscard]] static LaunchShape pieces_of(const SegmentTable& table) {
    return {.grid = dim3(static_cast<unsigned>(table.pieces)), .block = dim3(block_threads)};
  }
  [[nodiscard]] static LaunchShape segments_of(const SegmentTable& table) {
    return {.grid = dim3(static_cast<unsigned>(table.count)), .block = dim3(ratio_threads)};
  }

  [[nodiscard]] Arenas arenas_of(std::span<void* const> args) const {
    return {static_cast<float*>(args[0]), static_cast<const float*>(args[1]), static_cast<float*>(args[2]),
            static_cast<float*>(args[two_slots_ ? 3 : 2])};
  }
  /// Where there is one slot, `second` is the first again.
  [[nodiscard]] static Alignment alignment_of(const Arenas& arenas, const SegmentTable& table) {
    return {table.ends[table.count - 1], arenas.weights, {arenas.gradients, arenas.first, arenas.second}};
  }
  [[nodiscard]] StepInputs inputs_of(std::span<void* const> args) const {
    return {static_cast<const StepState*>(args[at_.step_state]),
            counts_ ? static_cast<const UpdateCount*>(args[at_.count]) : nullptr,
            scaled_ ? static_cast<const LossScale*>(args[at_.loss_scale]) : nullptr};
  }
  void clip_all(const Lamb& rule, cudaStream_t stream, std::span<void* const> args, LambStep* step) const {
    for (int begin = 0; begin == 0 || begin < norms_; begin += NormPointers::most) {
      NormPointers norms{};
      norms.count = std::min(norms_ - begin, NormPointers::most);
      for (int at = 0; at < norms.count; ++at)
        norms.sums[at] = static_cast<const double*>(args[at_.norms + static_cast<std::size_t>(begin + at)]);
      launch("clip_gradients", clip_gradients, {}, stream, norms, begin == 0, begin + norms.count == norms_,
             inputs_of(args), rule, step);
    }
  }

  std::vector<TableAt> tables_;
  UpdateOperands at_;
  bool scaled_, two_slots_ = false, counts_ = false;
  int norms_;
  Scratch scratch_;
  std::size_t step_ = 0, ratios_ = 0, sums_ = 0;
};

}  // namespace

Planned plan_op(const Accumulate& accumulate, const Operands&) {
  auto body = [count = accumulate.range.size(), last = accumulate.last](cudaStream_t stream,
                                                                        std::span<void* const> args) {
    auto* gradients = static_cast<float*>(args[0]);
    auto* sums = static_cast<float*>(args[1]);
    const Alignment aligned(count, gradients, {sums});
    launch("accumulate_gradients",
           aligned.together ? accumulate_gradients<vector_width<float>> : accumulate_gradients<1>,
           one_thread_each(aligned.items), stream, gradients, sums, aligned.head, count, last);
  };
  return planned(std::move(body), {});
}

Planned plan_op(const SquaredNorm& norm, const Operands& operands) {
  const std::int64_t count = norm.range.size();
  const std::int64_t parts = std::clamp<std::int64_t>(ceil_div(count, piece_elements), 1, most_pieces);
  auto body = [count, parts](cudaStream_t stream, std::span<void* const> args) {
    const auto* gradients = static_cast<const float*>(args[0]);
    auto* sums = static_cast<double*>(args[2]);
    LaunchShape shape;
    shape.block.x = block_threads;
    shape.grid.x = static_cast<unsigned>(parts);
    launch("sum_squares", sum_squares<vector_width<float>>, shape, stream, gradients,
           Alignment(count, gradients, {}).head, count, sums);
    shape.grid.x = 1;
    launch("add_squares", add_squares, shape, stream, sums, parts, static_cast<double*>(args[1]));
  };
  return planned(std::move(body), operands.outputs, {}, static_cast<std::size_t>(parts) * sizeof(double));
}

Planned plan_op(const CountUpdate& op, const Operands&) {
  auto body = [scaled = op.scaled](cudaStream_t stream, std::span<void* const> args) {
    launch("count_update", count_update, {}, stream, static_cast<UpdateCount*>(args[0]),
           scaled ? static_cast<const LossScale*>(args[1]) : nullptr);
  };
  return planned(std::move(body), {});
}

Planned plan_op(const Update& update, const Operands&) {
  Updating updating(update);
  const std::size_t scratch = updating.scratch_bytes();
  auto body = [rule = update.rule, updating = std::move(updating)](cudaStream_t stream, std::span<void* const> args) {
    std::visit([&](const auto& each) { updating.run(each, stream, args); }, rule);
  };
  return planned(std::move(body), {}, {}, scratch);
}

}  // namespace trainmark::cuda
