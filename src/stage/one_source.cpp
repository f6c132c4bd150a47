// Whether all nodes see one source. Size and time do not tell two versions of a dataset apart, and of blocks that
// different nodes read a file would be made that none of them has.
#include <algorithm>
#include <charconv>

#include "stage/exchange.hpp"

namespace trainmark {
namespace {

constexpr std::size_t files_looked_at = 8;
constexpr std::int64_t bytes_looked_at = 4096;

/// The hash's first 52 bits, which a double holds exactly.
double number_of(const std::string& hex) {
  std::uint64_t number = 0;
  std::from_chars(hex.data(), hex.data() + std::min<std::size_t>(13, hex.size()), number, 16);
  return static_cast<double>(number);
}

}  // namespace

std::optional<std::size_t> seen_differently(const World& world, const Group& lane, const Manifest& manifest,
                                            std::span<const std::size_t> entries, const std::filesystem::path& source) {
  const std::size_t count = std::min(entries.size(), files_looked_at);
  std::vector<std::size_t> some;
  for (std::size_t i = 0; i < count; ++i)
    some.push_back(entries[i * entries.size() / count]);
  std::vector<double> largest;  // a number of each, and behind all of them the same below 0, whose largest is the least
  agree_on(world.all(), [&] {
    for (const std::size_t index : some) {
      const ManifestEntry& entry = manifest.entries[index];
      const std::int64_t middle = entry.bytes / 2 / bytes_looked_at * bytes_looked_at;
      largest.push_back(number_of(hash_range(source / entry.name, middle, bytes_looked_at, {})));
    }
    for (std::size_t i = 0; i < count; ++i)
      largest.push_back(-largest[i]);
  });
  lane.max(largest);
  for (std::size_t i = 0; i < count; ++i)
    if (largest[i] != -largest[count + i]) return some[i];
  return std::nullopt;
}

}  // namespace trainmark
