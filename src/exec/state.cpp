// The model's state in device memory: regions in the reference's tensor order, their initial values, hash and copies.
#include <xxhash.h>

#include <algorithm>
#include <string_view>

#include "trainmark/exec.hpp"

namespace trainmark {
namespace {

constexpr std::size_t arena_alignment = 64;
constexpr std::size_t bounce_bytes = std::size_t{1} << 20;

std::size_t bytes_of_floats(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(float); }

/// Tensors of one arena in the graph's order, which decides what is drawn for each of them; `end` becomes their
/// elements.
std::vector<ModelState::Entry> entries_of(const Graph& graph, Role role, std::int64_t& end) {
  std::vector<ModelState::Entry> entries;
  for (const Tensor& tensor : graph.tensors)
    if (tensor.role == role) entries.push_back({tensor.name, tensor.shape, tensor.offset, tensor.initial});
  std::vector<std::pair<std::int64_t, std::int64_t>> ranges;  // offset, elements
  for (const ModelState::Entry& entry : entries)
    ranges.emplace_back(entry.offset, entry.shape.elements());
  std::ranges::sort(ranges);
  end = 0;
  for (const auto& [offset, elements] : ranges) {
    TRAINMARK_CHECK(offset == end, "tensors leave a gap in their arena");
    end += elements;
  }
  return entries;
}

void fill(std::span<float> values, const Initial& initial, Rng rng) {
  switch (initial.law) {
    case Initial::Law::constant:
      std::ranges::fill(values, initial.scale);
      break;
    case Initial::Law::uniform:
      for (float& value : values)
        value = initial.scale * (2.0F * unit_float(rng.bits()) - 1.0F);
      break;
    case Initial::Law::normal:
      for (float& value : values)
        value = initial.scale * static_cast<float>(rng.normal());
      break;
  }
}

}  // namespace

Arena::Arena(Backend& backend, std::size_t bytes) : backend_(backend), bytes_(std::max(bytes, arena_alignment)) {
  data_ = static_cast<std::byte*>(backend_.device_memory().allocate(bytes_, arena_alignment));
}
Arena::~Arena() { backend_.device_memory().deallocate(data_, bytes_, arena_alignment); }

ModelState::ModelState(Backend& backend, const Graph& graph, int slots)
    : backend_(backend), bounce_(std::make_unique<std::byte[]>(bounce_bytes)) {
  entries_ = entries_of(graph, Role::parameter, elements_);
  std::int64_t statistics = 0;
  statistics_ = entries_of(graph, Role::statistic, statistics);
  bool accumulates = false;
  for (const Node& node : graph.nodes) {
    if (const auto* adjust = std::get_if<AdjustLossScale>(&node.op)) scaling_ = adjust->rule;
    accumulates |= std::holds_alternative<Accumulate>(node.op);
  }
  const bool counts = std::ranges::any_of(graph.tensors, [](const Tensor& t) { return t.role == Role::counter; });

  add(Space::parameter, bytes_of_floats(elements_), true, true);
  add(Space::slot, bytes_of_floats(elements_ * slots), true, true);
  if (counts) add(Space::update_count, sizeof(UpdateCount), true, true);
  // Ranks keep statistics of their own; in training nothing but themselves reads them.
  if (statistics > 0) add(Space::statistic, bytes_of_floats(statistics), true, false);
  add(Space::loss_scale, sizeof(LossScale), true, false);
  add(Space::gradient, bytes_of_floats(graph.gradient_elements()), false, false);
  // Zero between steps.
  if (accumulates) add(Space::gradient_sum, bytes_of_floats(graph.gradient_elements()), false, false);
  add(Space::metric, sizeof(Score), false, false);
  for (const Region& region : regions_)
    clear(region);
  backend_.stream(Lane::compute).synchronize();
  reset_loss_scale();
}

void ModelState::add(Space space, std::size_t bytes, bool kept, bool agreed) {
  regions_.push_back({space, bytes, kept, agreed, std::make_unique<Arena>(backend_, bytes)});
}

void ModelState::clear(const Region& region) {
  backend_.fill_zero(backend_.stream(Lane::compute), region.arena->data(), region.arena->bytes());
}

std::byte* ModelState::data(Space space) const noexcept {
  const auto found = std::ranges::find(regions_, space, &Region::space);
  return found == regions_.end() ? nullptr : found->arena->data();
}

void* ModelState::data(const ArenaUse& use) const noexcept {
  return floats(use.space) + use.slot * elements_ + use.range.begin;
}

void ModelState::reset_loss_scale() {
  if (!scaling_) return;
  const LossScale fresh{.scale = scaling_->initial};
  Stream& stream = backend_.stream(Lane::compute);
  backend_.copy_to_device(stream, scaler(), &fresh, sizeof(fresh));
  stream.synchronize();
}

void ModelState::draw(const std::vector<Entry>& entries, Space space, std::uint64_t seed) {
  std::vector<float> values;
  for (std::size_t at = 0; at < entries.size(); ++at) {
    values.assign(static_cast<std::size_t>(entries[at].shape.elements()), 0.0F);
    fill(values, entries[at].initial, Rng(seed, Purpose::initialise, at));
    write(floats(space) + entries[at].offset, values);
  }
}

void ModelState::initialise(std::uint64_t seed) {
  for (const Region& region : regions_)
    if (region.kept) clear(region);
  backend_.stream(Lane::compute).synchronize();
  draw(entries_, Space::parameter, seed);
  draw(statistics_, Space::statistic, seed);
  reset_loss_scale();
}

void ModelState::fetch(void* to, const void* from, std::size_t bytes) const {
  Stream& stream = backend_.stream(Lane::compute);
  backend_.copy_to_host(stream, to, from, bytes);
  stream.synchronize();
}

std::uint64_t ModelState::hash() const {
  // Piecewise through one buffer: a copy of the whole state would show up in the peak memory of a run.
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> hash(XXH3_createState(), &XXH3_freeState);
  XXH3_64bits_reset(hash.get());
  for (const Region& region : regions_) {
    if (!region.agreed) continue;
    for (std::size_t done = 0; done < region.bytes; done += bounce_bytes) {
      const std::size_t count = std::min(bounce_bytes, region.bytes - done);
      fetch(bounce_.get(), region.arena->data() + done, count);
      XXH3_64bits_update(hash.get(), bounce_.get(), count);
    }
  }
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

std::vector<std::byte> ModelState::snapshot() const {
  std::vector<std::byte> copy;
  for (const Region& region : regions_) {
    if (!region.kept) continue;
    copy.resize(copy.size() + region.bytes);
    fetch(copy.data() + copy.size() - region.bytes, region.arena->data(), region.bytes);
  }
  return copy;
}

void ModelState::restore(std::span<const std::byte> snapshot) {
  Stream& stream = backend_.stream(Lane::compute);
  std::size_t at = 0;
  for (const Region& region : regions_) {
    if (!region.kept) continue;
    TRAINMARK_CHECK(at + region.bytes <= snapshot.size(), "of another state");
    backend_.copy_to_device(stream, region.arena->data(), snapshot.data() + at, region.bytes);
    at += region.bytes;
  }
  stream.synchronize();
  TRAINMARK_CHECK(at == snapshot.size(), "of another state");
}

}  // namespace trainmark
