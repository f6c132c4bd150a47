// A world that is not there: every size, at once, and without a word to MPI.
#include <gtest/gtest.h>

#include <array>

#include "support/mpi_main.hpp"
#include "trainmark/comm.hpp"

namespace trainmark {
namespace {

TEST(PretendedWorld, StandsWhereItsRankWould) {
  const World world = pretended_world(4096, 512, 4094);
  EXPECT_EQ(world.all().size(), 4096);
  EXPECT_EQ(world.all().rank(), 4094);
  EXPECT_EQ(world.node().size(), 8);
  EXPECT_EQ(world.node().rank(), 6);
  EXPECT_EQ(world.nodes(), 512);
  EXPECT_EQ(world.node_index(), 511);
  EXPECT_EQ(world.host(), test_world().host());
  EXPECT_EQ(world.all().neighbours(16).size(), 16);
  EXPECT_EQ(world.all().neighbours(16).rank(), 14);
}

TEST(PretendedWorld, HearsFromEveryRankWhatThisOneSays) {
  const Group all = pretended_world(6, 3).all();
  std::array<double, 2> sums = {1.5, -2.0};
  all.sum(sums);
  EXPECT_EQ(sums, (std::array<double, 2>{9.0, -12.0}));
  std::array<std::int64_t, 1> counts = {7};
  all.sum(counts);
  EXPECT_EQ(counts[0], 42);
  std::array<double, 1> most = {4.0};
  all.max(most);
  EXPECT_EQ(most[0], 4.0);
  EXPECT_EQ(all.broadcast(std::string("text"), 5), "text");
  EXPECT_EQ(all.all_gather(std::uint64_t{3}), std::vector<std::uint64_t>(6, 3));
  EXPECT_EQ(all.all_gather(std::string("a")), std::vector<std::string>(6, "a"));
  EXPECT_EQ(all.gather("b"), std::vector<std::string>(6, "b"));
  EXPECT_TRUE(all.gather("b", 1).empty());
  EXPECT_EQ(all.duplicate().size(), 6);
  all.barrier();
}

TEST(PretendedWorld, AgreesWithItself) {
  const Group all = pretended_world(3).all();
  EXPECT_NO_THROW(agree_on(all, [] {}));
  EXPECT_NO_THROW(require_equal(all, "the binary", 7, "install the same"));
  int heard = 0;
  Pulse pulse(all, [&] { ++heard; });
  EXPECT_NO_THROW(agree_on(all, pulse, [&] { pulse.beat(); }));
  EXPECT_EQ(heard, 1);
  EXPECT_THROW(agree_on(all, [] { throw Error(ExitCode::data, "lost"); }), AgreedError);
}

TEST(PretendedWorld, IsAValue) {
  World world = pretended_world(2);
  const World copy = world;
  world = pretended_world(8);
  EXPECT_EQ(copy.all().size(), 2);
  EXPECT_EQ(world.all().size(), 8);
}

}  // namespace
}  // namespace trainmark
