// Mutations heaped on a seed, few mostly; checksums are made right again, or else no reader would look further.
#include "fuzz/mutate.hpp"

#include "fuzz/checksum.hpp"

namespace trainmark::fuzz {
namespace {

constexpr std::size_t longest = 1 << 18;

void seal(std::string& bytes, const Seed& seed, Chance& chance) {
  if (bytes.size() != seed.bytes.size()) return;  // ranges moved
  for (const Range& range : seed.sealed) {
    if (chance.below(16) == 0) continue;
    const auto end = static_cast<std::size_t>(range.end) - 4;
    const auto begin = static_cast<std::size_t>(range.begin);
    const std::uint32_t sum = hdf5_checksum(std::string_view(bytes).substr(begin, end - begin));
    for (std::size_t i = 0; i < 4; ++i)
      bytes[end + i] = static_cast<char>(sum >> (8 * i));
  }
}

}  // namespace

std::string input_of(const std::vector<Seed>& seeds, bool text, std::uint64_t seed, std::uint64_t index) {
  if (index < seeds.size()) return seeds[index].bytes;
  Chance chance(seed, index);
  const Seed& from = seeds[chance.below(seeds.size())];
  std::string bytes = from.bytes;
  const std::size_t times = chance.below(8) == 0 ? 16 : 1 + chance.below(4);
  for (std::size_t i = 0; i < times; ++i) {
    const std::string& other = seeds[chance.below(seeds.size())].bytes;
    const std::size_t kind = text ? chance.below(3) : 0;
    (kind == 0 ? change_bytes : kind == 1 ? change_token : change_line)(bytes, other, chance);
    if (bytes.size() > longest) bytes.resize(longest);
  }
  seal(bytes, from, chance);
  return bytes;
}

}  // namespace trainmark::fuzz
