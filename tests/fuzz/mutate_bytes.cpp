// Mutations that know nothing of what the bytes mean: flips, numbers at the edge, pieces copied, spliced in and cut
// out.
#include <algorithm>
#include <array>

#include "fuzz/mutate.hpp"

namespace trainmark::fuzz {
namespace {

/// Short pieces mostly, long ones now and then.
std::size_t length_within(std::size_t rest, Chance& chance) {
  const std::size_t most = std::size_t{1} << (1 + chance.below(chance.below(4) == 0 ? 16 : 6));
  return std::min(rest, 1 + chance.below(most));
}

void put_number(std::string& bytes, Chance& chance) {
  const std::size_t width = std::min<std::size_t>(std::size_t{1} << chance.below(4), bytes.size());
  const std::size_t at = chance.below(bytes.size() - width + 1);
  const std::uint64_t power = std::uint64_t{1} << chance.below(8 * width);
  const std::array<std::uint64_t, 8> numbers = {0,         1,      ~std::uint64_t{0}, power,
                                                power - 1, ~power, bytes.size(),      chance.below(256)};
  const std::uint64_t number = numbers[chance.below(numbers.size())];
  for (std::size_t i = 0; i < width; ++i)
    bytes[at + i] = static_cast<char>(number >> (8 * i));
}

}  // namespace

void change_bytes(std::string& bytes, const std::string& other, Chance& chance) {
  if (bytes.empty()) bytes = other;
  if (bytes.empty()) return;
  const std::size_t at = chance.below(bytes.size());
  const std::size_t length = length_within(bytes.size() - at, chance);
  switch (chance.below(10)) {
    case 0:
    case 1:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << chance.below(8)));
      return;
    case 2:
      bytes[at] = static_cast<char>(chance.below(256));
      return;
    case 3:
    case 4:
    case 5:
      return put_number(bytes, chance);
    case 6:
      bytes.replace(chance.below(bytes.size()), chance.below(2) * length, bytes.substr(at, length));
      return;
    case 7:
      bytes.replace(at, chance.below(2) * length, other, chance.below(other.size() + 1), length);
      return;
    case 8:
      bytes.erase(at, length);
      return;
    default:
      if (chance.below(4) == 0) return bytes.resize(at);
      bytes[at] = static_cast<char>(bytes[at] + (chance.below(2) == 0 ? 1 : -1));
  }
}

}  // namespace trainmark::fuzz
