// The model's state in device memory: arenas in the reference's tensor order, their initialisation, hash and copies.
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "trainmark/exec.hpp"

namespace trainmark {
namespace {

constexpr std::size_t arena_alignment = 64;
constexpr std::int64_t scaler_floats = sizeof(LossScale) / sizeof(float);  // its bytes in a snapshot
constexpr std::size_t bounce_bytes = std::size_t{1} << 20;

/// Half the width of Glorot's uniform distribution for weights [O, I, kernel...].
float glorot_limit(const Shape& weights) {
  const auto taps = static_cast<double>(weights.elements() / (weights[0] * weights[1]));
  const double fan_in = taps * static_cast<double>(weights[1]);
  const double fan_out = taps * static_cast<double>(weights[0]);
  return static_cast<float>(std::sqrt(6.0 / (fan_in + fan_out)));
}

std::size_t bytes_of_floats(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(float); }

}  // namespace

Arena::Arena(Backend& backend, std::size_t bytes) : backend_(backend), bytes_(std::max(bytes, arena_alignment)) {
  data_ = static_cast<std::byte*>(backend_.device_memory().allocate(bytes_, arena_alignment));
}
Arena::~Arena() { backend_.device_memory().deallocate(data_, bytes_, arena_alignment); }

ModelState::ModelState(Backend& backend, const Graph& graph, int slots)
    : backend_(backend), slots_(slots), bounce_(std::make_unique<std::byte[]>(bounce_bytes)) {
  for (const Tensor& tensor : graph.tensors)
    if (tensor.role == Role::parameter) entries_.push_back({tensor.name, tensor.shape, tensor.offset});
  std::ranges::sort(entries_, {}, &Entry::offset);
  for (const Entry& entry : entries_) {
    TRAINMARK_CHECK(entry.offset == elements_, "parameters leave a gap in their arena");
    elements_ += entry.shape.elements();
  }
  parameters_ = std::make_unique<Arena>(backend, bytes_of_floats(elements_));
  gradients_ = std::make_unique<Arena>(backend, bytes_of_floats(graph.gradient_elements()));
  slot_arena_ = std::make_unique<Arena>(backend, bytes_of_floats(elements_ * slots));
  metrics_ = std::make_unique<Arena>(backend, sizeof(Score));
  scaler_ = std::make_unique<Arena>(backend, sizeof(LossScale));
  for (const Node& node : graph.nodes) {
    if (const auto* adjust = std::get_if<AdjustLossScale>(&node.op)) scaling_ = adjust->rule;
    if (std::holds_alternative<Accumulate>(node.op) && gradient_sums_ == nullptr)
      gradient_sums_ = std::make_unique<Arena>(backend, gradients_->bytes());
  }
  Stream& stream = backend.stream(Lane::compute);
  for (const Arena* arena :
       {parameters_.get(), gradients_.get(), gradient_sums_.get(), slot_arena_.get(), metrics_.get(), scaler_.get()}) {
    if (arena != nullptr) backend.fill_zero(stream, arena->data(), arena->bytes());
  }
  stream.synchronize();
  reset_loss_scale();
}

void ModelState::reset_loss_scale() {
  if (!scaling_) return;
  const LossScale fresh{.scale = scaling_->initial};
  Stream& stream = backend_.stream(Lane::compute);
  backend_.copy_to_device(stream, scaler(), &fresh, sizeof(fresh));
  stream.synchronize();
}

void ModelState::initialise(std::uint64_t seed) {
  std::vector<float> values;
  for (std::size_t at = 0; at < entries_.size(); ++at) {
    const Entry& entry = entries_[at];
    values.assign(static_cast<std::size_t>(entry.shape.elements()), 0.0F);
    if (entry.shape.rank() >= 2) {  // weights; a bias has one axis and starts at zero
      const float limit = glorot_limit(entry.shape);
      Rng rng(seed, Purpose::initialise, at);
      for (float& value : values)
        value = limit * (2.0F * unit_float(rng.bits()) - 1.0F);
    }
    write(parameters() + entry.offset, values);
  }
  Stream& stream = backend_.stream(Lane::compute);
  backend_.fill_zero(stream, slot_arena_->data(), slot_arena_->bytes());
  stream.synchronize();
  reset_loss_scale();
}

float* ModelState::parameters() const noexcept { return reinterpret_cast<float*>(parameters_->data()); }
float* ModelState::gradients() const noexcept { return reinterpret_cast<float*>(gradients_->data()); }
float* ModelState::gradient_sums() const noexcept {
  return gradient_sums_ == nullptr ? nullptr : reinterpret_cast<float*>(gradient_sums_->data());
}
float* ModelState::slot(int index) const noexcept {
  return reinterpret_cast<float*>(slot_arena_->data()) + index * elements_;
}
double* ModelState::metrics() const noexcept { return reinterpret_cast<double*>(metrics_->data()); }
LossScale* ModelState::scaler() const noexcept { return reinterpret_cast<LossScale*>(scaler_->data()); }

void ModelState::fetch(void* to, const void* from, std::size_t bytes) const {
  Stream& stream = backend_.stream(Lane::compute);
  backend_.copy_to_host(stream, to, from, bytes);
  stream.synchronize();
}

std::uint64_t ModelState::hash() const {
  // Piecewise through one buffer: a copy of the whole state would show up in the peak memory of a run.
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> hash(XXH3_createState(), &XXH3_freeState);
  XXH3_64bits_reset(hash.get());
  const auto feed = [&](const std::byte* from, std::size_t bytes) {
    for (std::size_t done = 0; done < bytes; done += bounce_bytes) {
      const std::size_t count = std::min(bounce_bytes, bytes - done);
      fetch(bounce_.get(), from + done, count);
      XXH3_64bits_update(hash.get(), bounce_.get(), count);
    }
  };
  feed(parameters_->data(), bytes_of_floats(elements_));
  feed(slot_arena_->data(), bytes_of_floats(elements_ * slots_));
  return XXH3_64bits_digest(hash.get());
}

std::vector<float> ModelState::read(const float* from, std::int64_t count) const {
  std::vector<float> values(static_cast<std::size_t>(count));
  fetch(values.data(), from, bytes_of_floats(count));
  return values;
}

void ModelState::write(float* to, std::span<const float> values) {
  Stream& stream = backend_.stream(Lane::compute);
  backend_.copy_to_device(stream, to, values.data(), values.size_bytes());
  stream.synchronize();
}

float ModelState::loss() const {
  float value = 0.0F;
  fetch(&value, gradients() + elements_, sizeof(value));
  return value;
}

Score ModelState::score() const {
  Score score;
  fetch(&score, metrics(), sizeof(score));
  return score;
}

void ModelState::clear_metrics() { backend_.fill_zero(backend_.stream(Lane::compute), metrics(), sizeof(Score)); }

std::optional<LossScale> ModelState::loss_scale() const {
  if (!scaling_) return {};
  LossScale now;
  fetch(&now, scaler(), sizeof(now));
  return now;
}

std::vector<float> ModelState::snapshot() const {
  std::vector<float> values = read(parameters(), elements_);
  const std::vector<float> slots = read(slot(0), elements_ * slots_);
  values.insert(values.end(), slots.begin(), slots.end());
  const std::vector<float> scale = read(reinterpret_cast<const float*>(scaler()), scaler_floats);
  values.insert(values.end(), scale.begin(), scale.end());
  return values;
}

void ModelState::restore(std::span<const float> snapshot) {
  const auto parameters_count = static_cast<std::size_t>(elements_);
  const std::size_t values = parameters_count * static_cast<std::size_t>(1 + slots_);
  TRAINMARK_CHECK(snapshot.size() == values + static_cast<std::size_t>(scaler_floats), "of another state");
  write(parameters(), snapshot.first(parameters_count));
  write(slot(0), snapshot.subspan(parameters_count, values - parameters_count));
  write(reinterpret_cast<float*>(scaler()), snapshot.subspan(values));
}

}  // namespace trainmark
