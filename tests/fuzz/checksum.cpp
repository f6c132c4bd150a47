// The checksum of HDF5's metadata, so that what was changed on purpose is read instead of being refused at the door.
#include "fuzz/checksum.hpp"

#include <bit>

namespace trainmark::fuzz {
namespace {

std::uint32_t rotated(std::uint32_t value, int by) { return std::rotl(value, by); }

}  // namespace

std::uint32_t hdf5_checksum(std::string_view bytes) {
  std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(bytes.size()), b = a, c = a;
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4 && at + i < bytes.size(); ++i)
      value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
    return value;
  };
  for (; bytes.size() > 12; bytes.remove_prefix(12)) {
    a += word(0), b += word(4), c += word(8);
    a = (a - c) ^ rotated(c, 4), c += b;
    b = (b - a) ^ rotated(a, 6), a += c;
    c = (c - b) ^ rotated(b, 8), b += a;
    a = (a - c) ^ rotated(c, 16), c += b;
    b = (b - a) ^ rotated(a, 19), a += c;
    c = (c - b) ^ rotated(b, 4), b += a;
  }
  if (bytes.empty()) return c;
  a += word(0), b += word(4), c += word(8);
  c = (c ^ b) - rotated(b, 14);
  a = (a ^ c) - rotated(c, 11);
  b = (b ^ a) - rotated(a, 25);
  c = (c ^ b) - rotated(b, 16);
  a = (a ^ c) - rotated(c, 4);
  b = (b ^ a) - rotated(a, 14);
  c = (c ^ b) - rotated(b, 24);
  return c;
}

}  // namespace trainmark::fuzz
