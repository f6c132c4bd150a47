// Samples out of thin air: random, fixed by (seed, index), and about as cheap as a copy, so that what is measured with
// them is everything but input.
#include <fmt/core.h>

#include <cstring>

#include "trainmark/load.hpp"

namespace trainmark {
namespace {

/// Small counts for integers, [-1, 1) for floats: what preprocessing and loss of the real data would meet.
void fill_element(Rng& random, DType dtype, std::byte* to) {
  const std::uint32_t bits = random.bits();
  switch (dtype) {
    case DType::i16: {
      const auto value = static_cast<std::int16_t>(bits % 4);
      std::memcpy(to, &value, sizeof value);
      return;
    }
    case DType::f32: {
      const float value = 2.0F * unit_float(bits) - 1.0F;
      std::memcpy(to, &value, sizeof value);
      return;
    }
    default:
      std::memset(to, static_cast<int>(bits % 4), size_of(dtype));
  }
}

class SyntheticSource final : public SampleSource {
 public:
  SyntheticSource(const DataSchema& schema, std::int64_t samples, std::uint64_t seed) : samples_(samples) {
    for (std::size_t i = 0; i < schema.fields.size(); ++i) {
      const Field& field = schema.fields[i];
      Rng random(seed, Purpose::warm_up, i);
      elements_.push_back(size_of(field.dtype));
      auto& content = contents_.emplace_back(field.bytes());
      for (std::size_t at = 0; at < content.size(); at += elements_.back())
        fill_element(random, field.dtype, content.data() + at);
    }
  }

  [[nodiscard]] std::int64_t size() const override { return samples_; }

  void read(std::int64_t index, const SampleView& to) override {
    TRAINMARK_CHECK(index >= 0 && index < samples_, fmt::format("sample {} of {}", index, samples_));
    // One content per field, turned by an amount of the sample's own.
    for (std::size_t i = 0; i < contents_.size(); ++i) {
      const auto& content = contents_[i];
      const std::size_t count = content.size() / elements_[i];
      const std::size_t turn = static_cast<std::size_t>(index) * 7919 % count * elements_[i];
      std::memcpy(to[i].data(), content.data() + turn, content.size() - turn);
      std::memcpy(to[i].data() + content.size() - turn, content.data(), turn);
    }
  }

 private:
  std::int64_t samples_;
  std::vector<std::size_t> elements_;
  std::vector<std::vector<std::byte>> contents_;
};

}  // namespace

std::unique_ptr<SampleSource> synthetic_source(const DataSchema& schema, std::int64_t samples, std::uint64_t seed) {
  return std::make_unique<SyntheticSource>(schema, samples, seed);
}

}  // namespace trainmark
