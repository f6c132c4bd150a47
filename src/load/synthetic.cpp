// Samples out of thin air: random, fixed by (seed, index), and about as cheap as a copy, so that what is measured with
// them is everything but input.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "trainmark/load.hpp"

namespace trainmark {
namespace {

template <class T>
void put(T value, std::byte* to) {
  std::memcpy(to, &value, sizeof value);
}

/// The legal value nearest to `wanted`.
double legal_near(double wanted, const LegalValues& legal) {
  return std::max(legal.least, std::min(wanted, legal.most));
}

/// One of 0 to 3, or of the legal integers nearest to them.
std::int64_t small_integer(const LegalValues& legal, std::uint32_t bits) {
  const auto least = static_cast<std::int64_t>(std::ceil(legal_near(0.0, legal)));
  const auto most = static_cast<std::int64_t>(std::floor(legal_near(static_cast<double>(least) + 3.0, legal)));
  return least + bits % (std::max<std::int64_t>(most - least, 0) + 1);
}

/// In [-1, 1) or what of it is legal; else in the legal part that is nearest.
float small_number(const LegalValues& legal, std::uint32_t bits) {
  const auto least = static_cast<float>(legal_near(-1.0, legal));
  const auto most = static_cast<float>(legal_near(1.0, legal));
  return least + (most - least) * unit_float(bits);
}

/// Legal values, as preprocessing and loss of the real data would meet them: a label beyond its classes would be an
/// index into other memory.
void fill_element(Rng& random, const Field& field, std::byte* to) {
  const std::uint32_t bits = random.bits();
  switch (field.dtype) {
    case DType::i16:
      return put(static_cast<std::int16_t>(small_integer(field.legal, bits)), to);
    case DType::i32:
      return put(static_cast<std::int32_t>(small_integer(field.legal, bits)), to);
    case DType::i64:
      return put(small_integer(field.legal, bits), to);
    case DType::u8:
      return put(static_cast<std::uint8_t>(small_integer(field.legal, bits)), to);
    case DType::f64:
      return put(static_cast<double>(small_number(field.legal, bits)), to);
    default:
      TRAINMARK_CHECK(field.dtype == DType::f32, name_of(field.dtype));
      return put(small_number(field.legal, bits), to);
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
        fill_element(random, field, content.data() + at);
    }
  }

  [[nodiscard]] std::int64_t size() const override { return samples_; }

  ReadFrom read(const Visit& visit, const SampleView& to) override {
    const std::int64_t index = visit.sample;
    TRAINMARK_CHECK(index >= 0 && index < samples_, fmt::format("sample {} of {}", index, samples_));
    // One content per field, turned by an amount of the sample's own.
    for (std::size_t i = 0; i < contents_.size(); ++i) {
      const auto& content = contents_[i];
      const std::size_t count = content.size() / elements_[i];
      const std::size_t turn = static_cast<std::size_t>(index) * 7919 % count * elements_[i];
      std::memcpy(to[i].data(), content.data() + turn, content.size() - turn);
      std::memcpy(to[i].data() + content.size() - turn, content.data(), turn);
    }
    return ReadFrom::files;
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
