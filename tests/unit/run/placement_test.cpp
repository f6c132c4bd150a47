// More threads than CPUs, counted over a node: each CPU once, whoever shares it.
#include "run/placement.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "run/results.hpp"
#include "support/mpi_main.hpp"

namespace trainmark {
namespace {

const World& world() { return test_world(); }

std::string warning(const std::vector<int>& cores, int threads, bool communication) {
  Placement placement;
  placement.cores = cores;
  return oversubscription(world(), placement, threads, 3, communication);
}

TEST(Oversubscription, IsNoneWhereEveryThreadHasACpu) {
  const int first = 4 * world().all().rank();
  EXPECT_EQ(warning({first, first + 1, first + 2}, 3, false), "");
  EXPECT_EQ(warning({first, first + 1, first + 2}, 2, true), "");
}

TEST(Oversubscription, CountsTheCommunicationThread) {
  const int first = 4 * world().all().rank(), ranks = world().all().size();
  const std::string text = warning({first, first + 1, first + 2}, 3, true);
  EXPECT_NE(text.find(std::to_string(ranks) + " ranks run " + std::to_string(4 * ranks) +
                      " compute and communication threads (and " + std::to_string(3 * ranks) + " readers) on " +
                      std::to_string(3 * ranks) + " CPUs"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("start " + std::to_string(3 * ranks) + " ranks a node, or set /backend/threads to 3"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("node " + world().host() + ":"), std::string::npos) << text;
}

TEST(Oversubscription, CountsACpuThatRanksShareOnce) {
  EXPECT_EQ(warning({0, 1}, 1, false).empty(), world().all().size() <= 2);
  EXPECT_EQ(warning({0, 1}, 2, false).empty(), world().all().size() == 1);
}

TEST(Placement, TellsWhereARankRuns) {
  const Placement placement = placement_of(world());
  EXPECT_EQ(placement.rank, world().all().rank());
  EXPECT_EQ(placement.node_rank, world().node().rank());
  EXPECT_EQ(placement.host, world().host());
  EXPECT_FALSE(placement.cores.empty());
  EXPECT_TRUE(std::is_sorted(placement.cores.begin(), placement.cores.end()));
  const auto json = nlohmann::json::parse(to_json_text(placement));
  EXPECT_EQ(json["rank"], placement.rank);
  EXPECT_EQ(json["host"], placement.host);
  EXPECT_EQ(json["rank_on_node"], placement.node_rank);
  EXPECT_EQ(json["cpus"], placement.cores);
  EXPECT_EQ(json["numa_nodes"], placement.numa_nodes);
}

}  // namespace
}  // namespace trainmark
