// The loader's promises: order, bounds, errors, endings.
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>

#include "trainmark/load.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace {

using namespace std::chrono_literals;

const DataSchema schema{{{"x", Shape{3}, DType::i64}, {"y", Shape{1}, DType::f32}}};

/// A sample is its own index, three times over and once as a float.
class CountingSource final : public SampleSource {
 public:
  explicit CountingSource(std::int64_t samples) : samples_(samples) {}
  [[nodiscard]] std::int64_t size() const override { return samples_; }
  ReadFrom read(const Visit& visit, const SampleView& to) override {
    const std::int64_t index = visit.sample;
    {
      const std::lock_guard lock(mutex);
      epochs.insert({visit.epoch, index});
    }
    ++entered;
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    {
      const std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
      met.notify_all();
      sigset_t blocked;
      pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
      cpu_set_t cpus;
      sched_getaffinity(0, sizeof cpus, &cpus);
      least_cpus = std::min(least_cpus, CPU_COUNT(&cpus));
      signals_blocked = signals_blocked && sigismember(&blocked, SIGINT) == 1 && sigismember(&blocked, SIGTERM) == 1;
    }
    if (meeting > 0) {  // the first reads wait for each other: that all threads come does not hang on who is faster
      std::unique_lock lock(mutex);
      met.wait_for(lock, 60s, [this] { return threads.size() >= meeting; });
    }
    ++reads;
    if (index == bad) throw Error(ExitCode::data, "sample is broken");
    const std::int64_t x[3] = {index, index, index};
    const auto y = static_cast<float>(index);
    std::memcpy(to[0].data(), x, sizeof x);
    std::memcpy(to[1].data(), &y, sizeof y);
    return ReadFrom::files;
  }

  std::atomic<std::int64_t> entered{0}, reads{0};
  std::atomic<std::int64_t> bad{-1};
  std::chrono::milliseconds delay{0};
  std::mutex mutex;
  std::condition_variable met;
  std::size_t meeting = 0;
  std::set<std::thread::id> threads;
  std::set<std::pair<std::int64_t, std::int64_t>> epochs;  ///< (epoch, sample) of each read
  bool signals_blocked = true;
  int least_cpus = CPU_SETSIZE;  ///< of the threads that read

 private:
  std::int64_t samples_;
};

/// Counts what is asked of it.
class CountingMemory final : public std::pmr::memory_resource {
 public:
  std::atomic<int> allocations{0};
  std::atomic<std::int64_t> live{0};

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    ++allocations;
    live += static_cast<std::int64_t>(bytes);
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    live -= static_cast<std::int64_t>(bytes);
    std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

Sampling sampling_of(std::int64_t samples, std::int64_t batch) {
  Sampling sampling;
  sampling.seed = 4;
  sampling.shards = {{{0, samples}}};
  sampling.global_batch = batch;
  return sampling;
}

std::int64_t x_of(const Batch& batch, std::size_t at) {
  std::int64_t value = 0;
  std::memcpy(&value, batch.fields[0].data() + at * sizeof value, sizeof value);
  return value;
}

float y_of(const Batch& batch, std::size_t at) {
  float value = 0.0F;
  std::memcpy(&value, batch.fields[1].data() + at * sizeof value, sizeof value);
  return value;
}

TEST(Loader, ReadsOnAllCpusOfTheProcessWhereItsFirstThreadIsBoundToOne) {
  const std::vector<int> all = first_thread_cpus();
  if (all.size() < 2) GTEST_SKIP() << "needs two CPUs";
  const auto bind_to = [](const std::vector<int>& cpus) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int cpu : cpus)
      CPU_SET(static_cast<std::size_t>(cpu), &set);
    ASSERT_EQ(sched_setaffinity(0, sizeof set, &set), 0);
  };
  bind_to({all.back()});  // as OpenMP does
  started_with(all);
  CountingSource source(6);
  {
    Loader loader(source, schema, sampling_of(6, 2), *std::pmr::new_delete_resource(), {.threads = 2, .prefetch = 2});
    loader.start(0);
    static_cast<void>(loader.next());
  }
  bind_to(all);
  started_with({});
  EXPECT_EQ(source.least_cpus, static_cast<int>(all.size()));
}

TEST(Loader, TellsItsSourceWhichEpochASampleIsReadFor) {
  CountingSource source(6);
  Loader loader(source, schema, sampling_of(6, 4), *std::pmr::new_delete_resource(), {.threads = 2, .prefetch = 2});
  loader.start(3);
  std::set<std::pair<std::int64_t, std::int64_t>> consumed;
  for (int batches = 0; batches < 4; ++batches) {
    const Batch& batch = loader.next();
    for (const std::int64_t id : batch.ids)
      consumed.insert({batch.epoch, id});
  }
  EXPECT_EQ(consumed.size(), 12U) << "two epochs";
  EXPECT_EQ(consumed.begin()->first, 3);
  const std::lock_guard lock(source.mutex);
  for (const auto& visit : consumed)
    EXPECT_TRUE(source.epochs.contains(visit)) << "epoch " << visit.first << ", sample " << visit.second;
}

/// Waits for so many reads, however slow the machine is, and returns how many there are a while later: a loader that
/// reads more than it may has the time to show it.
std::int64_t reads_beyond(const CountingSource& source, std::int64_t expected) {
  while (source.reads < expected)
    std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(50ms);
  return source.reads;
}

TEST(Loader, DeliversEveryBatchInOrderOverEpochs) {
  for (const int threads : {1, 3}) {
    CountingSource source(10);
    CountingMemory memory;
    const Sampling sampling = sampling_of(10, 4);
    Loader loader(source, schema, sampling, memory, {threads, 2});
    loader.start(0);
    Sampler expected(sampling);
    for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
      for (std::int64_t step = 0; step < 3; ++step) {
        const Batch& batch = loader.next();
        const std::vector<std::int64_t> ids = expected.batch(epoch, step);
        EXPECT_EQ(batch.epoch, epoch);
        EXPECT_EQ(batch.step, step);
        ASSERT_EQ(batch.valid, std::ssize(ids));
        ASSERT_EQ(std::vector(batch.ids.begin(), batch.ids.end()), ids);
        for (std::size_t i = 0; i < ids.size(); ++i) {
          EXPECT_EQ(x_of(batch, 3 * i + 2), ids[i]);
          EXPECT_EQ(y_of(batch, i), static_cast<float>(ids[i]));
        }
      }
    }
  }
}

TEST(Loader, FillsAShortBatchUpWithZeros) {
  for (const std::int64_t last : {1, 2, 3}) {
    CountingSource source(4 + last);
    CountingMemory memory;
    Loader loader(source, schema, sampling_of(4 + last, 4), memory, {1, 1});
    loader.start(0);
    for (int epoch = 0; epoch < 3; ++epoch) {
      EXPECT_EQ(loader.next().valid, 4);
      const Batch& batch = loader.next();
      EXPECT_EQ(batch.valid, last);
      for (auto i = static_cast<std::size_t>(last); i < 4; ++i) {
        EXPECT_EQ(x_of(batch, 3 * i), 0);
        EXPECT_EQ(y_of(batch, i), 0.0F);
      }
    }
  }
}

TEST(Loader, ReadsAheadNoMoreThanItMay) {
  CountingSource source(1000);
  CountingMemory memory;
  Loader loader(source, schema, sampling_of(1000, 4), memory, {3, 2});
  loader.start(0);
  EXPECT_EQ(reads_beyond(source, 3 * 4), 3 * 4);  // one is the consumer's, two are ahead of it
  (void)loader.next();
  EXPECT_EQ(reads_beyond(source, 3 * 4), 3 * 4);  // it is still the consumer's
  (void)loader.next();
  EXPECT_EQ(reads_beyond(source, 4 * 4), 4 * 4);
}

TEST(Loader, KeepsABatchUnchangedUntilTheFollowingCall) {
  CountingSource source(64);
  CountingMemory memory;
  Loader loader(source, schema, sampling_of(64, 4), memory, {2, 1});
  loader.start(0);
  for (int step = 0; step < 40; ++step) {
    const Batch& batch = loader.next();
    const std::vector<std::int64_t> ids(batch.ids.begin(), batch.ids.end());
    std::this_thread::sleep_for(1ms);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      ASSERT_EQ(batch.ids[i], ids[i]);
      ASSERT_EQ(x_of(batch, 3 * i), ids[i]);
    }
  }
}

TEST(Loader, AllocatesItsBuffersOnce) {
  CountingSource source(64);
  CountingMemory memory;
  {
    Loader loader(source, schema, sampling_of(64, 4), memory, {2, 3});
    const int before = memory.allocations;
    loader.start(0);
    for (int step = 0; step < 50; ++step)
      (void)loader.next();
    EXPECT_EQ(memory.allocations, before);
  }
  EXPECT_EQ(memory.live, 0);
}

TEST(Loader, StartsAgainAnywhere) {
  CountingSource source(32);
  CountingMemory memory;
  const Sampling sampling = sampling_of(32, 4);
  Loader loader(source, schema, sampling, memory, {2, 2});
  Sampler expected(sampling);
  for (const std::int64_t epoch : {3, 0, 7, 7}) {
    loader.start(epoch, 5);
    for (std::int64_t step = 5; step < 8; ++step) {
      const Batch& batch = loader.next();
      EXPECT_EQ(batch.epoch, epoch);
      EXPECT_EQ(std::vector(batch.ids.begin(), batch.ids.end()), expected.batch(epoch, step));
    }
  }
}

TEST(Loader, StartsElsewhereWhileItsOnlyReaderIsInTheMiddleOfASample) {
  // The reader is the last one that works: start() must be woken by it, as nobody else is there.
  CountingSource source(64);
  source.delay = 20ms;
  CountingMemory memory;
  const Sampling sampling = sampling_of(64, 8);
  Loader loader(source, schema, sampling, memory, {1, 1});
  Sampler expected(sampling);
  loader.start(0, 0);
  while (source.entered == 0)
    std::this_thread::sleep_for(1ms);
  loader.start(0, 5);
  const Batch& batch = loader.next();
  EXPECT_EQ(batch.step, 5);
  EXPECT_EQ(std::vector(batch.ids.begin(), batch.ids.end()), expected.batch(0, 5));
}

TEST(Loader, KeepsWhatItReadAheadWhenStartedWhereItStands) {
  CountingSource source(8);
  CountingMemory memory;
  Loader loader(source, schema, sampling_of(8, 4), memory, {1, 2});
  loader.start(0);
  (void)loader.next();
  (void)loader.next();
  const std::int64_t before = reads_beyond(source, 4 * 4);
  loader.start(1);
  EXPECT_EQ(reads_beyond(source, before), before);
  EXPECT_EQ(loader.next().epoch, 1);
}

TEST(Loader, HandsAReadersErrorToTheConsumer) {
  CountingSource source(16);
  source.bad = 9;
  CountingMemory memory;
  Sampling sampling = sampling_of(16, 4);
  sampling.shuffle = false;
  Loader loader(source, schema, sampling, memory, {2, 2});
  loader.start(0);
  EXPECT_EQ(loader.next().step, 0);
  EXPECT_EQ(loader.next().step, 1);
  EXPECT_THROW((void)loader.next(), Error);
  EXPECT_THROW((void)loader.next(), Error);
  source.bad = -1;
  loader.start(0, 1);
  EXPECT_EQ(loader.next().step, 1);
  EXPECT_EQ(loader.next().step, 2);
}

TEST(Loader, EndsWhileItsReadersAreBusy) {
  CountingSource source(1000);
  source.delay = 5ms;
  CountingMemory memory;
  for (int i = 0; i < 3; ++i) {
    Loader idle(source, schema, sampling_of(1000, 4), memory, {3, 4});  // never started
    Loader loader(source, schema, sampling_of(1000, 4), memory, {3, 4});
    loader.start(0);
    if (i > 0) (void)loader.next();
  }
  EXPECT_EQ(memory.live, 0);
}

TEST(Loader, LetsAllThreadsWorkOnABatchWithSignalsBlocked) {
  CountingSource source(64);
  source.meeting = 4;
  CountingMemory memory;
  Loader loader(source, schema, sampling_of(64, 16), memory, {4, 1});
  loader.start(0);
  (void)loader.next();
  const std::lock_guard lock(source.mutex);
  EXPECT_EQ(source.threads.size(), 4U);
  EXPECT_TRUE(source.signals_blocked);
}

TEST(Loader, TakesMoreThreadsWhileItReads) {
  CountingSource source(64);
  CountingMemory memory;
  Loader loader(source, schema, sampling_of(64, 16), memory, {1, 1});
  loader.start(0);
  EXPECT_EQ(loader.next().valid, 16);
  EXPECT_EQ(loader.stats().threads, 1);
  {
    const std::lock_guard lock(source.mutex);
    source.threads.clear();
    source.meeting = 4;
  }
  loader.add_threads(3);
  EXPECT_EQ(loader.stats().threads, 4);
  for (int batch = 0; batch < 4; ++batch)
    EXPECT_EQ(loader.next().valid, 16);
  const std::lock_guard lock(source.mutex);
  EXPECT_EQ(source.threads.size(), 4U);
  EXPECT_TRUE(source.signals_blocked);
}

TEST(Loader, MeasuresWaitingAndReading) {
  CountingSource source(64);
  source.delay = 20ms;
  CountingMemory memory;
  Loader loader(source, schema, sampling_of(64, 2), memory, {1, 1});
  loader.start(0);
  (void)loader.next();
  // A batch takes 40 ms; where this thread comes late to one, as on a busy machine, it waits for a later one.
  for (int more = 0; more < 30 && loader.stats().wait_seconds <= 0.01; ++more)
    (void)loader.next();
  const LoaderStats stats = loader.stats();
  EXPECT_GT(stats.wait_seconds, 0.01);
  EXPECT_GE(stats.read_seconds, 0.02);
  EXPECT_LT(stats.cpu_seconds, stats.read_seconds) << "the source sleeps";
  EXPECT_GE(stats.samples, 2);
  EXPECT_EQ(stats.bytes, stats.samples * 28);
}

TEST(Loader, GivesEmptyBatchesToRanksWithoutSamples) {
  CountingSource source(5);
  CountingMemory memory;
  Sampling sampling = sampling_of(5, 4);
  sampling.ranks = 4;
  sampling.rank = 3;
  Loader loader(source, schema, sampling, memory, {1, 2});
  loader.start(0);
  for (int epoch = 0; epoch < 5; ++epoch) {
    EXPECT_EQ(loader.next().valid, 1);
    EXPECT_EQ(loader.next().valid, 0);
  }
}

}  // namespace
}  // namespace trainmark
