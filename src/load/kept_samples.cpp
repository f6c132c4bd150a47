// Samples that stay in a process's memory as they are shown, inflated and converted: a later visit copies one from
// there instead of reading it. Nothing leaves once it is in, because an epoch visits each sample once: whatever would
// make room would be wanted again before what it made room for.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "load/kept_memory.hpp"
#include "trainmark/load.hpp"

namespace trainmark {
namespace {

/// Of a sample's number: where it is kept. Numbers of slots are from 0 on.
using Slot = std::int32_t;
constexpr Slot nowhere = -1, being_filled = -2;

std::int64_t table_bytes(std::int64_t samples) { return samples * static_cast<std::int64_t>(sizeof(Slot)); }

class KeptSamples final : public SampleSource {
 public:
  KeptSamples(std::unique_ptr<SampleSource> source, const DataSchema& schema, std::int64_t bytes)
      : source_(std::move(source)), sample_bytes_(schema.sample_bytes()) {
    const std::int64_t of_samples = std::max<std::int64_t>(0, bytes - table_bytes(source_->size()));
    const std::int64_t most = std::min<std::int64_t>(source_->size(), std::numeric_limits<Slot>::max());
    slots_ = std::min(of_samples / static_cast<std::int64_t>(sample_bytes_), most);
    if (slots_ == 0) return;
    memory_ = memory_to_keep(static_cast<std::size_t>(slots_) * sample_bytes_);
    places_ = std::vector<std::atomic<Slot>>(static_cast<std::size_t>(source_->size()));
    for (std::atomic<Slot>& place : places_)
      place.store(nowhere, std::memory_order_relaxed);
  }

  [[nodiscard]] std::int64_t size() const override { return source_->size(); }
  [[nodiscard]] PlaceStats places() const override { return source_->places(); }
  [[nodiscard]] KeptStats kept() const override {
    const std::int64_t samples = kept_.load(std::memory_order_relaxed);
    const std::int64_t of_table = slots_ > 0 ? table_bytes(source_->size()) : 0;
    return {.bytes = of_table + samples * static_cast<std::int64_t>(sample_bytes_), .samples = samples};
  }

  ReadFrom read(const Visit& visit, const SampleView& to) override {
    if (slots_ == 0) return source_->read(visit, to);
    TRAINMARK_CHECK(visit.sample >= 0 && visit.sample < size(), "a sample of the set");
    std::atomic<Slot>& place = places_[static_cast<std::size_t>(visit.sample)];
    if (const Slot slot = place.load(std::memory_order_acquire); slot >= 0) {
      const std::byte* from = at(slot);
      for (const std::span<std::byte> field : to) {
        std::memcpy(field.data(), from, field.size());
        from += field.size();
      }
      return ReadFrom::memory;
    }
    const ReadFrom from = source_->read(visit, to);
    keep(place, to);
    return from;
  }

 private:
  [[nodiscard]] std::byte* at(std::int64_t slot) const noexcept {
    return memory_.get() + static_cast<std::size_t>(slot) * sample_bytes_;
  }

  /// Where there is room, and no other reader has the same sample in hand.
  void keep(std::atomic<Slot>& place, const SampleView& sample) {
    if (claimed_.load(std::memory_order_relaxed) >= slots_) return;
    Slot before = nowhere;
    if (!place.compare_exchange_strong(before, being_filled, std::memory_order_relaxed)) return;
    const std::int64_t slot = claimed_.fetch_add(1, std::memory_order_relaxed);
    if (slot >= slots_) {  // others were faster
      place.store(nowhere, std::memory_order_relaxed);
      return;
    }
    std::byte* to = at(slot);
    for (const std::span<std::byte> field : sample) {
      std::memcpy(to, field.data(), field.size());
      to += field.size();
    }
    place.store(static_cast<Slot>(slot), std::memory_order_release);
    kept_.fetch_add(1, std::memory_order_relaxed);
  }

  std::unique_ptr<SampleSource> source_;
  std::size_t sample_bytes_;
  std::int64_t slots_ = 0;
  std::unique_ptr<std::byte[]> memory_;    // never touched before a slot is filled
  std::vector<std::atomic<Slot>> places_;  // by sample
  std::atomic<std::int64_t> claimed_{0};   // slots, and attempts beyond the last
  std::atomic<std::int64_t> kept_{0};
};

}  // namespace

std::int64_t kept_bytes_of(const DataSchema& schema, std::int64_t samples, std::int64_t set_samples) {
  return table_bytes(set_samples) + samples * static_cast<std::int64_t>(schema.sample_bytes());
}

std::unique_ptr<SampleSource> keep_samples(std::unique_ptr<SampleSource> source, const DataSchema& schema,
                                           std::int64_t bytes) {
  if (bytes <= 0) return source;
  return std::make_unique<KeptSamples>(std::move(source), schema, bytes);
}

}  // namespace trainmark
