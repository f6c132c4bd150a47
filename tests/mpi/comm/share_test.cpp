// What a rank may use of its node's CPUs: its own, or its part of those that all have in common, and of a quota of
// time.
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>

#include "comm/share.hpp"
#include "support/mpi_main.hpp"

namespace trainmark {
namespace {

TEST(CpuShare, IsTheLesserOfCpusAndQuotaButOneAtLeast) {
  EXPECT_EQ((CpuShare{4, 0.0, ""}.threads()), 4);
  EXPECT_EQ((CpuShare{0, 0.0, ""}.threads()), 1);
  EXPECT_EQ((CpuShare{4, 2.9, ""}.threads()), 2);
  EXPECT_EQ((CpuShare{4, 8.0, ""}.threads()), 4);
  EXPECT_EQ((CpuShare{4, 0.5, ""}.threads()), 1);
  EXPECT_EQ((CpuShare{4, 3.0, ""}.threads()), 3) << "a quota of whole CPUs is one of so many threads";
  EXPECT_EQ((CpuShare{4, 2.1 / 0.7, ""}.threads()), 3) << "also where the division left a bit less";
}

TEST(CpuShare, CutsWhatTheRanksOfANodeHaveInCommon) {
  const int cpus = static_cast<int>(process_cpus().size());  // nothing binds the ranks of this test apart
  EXPECT_EQ(cpu_share(test_world()).cpus, std::max(1, cpus / test_world().node().size()));
}

TEST(CpuShare, LeavesARankTheCpusThatItIsBoundTo) {
  const std::vector<int> all = process_cpus();
  if (std::ssize(all) < test_world().node().size()) GTEST_SKIP() << "fewer CPUs than ranks";
  cpu_set_t before, own;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  CPU_ZERO(&own);
  CPU_SET(all[static_cast<std::size_t>(test_world().node().rank())], &own);
  ASSERT_EQ(sched_setaffinity(0, sizeof(own), &own), 0);
  const CpuShare share = cpu_share(test_world());
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_EQ(share.cpus, 1) << "not a part of one";
}

TEST(CpuShare, OfSeveralQuotasIsTheTightestOverTheRanksBelowIt) {
  const GroupLimit job{"/sys/fs/cgroup/job/cpu.max", 7, 8.0}, step{"/sys/fs/cgroup/job/step/cpu.max", 71, 2.0};
  const auto taken = [](const std::vector<GroupLimit>& limits, const std::vector<std::string>& others) {
    std::vector<std::string> groups = {groups_text(limits)};
    groups.insert(groups.end(), others.begin(), others.end());
    CpuShare share;
    take_quota(share, limits, groups);
    return share;
  };
  EXPECT_EQ(taken({}, {}).quota, 0.0);
  EXPECT_EQ(taken({}, {}).quota_source, "");
  EXPECT_EQ(taken({job, step}, {}).quota, 2.0);
  EXPECT_EQ(taken({job, step}, {groups_text({job, step})}).quota, 1.0);
  const CpuShare of_step = taken({step, job}, {groups_text({job}), groups_text({job})});
  EXPECT_EQ(of_step.quota, 2.0) << "alone in its step; the job's is 8 over 3";
  EXPECT_NE(of_step.quota_source.find("2 CPUs (" + step.file), std::string::npos) << of_step.quota_source;
  const CpuShare of_job = taken({step, job}, std::vector<std::string>(7, groups_text({job})));
  EXPECT_EQ(of_job.quota, 1.0) << "8 over 8 ranks";
  EXPECT_NE(of_job.quota_source.find("8 CPUs (" + job.file), std::string::npos) << "the whole group's";
  EXPECT_NE(taken({step, job}, std::vector<std::string>(3, groups_text({job}))).quota_source.find(step.file),
            std::string::npos)
      << "of equal ones the first";
}

TEST(CpuShare, OfAQuotaIsThePartOfEachRankBelowIt) {
  const CpuShare share = cpu_share(test_world());
  double tightest = 0.0;
  for (const GroupLimit& limit : group_limits(Resource::cpus))
    tightest = tightest == 0.0 ? limit.value : std::min(tightest, limit.value);
  EXPECT_NEAR(share.quota, tightest / test_world().node().size(), 1e-12) << "all ranks of this test are below it";
  EXPECT_EQ(share.quota_source.empty(), tightest == 0.0);
}

}  // namespace
}  // namespace trainmark
