// From seeds to inputs: an endless sequence in which each input follows from the seeds, a number and its index alone,
// so that an input that killed its process can be made again by another.
#pragma once

#include "fuzz/fuzz.hpp"

namespace trainmark::fuzz {

class Chance {
 public:
  Chance(std::uint64_t seed, std::uint64_t index) : rng_(seed, Purpose::test, index) {}
  /// In [0, bound), or 0.
  [[nodiscard]] std::size_t below(std::size_t bound) {
    return bound == 0 ? 0 : static_cast<std::size_t>(rng_.below(bound));
  }

 private:
  Rng rng_;
};

/// One mutation each; `other` is a seed from which pieces may come.
void change_bytes(std::string& bytes, const std::string& other, Chance& chance);
void change_token(std::string& text, const std::string& other, Chance& chance);
void change_line(std::string& text, const std::string& other, Chance& chance);

/// Input `index` of the sequence; the seeds themselves come first.
[[nodiscard]] std::string input_of(const std::vector<Seed>& seeds, bool text, std::uint64_t seed, std::uint64_t index);

}  // namespace trainmark::fuzz
