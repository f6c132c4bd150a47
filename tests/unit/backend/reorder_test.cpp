// Reorders of weights by kernels of our own: the same bits as oneDNN's, whatever the extents, and padding written.
#include "backend/cpu/reorder.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "backend/cpu/primitive.hpp"

namespace trainmark::cpu {
namespace {

using dnnl::memory;
using tag = memory::format_tag;
using type = memory::data_type;

struct Case {
  memory::dims dims;
  type blocks_of;
  tag blocks;
  bool ours;
  bool back = false;  ///< from blocks to the row-major tensor
};

/// Bytes after a reorder into memory that held something else.
template <class Execute>
std::vector<std::byte> bytes_after(const memory::desc& to, const Execute& execute) {
  std::vector<std::byte> bytes(to.get_size(), std::byte{0x5a});
  memory destination(to, engine(), bytes.data());
  execute(destination);
  return bytes;
}

void compare(const Case& each) {
  const memory::desc plain(each.dims, type::f32, each.dims.size() == 5 ? tag::abcde : tag::abcd);
  const memory::desc blocks(each.dims, each.blocks_of, each.blocks);
  const memory::desc& from = each.back ? blocks : plain;
  const memory::desc& to = each.back ? plain : blocks;
  std::vector<float> values(from.get_size() / sizeof(float));
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (float& value : values)
    value = normal(random);
  values.front() = std::numeric_limits<float>::infinity();
  values.back() = 1e-41F;                   // below the least normal number
  values[values.size() / 2] = 1.00390625F;  // half way between two bf16
  memory source(from, engine(), values.data());
  dnnl::stream stream(engine());
  const Reorder reorder(from, to);
  const auto found = bytes_after(to, [&](memory& destination) { reorder.execute(stream, source, destination); });
  const auto expected = bytes_after(
      to, [&](memory& destination) { dnnl::reorder(source, destination).execute(stream, source, destination); });
  stream.wait();
  EXPECT_EQ(reorder.is_ours(), each.ours);
  EXPECT_EQ(std::memcmp(found.data(), expected.data(), found.size()), 0);
}

class Reorders : public ::testing::TestWithParam<Case> {};

TEST_P(Reorders, GiveTheLibrarysBits) { compare(GetParam()); }

constexpr bool back = true;
INSTANTIATE_TEST_SUITE_P(PairsOfBf16, Reorders,
                         ::testing::Values(Case{{64, 128, 1, 1}, type::bf16, tag::BcdA32b2a, true},
                                           Case{{37, 45, 1, 1}, type::bf16, tag::BcdA32b2a, true},
                                           Case{{33, 70, 3, 3}, type::bf16, tag::BcdA32b2a, true},
                                           Case{{1, 1, 1, 1}, type::bf16, tag::BcdA32b2a, true},
                                           Case{{130, 300, 1, 1}, type::bf16, tag::AcdB64a2b, true},
                                           Case{{37, 45, 1, 1}, type::bf16, tag::AcdB32a2b, true},
                                           Case{{70, 33, 3, 3}, type::bf16, tag::AcdB64a2b, true},
                                           Case{{20, 17, 5, 5}, type::bf16, tag::AcdB16a2b, true},
                                           Case{{48, 31, 3, 3, 3}, type::bf16, tag::AcdeB32a2b, true},
                                           Case{{728, 728, 1, 1}, type::bf16, tag::AcdB32a2b, true},
                                           Case{{128, 128, 1, 1}, type::bf16, tag::BcdA64b2a, false}));
INSTANTIATE_TEST_SUITE_P(SinglePrecision, Reorders,
                         ::testing::Values(Case{{64, 128, 1, 1}, type::f32, tag::Acdb32a, true},
                                           Case{{37, 45, 1, 1}, type::f32, tag::Acdb32a, true},
                                           Case{{70, 200, 3, 3}, type::f32, tag::Acdb48a, true},
                                           Case{{33, 5, 3, 3, 3}, type::f32, tag::Acdeb32a, true},
                                           Case{{64, 64, 1, 1}, type::f32, tag::Bcda32b, false},
                                           Case{{728, 728, 1, 1}, type::f32, tag::Acdb32a, true},
                                           Case{{64, 32, 11, 11}, type::f32, tag::Acdb64a, false}));
INSTANTIATE_TEST_SUITE_P(GradientsBack, Reorders,
                         ::testing::Values(Case{{64, 128, 1, 1}, type::f32, tag::ABcd16b16a, true, back},
                                           Case{{37, 45, 1, 1}, type::f32, tag::ABcd16b16a, true, back},
                                           Case{{728, 728, 1, 1}, type::f32, tag::ABcd16b16a, true, back},
                                           Case{{32, 32, 3, 3}, type::f32, tag::ABcd16b16a, false, back}));
// Activations' layouts, which weights also have: not ours.
INSTANTIATE_TEST_SUITE_P(Others, Reorders,
                         ::testing::Values(Case{{8, 32, 5, 7}, type::f32, tag::aBcd16b, false},
                                           Case{{8, 32, 5, 7}, type::f32, tag::acdb, false},
                                           Case{{4, 8, 16, 3, 3}, type::f32, tag::aBCde16b16c, false}));

TEST(Reorder, KeepsWhatIsNoNumber) {
  const memory::desc plain({2, 2, 1, 1}, type::f32, tag::abcd), blocks({2, 2, 1, 1}, type::bf16, tag::AcdB16a2b);
  std::vector<float> values = {1.0F, -std::numeric_limits<float>::infinity(), std::bit_cast<float>(0x7fffffffU),
                               std::bit_cast<float>(0x7f800001U)};
  std::vector<std::uint16_t> found(blocks.get_size() / 2, 0x5a5a);
  memory source(plain, engine(), values.data()), destination(blocks, engine(), found.data());
  dnnl::stream stream(engine());
  Reorder(plain, blocks).execute(stream, source, destination);
  EXPECT_EQ(found[0], 0x3f80);
  EXPECT_EQ(found[1], 0xff80);
  for (const std::size_t at : {2U, 3U}) {
    EXPECT_EQ(found[at] & 0x7f80, 0x7f80);
    EXPECT_NE(found[at] & 0x7f, 0) << "a number that is none has become infinite";
  }
  EXPECT_EQ(found[4], 0) << "padding";
}

}  // namespace
}  // namespace trainmark::cpu
