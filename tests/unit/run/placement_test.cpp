// More threads than CPUs, counted over a node: each CPU once, whoever shares it.
#include "run/launch/placement.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "run/record/results.hpp"
#include "support/mpi_main.hpp"

namespace trainmark {
namespace {

const World& world() { return test_world(); }

std::string warning(const std::vector<int>& cores, int threads, bool communication) {
  Placement placement;
  placement.cores = cores;
  return crowding(world(), placement, {threads, 3, communication});
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

TEST(Oversubscription, IsOfRanksWhereDevicesCompute) {
  const int ranks = world().all().size(), own = world().all().rank();
  EXPECT_EQ(warning({own}, 0, true), "") << "a sum does not keep a CPU busy beside the rank";
  const std::string crowded = warning({0}, 0, true);
  if (ranks == 1) {
    EXPECT_EQ(crowded, "");
    return;
  }
  EXPECT_NE(crowded.find(": " + std::to_string(ranks) + " ranks, each with a device to keep busy"), crowded.npos);
  EXPECT_NE(crowded.find("on 1 CPUs"), crowded.npos) << crowded;
  EXPECT_NE(crowded.find("start 1 a node"), crowded.npos) << crowded;
  for (const char* words : {"/backend/threads", "/backend/overlap"})
    EXPECT_EQ(crowded.find(words), crowded.npos) << "they change nothing of a device: " << crowded;
}

/// On as many CPUs as one likes, in a control group that allows `quota` to each rank.
std::string with_quota(double quota, int threads) {
  Placement placement;
  for (int cpu = 0; cpu < 4; ++cpu)
    placement.cores.push_back(4 * world().all().rank() + cpu);
  placement.share = {4, quota, "6 CPUs (/a/cpu.max)"};
  return crowding(world(), placement, {threads, 0, false});
}

TEST(Quota, IsToldWhereItMadeThreadsFewer) {
  const std::string text = with_quota(1.5, 1);
  EXPECT_NE(
      text.find("a control group allows 6 CPUs (/a/cpu.max) for " + std::to_string(world().node().size()) + " rank"),
      text.npos)
      << text;
  EXPECT_NE(text.find(": 1 thread a rank instead of 4"), text.npos) << text;
  EXPECT_EQ(text.find('\n'), text.npos) << text;
}

TEST(Quota, IsToldWithTheCureWhereThreadsAreMore) {
  const std::string text = with_quota(2.5, 3);
  EXPECT_NE(text.find("and 3 threads a rank compute"), text.npos) << text;
  EXPECT_NE(text.find("set /backend/threads to 2"), text.npos) << text;
}

TEST(Quota, IsToldBesideDevicesWhereARankHasLessThanACpu) {
  EXPECT_EQ(with_quota(1.5, 0), "") << "no thread fewer computes";
  const std::string text = with_quota(0.5, 0);
  EXPECT_NE(text.find("take turns on 6 CPUs (/a/cpu.max)"), text.npos) << text;
}

TEST(Quota, IsNotToldWhereItAllowsAll) { EXPECT_EQ(with_quota(4.0, 4), ""); }

/// Of a job that has `node_cpus` here, and asked for so many a rank.
Placement granted(int node_cpus, int asked_cpus, std::string cure = {}) {
  Placement placement;
  placement.node_cpus = node_cpus;
  placement.asked_cpus = asked_cpus;
  placement.cpus_cure = std::move(cure);
  return placement;
}

TEST(LeftOut, AreCpusWhereRanksSeeUnderHalfOfThem) {
  EXPECT_EQ(left_out("n1", 2, 32, granted(64, 0)), "");
  EXPECT_EQ(left_out("n1", 2, 2, granted(0, 0)), "");
  const std::string text = left_out("n1", 2, 31, granted(64, 0));
  for (const char* words : {"node n1: 2 ranks may run on 31 of the 64 CPUs", "SRUN_CPUS_PER_TASK", "--bind-to none"})
    EXPECT_NE(text.find(words), text.npos) << text;
}

TEST(LeftOut, AreCpusThatWereAskedForAndNotGiven) {
  EXPECT_EQ(left_out("n1", 2, 32, granted(32, 16)), "");
  EXPECT_EQ(left_out("n1", 2, 31, granted(32, 16, "ask again")),
            "node n1: 2 ranks may run on 31 CPUs, though 16 a rank were asked for; ask again\n");
  EXPECT_EQ(left_out("n1", 1, 1, granted(1, 16, "ask again")),
            "node n1: 1 rank may run on 1 CPUs, though 16 a rank were asked for; ask again\n");
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
