// Limits of control groups, read from trees of files as the kernel shows them: v1 and v2, own and above, in containers.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <limits>

#include "trainmark/process.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

class Groups : public testing::Test {
 protected:
  Groups() : root_(fs::temp_directory_path() / ("trainmark-groups-" + std::to_string(getpid()))) {
    fs::remove_all(root_);
  }
  ~Groups() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    const fs::path file = root_ / path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void v2(const std::string& group, const std::string& shown = "/") const {
    write("proc/self/cgroup", "0::" + group + "\n");
    write("proc/self/mountinfo",
          "24 1 0:22 / /proc rw - proc proc rw\n"
          "30 24 0:26 " +
              shown + " /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
  }
  void v1(const std::string& group, const std::string& shown = "/") const {
    write("proc/self/cgroup", "5:memory:" + group + "\n4:cpu,cpuacct:" + group + "\n3:cpuset:/\n");
    write("proc/self/mountinfo", "31 24 0:27 " + shown +
                                     " /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
                                     "32 24 0:28 " +
                                     shown +
                                     " /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                                     "33 24 0:29 " +
                                     shown + " /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  }
  [[nodiscard]] std::vector<double> values(Resource resource) const {
    std::vector<double> found;
    for (const GroupLimit& limit : group_limits(resource, root_))
      found.push_back(limit.value);
    return found;
  }

  fs::path root_;
};

TEST_F(Groups, HaveNoLimitWhereThereAreNone) {
  EXPECT_EQ(values(Resource::cpus), std::vector<double>());
  v2("/job");
  write("sys/fs/cgroup/job/cpu.max", "max 100000\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>());
}

TEST_F(Groups, AreNotReadWhereOnlyTheirMountOrOnlyTheirNameIsKnown) {
  v2("/job");
  write("sys/fs/cgroup/job/cpu.max", "150000 100000\n");
  write("sys/fs/cgroup/cpu.max", "150000 100000\n");
  write("proc/self/cgroup", "");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>());
  v2("/job");
  write("proc/self/mountinfo", "24 1 0:22 / /proc rw - proc proc rw\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>());
}

TEST_F(Groups, OfVersion2LimitCpusByQuotaOverPeriod) {
  v2("/job");
  write("sys/fs/cgroup/job/cpu.max", "150000 100000\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>({1.5}));
}

TEST_F(Groups, OfVersion1LimitCpusByQuotaOverPeriod) {
  v1("/job");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "50000\n");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "20000\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>({2.5}));
  write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>());
}

TEST_F(Groups, WithoutAPeriodLimitNoCpus) {
  v1("/job");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "50000\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>()) << "a quota over nothing is no number of CPUs";
  write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "0\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>());
}

TEST_F(Groups, AboveCountToo) {
  v2("/slurm/job/step");
  write("sys/fs/cgroup/slurm/cpu.max", "800000 100000\n");
  write("sys/fs/cgroup/slurm/job/cpu.max", "200000 100000\n");
  write("sys/fs/cgroup/slurm/job/step/cpu.max", "max 100000\n");
  write("sys/fs/cgroup/slurm/job/step/pids.max", "20\n");
  write("sys/fs/cgroup/pids.max", "1000\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>({2.0, 8.0}));
  EXPECT_EQ(values(Resource::threads), std::vector<double>({20.0, 1000.0}));
  EXPECT_EQ(to_string(Resource::cpus, group_limits(Resource::cpus, root_).front()),
            "2 CPUs (" + (root_ / "sys/fs/cgroup/slurm/job/cpu.max").string() + ")");
}

TEST_F(Groups, OfOtherProcessesDoNotCount) {
  v2("/job");
  write("sys/fs/cgroup/other/cpu.max", "100000 100000\n");
  write("sys/fs/cgroup/job/step/cpu.max", "100000 100000\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>());
}

TEST_F(Groups, OfAContainerAreFoundAtTheMountPoint) {
  v1("/docker/abc", "/docker/abc");  // the host's path, and its group mounted as the top
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>({1.0}));
  v2("/../../elsewhere");
  write("sys/fs/cgroup/cpu.max", "300000 100000\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>({3.0}));
}

TEST_F(Groups, OfAContainersOwnGroupsAreFoundBelowTheMountPoint) {
  v1("/docker/abc/inner", "/docker/abc");
  write("sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "100000\n");
  write("sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>({1.0, 4.0}));
  v1("/docker", "/docker/abc");  // moved above what the container is shown
  EXPECT_EQ(values(Resource::cpus), std::vector<double>({4.0}));
}

TEST_F(Groups, OfBothVersionsCountTheTightestFirst) {
  write("proc/self/cgroup", "4:cpu,cpuacct:/old\n0::/new\n");
  write("proc/self/mountinfo",
        "32 24 0:28 / /sys/fs/cgroup/cpu rw shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct\n"
        "30 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  write("sys/fs/cgroup/cpu/old/cpu.cfs_quota_us", "600000\n");
  write("sys/fs/cgroup/cpu/old/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/unified/new/cpu.max", "200000 100000\n");
  write("sys/fs/cgroup/unified/cpu.max", "700000 100000\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>({2.0, 6.0, 7.0}));
}

TEST_F(Groups, AreToldWithTheirUnit) {
  const auto text = [](Resource resource, double value) { return to_string(resource, {"/f", 1, value}); };
  EXPECT_EQ(text(Resource::cpus, 1.0), "1 CPU (/f)");
  EXPECT_EQ(text(Resource::cpus, 1.5), "1.5 CPUs (/f)");
  EXPECT_EQ(text(Resource::threads, 20.0), "20 threads (/f)");
  EXPECT_EQ(text(Resource::memory, 1.5 * (1 << 20)), "2 MiB (/f)");
}

TEST_F(Groups, ThatAreNegativeOrNoNumberLimitNothing) {
  v2("/job");
  for (const char* text : {"-1\n", "max\n", "\n", "1152921504606846976\n"}) {
    write("sys/fs/cgroup/job/memory.max", text);
    EXPECT_EQ(values(Resource::memory), std::vector<double>()) << text;
  }
  write("sys/fs/cgroup/job/memory.max", "1152921504606846000\n");
  EXPECT_EQ(values(Resource::memory).size(), 1U) << "one page less than all";
  for (const char* text : {"0 100000\n", "-1 100000\n", "100000\n", "100000 -1\n"}) {
    write("sys/fs/cgroup/job/cpu.max", text);
    EXPECT_EQ(values(Resource::cpus), std::vector<double>()) << text;
  }
}

TEST_F(Groups, MayAllowNothing) {
  v2("/job");
  write("sys/fs/cgroup/job/pids.max", "0\n");
  EXPECT_EQ(values(Resource::threads), std::vector<double>({0.0}));
}

TEST_F(Groups, OfVersion1SayUnlimitedMemoryByANumber) {
  v1("/job");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "536870912\n");
  const auto limits = group_limits(Resource::memory, root_);
  ASSERT_EQ(limits.size(), 1U);
  EXPECT_EQ(to_string(Resource::memory, limits[0]).substr(0, 8), "512 MiB ");
}

TEST_F(Groups, LeaveAsMuchMemoryAsTheTightestHas) {
  constexpr double mib = 1 << 20;
  write("proc/meminfo", "MemTotal:       2097152 kB\nMemFree:          10 kB\nMemAvailable:    1048576 kB\n");
  EXPECT_EQ(memory_room(root_).bytes, 1024 * mib);
  EXPECT_EQ(memory_room(root_).source, "/proc/meminfo");
  v2("/job/step");
  write("sys/fs/cgroup/job/memory.max", "536870912\n");
  EXPECT_EQ(memory_room(root_).bytes, 512 * mib) << "nothing tells of any use";
  write("sys/fs/cgroup/job/memory.current", "268435456\n");
  write("sys/fs/cgroup/job/memory.stat",
        "anon 7\nfile 100663296\nshmem 33554432\nactive_file 1048576\ninactive_file 66060288\n");
  EXPECT_EQ(memory_room(root_).bytes, 320 * mib) << "512 less 256 in use, of which 64 are of files on disks";
  EXPECT_EQ(memory_room(root_).source.substr(0, 8), "512 MiB ");
  write("sys/fs/cgroup/job/step/memory.max", "104857600\n");
  write("sys/fs/cgroup/job/step/memory.current", "209715200\n");
  EXPECT_EQ(memory_room(root_).bytes, 0.0) << "over its limit, none is left";
}

TEST_F(Groups, LeaveAllMemoryWhereNothingIsKnownOfAny) {
  EXPECT_EQ(memory_room(root_).bytes, std::numeric_limits<double>::max());
  write("proc/meminfo", "Note: MemAvailable: 1 kB\nMemAvailable: 2 kB\n");
  EXPECT_EQ(memory_room(root_).bytes, 2048.0) << "the word begins a line";
}

TEST_F(Groups, OfVersion1LeaveMemoryToo) {
  v1("/job");
  write("proc/meminfo", "MemAvailable:    1048576 kB\n");
  write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "104857600\n");
  write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "52428800\n");
  write("sys/fs/cgroup/memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 10485760\ntotal_active_file 0\n");
  EXPECT_EQ(memory_room(root_).bytes, 60.0 * (1 << 20));
}

TEST_F(Groups, AreNoMatterOfBytesFromStorage) {
  EXPECT_EQ(bytes_from_storage(root_), std::nullopt);
  write("proc/self/io", "rchar: 5\nwchar: 6\nsyscr: 7\nsyscw: 8\nread_bytes: 4096\nwrite_bytes: 9\n");
  EXPECT_EQ(bytes_from_storage(root_), 4096);
  EXPECT_EQ(thread_bytes_from_storage(root_), std::nullopt);
  write("proc/thread-self/io", "read_bytes: 512\n");
  EXPECT_EQ(thread_bytes_from_storage(root_), 512);
  EXPECT_EQ(bytes_from_storage(root_), 4096);
  write("proc/thread-self/io", "rchar: 5\nwrite_bytes: 9\n");
  EXPECT_EQ(thread_bytes_from_storage(root_), std::nullopt);
}

TEST_F(Groups, AreToldApartByTheirFolders) {
  v2("/a/b");
  write("sys/fs/cgroup/a/cpu.max", "100000 100000\n");
  write("sys/fs/cgroup/a/b/cpu.max", "100000 100000\n");
  const auto limits = group_limits(Resource::cpus, root_);
  ASSERT_EQ(limits.size(), 2U);
  EXPECT_NE(limits[0].group, limits[1].group);
}

TEST_F(Groups, AreFoundBehindNamesWithSpaces) {
  write("proc/self/cgroup", "0::/my job\n");
  write("proc/self/mountinfo", "30 24 0:26 / /sys/fs/my\\040groups rw - cgroup2 cgroup2 rw\n");
  write("sys/fs/my groups/my job/cpu.max", "100000 50000\n");
  EXPECT_EQ(values(Resource::cpus), std::vector<double>({2.0}));
}

}  // namespace
}  // namespace trainmark
