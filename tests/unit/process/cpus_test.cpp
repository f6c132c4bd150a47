// The CPUs of the process where its first thread has been bound to fewer, as OpenMP does before main.
#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>
#include <thread>

#include "trainmark/process.hpp"

namespace trainmark {
namespace {

void bind_to(const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus)
    CPU_SET(static_cast<std::size_t>(cpu), &set);
  ASSERT_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

class ProcessCpus : public testing::Test {
 protected:
  void SetUp() override {
    if (all_.size() < 2) GTEST_SKIP() << "needs two CPUs";
  }
  void TearDown() override {
    bind_to(all_);
    started_with({});
  }
  std::vector<int> all_ = first_thread_cpus();
  std::vector<int> one_ = {all_.back()};
};

TEST_F(ProcessCpus, AreThoseOfTheStartWhereOpenMPHasBoundTheFirstThread) {
  bind_to(one_);
  started_with(all_);
  EXPECT_EQ(first_thread_cpus(), one_);
  EXPECT_EQ(process_cpus(), all_);
}

TEST_F(ProcessCpus, AreThoseOfTheFirstThreadWhereMpiBoundItLater) {
  started_with(all_);
  bind_to(one_);
  EXPECT_EQ(process_cpus(), one_);
}

TEST_F(ProcessCpus, AreThoseOfTheFirstThreadWhereNothingIsKnownOfTheStart) {
  bind_to(one_);
  started_with({});
  EXPECT_EQ(process_cpus(), one_);
  bind_to(all_);
  EXPECT_EQ(process_cpus(), all_);
}

TEST_F(ProcessCpus, AreThoseThatTheKernelNames) {
  for (const int cpu : all_) {
    bind_to({cpu});
    EXPECT_EQ(own_cpus(), std::vector<int>{cpu});
    EXPECT_EQ(first_thread_cpus(), std::vector<int>{cpu});
  }
}

TEST_F(ProcessCpus, AreTheSameInEveryThread) {
  bind_to(one_);
  started_with(all_);
  std::vector<int> seen;
  std::thread([&] { seen = process_cpus(); }).join();
  EXPECT_EQ(seen, all_);
}

TEST_F(ProcessCpus, AreAllForThreadsStartedMeanwhile) {
  bind_to(one_);
  started_with(all_);
  std::vector<int> inside, outside;
  {
    const OnAllCpus anywhere;
    std::thread([&] { inside = own_cpus(); }).join();
  }
  std::thread([&] { outside = own_cpus(); }).join();
  for (int time = 0; time < 50; ++time) {  // whatever the memory held before
    for (void* block : {std::malloc(24), std::malloc(24), std::malloc(24)})
      std::free(block);
    { const OnAllCpus anywhere; }
    ASSERT_EQ(own_cpus(), one_);
  }
  EXPECT_EQ(inside, all_);
  EXPECT_EQ(outside, one_);
  EXPECT_EQ(own_cpus(), one_);
}

}  // namespace
}  // namespace trainmark
