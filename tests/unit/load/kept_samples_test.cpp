// Samples that stay in memory: within the bytes that were given, those that came first, never to be told from samples
// that are read anew, and none of them read twice.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "trainmark/load.hpp"
#include "unit/load/counting_new.hpp"

namespace trainmark {
namespace {

constexpr std::int64_t count = 24;
const DataSchema schema{{{"x", Shape{3}, DType::i64}, {"y", Shape{1}, DType::f32}}};
constexpr std::int64_t a_sample = 28, a_place = 4;  // bytes

/// A sample is its own number. Epochs differ in nothing.
class Numbers final : public SampleSource {
 public:
  [[nodiscard]] std::int64_t size() const override { return count; }
  ReadFrom read(const Visit& visit, const SampleView& to) override {
    ++reads;
    if (visit.sample == bad) throw Error(ExitCode::data, "sample is broken");
    const std::int64_t x[3] = {visit.sample, -visit.sample, 7};
    const auto y = static_cast<float>(visit.sample);
    std::memcpy(to[0].data(), x, sizeof x);
    std::memcpy(to[1].data(), &y, sizeof y);
    return ReadFrom::files;
  }
  [[nodiscard]] PlaceStats places() const override { return {.at_target = reads, .sample_bytes = a_sample}; }
  std::atomic<std::int64_t> reads{0}, bad{-1};
};

struct Kept {
  explicit Kept(std::int64_t bytes) {
    auto source = std::make_unique<Numbers>();
    numbers = source.get();
    samples = keep_samples(std::move(source), schema, bytes);
  }
  /// Where it came from; it must be what the source has.
  ReadFrom read(std::int64_t sample) const {
    std::int64_t x[3] = {};
    float y = -1;
    const ReadFrom from = samples->read(
        {.sample = sample}, {std::as_writable_bytes(std::span(x)), std::as_writable_bytes(std::span(&y, 1))});
    EXPECT_EQ(x[0], sample);
    EXPECT_EQ(x[1], -sample);
    EXPECT_EQ(x[2], 7);
    EXPECT_EQ(y, static_cast<float>(sample));
    return from;
  }
  Numbers* numbers;
  std::unique_ptr<SampleSource> samples;
};

TEST(KeptSamples, AreReadOnceWhereAllHaveRoom) {
  const Kept kept(kept_bytes_of(schema, count, count));
  for (std::int64_t sample = 0; sample < count; ++sample)
    EXPECT_EQ(kept.read(sample), ReadFrom::files);
  for (int epoch = 1; epoch < 4; ++epoch)
    for (std::int64_t sample = count; sample-- > 0;)
      EXPECT_EQ(kept.read(sample), ReadFrom::memory);
  EXPECT_EQ(kept.numbers->reads, count);
  EXPECT_EQ(kept.samples->places().at_target, count) << "what was kept was not read there";
  EXPECT_EQ(kept.samples->kept().samples, count);
  EXPECT_EQ(kept.samples->kept().bytes, kept_bytes_of(schema, count, count)) << "as much as was said that it takes";
  EXPECT_EQ(kept.samples->size(), count);
}

TEST(KeptSamples, AreThoseThatCameFirstAndStay) {
  const Kept kept(count * a_place + 5 * a_sample + a_sample - 1);  // a byte less than a sixth one takes
  for (std::int64_t visit = 0; visit < 3 * count; ++visit) {
    const std::int64_t sample = (7 * visit + 3) % count;  // 3, 10, 17, 0, 7 come first
    const bool first = visit % count < 5;
    EXPECT_EQ(kept.read(sample), visit >= count && first ? ReadFrom::memory : ReadFrom::files) << visit;
  }
  EXPECT_EQ(kept.samples->kept().samples, 5);
  EXPECT_EQ(kept.samples->kept().bytes, count * a_place + 5 * a_sample);
  EXPECT_EQ(kept.numbers->reads, 3 * count - 2 * 5);
}

TEST(KeptSamples, AreNoneWhereNothingFits) {
  for (const std::int64_t bytes : {std::int64_t{0}, std::int64_t{1}, count * a_place + a_sample - 1}) {
    const Kept kept(bytes);
    EXPECT_EQ(kept.read(2), ReadFrom::files);
    EXPECT_EQ(kept.read(2), ReadFrom::files);
    EXPECT_EQ(kept.samples->kept().samples, 0);
    EXPECT_EQ(kept.samples->kept().bytes, 0);
  }
}

TEST(KeptSamples, TakeNoMoreAddressSpaceThanTheSetHasSamples) {
  const Kept kept(std::int64_t{1} << 60);
  EXPECT_EQ(kept.read(count - 1), ReadFrom::files);
  EXPECT_EQ(kept.read(count - 1), ReadFrom::memory);
}

TEST(KeptSamples, KeepNothingOfASampleThatCouldNotBeRead) {
  const Kept kept(count * a_place + a_sample);
  kept.numbers->bad = 4;
  std::int64_t x[3] = {};
  float y = 0;
  const SampleView view = {std::as_writable_bytes(std::span(x)), std::as_writable_bytes(std::span(&y, 1))};
  EXPECT_THROW((void)kept.samples->read({.sample = 4}, view), Error);
  EXPECT_THROW((void)kept.samples->read({.sample = 4}, view), Error);
  kept.numbers->bad = -1;
  EXPECT_EQ(kept.read(4), ReadFrom::files);
  EXPECT_EQ(kept.read(4), ReadFrom::memory) << "the room was not lost";
}

TEST(KeptSamples, AreFilledByOneReaderEachAndNeverBeyondTheirRoom) {
  constexpr std::int64_t room = 10;
  const Kept kept(count * a_place + room * a_sample);
  constexpr int threads = 8, visits = 4000;
  std::atomic<std::int64_t> from_memory{0};
  std::vector<std::thread> readers;
  for (int reader = 0; reader < threads; ++reader) {
    readers.emplace_back([&, reader] {
      for (int visit = 0; visit < visits; ++visit)
        if (kept.read((reader + 5 * visit) % count) == ReadFrom::memory) ++from_memory;
    });
  }
  for (std::thread& reader : readers)
    reader.join();
  EXPECT_EQ(kept.samples->kept().samples, room);
  EXPECT_EQ(kept.numbers->reads + from_memory, threads * visits);
  std::int64_t now = 0;
  for (std::int64_t sample = 0; sample < count; ++sample)
    now += kept.read(sample) == ReadFrom::memory ? 1 : 0;
  EXPECT_EQ(now, room);
}

TEST(KeptSamples, CostALoaderNoAllocationAndChangeNothingThatItDelivers) {
  const auto epochs = [](std::int64_t bytes, std::int64_t& from_memory) {
    const Kept kept(bytes);
    Sampling sampling;
    sampling.seed = 5;
    sampling.shards = {{{0, count}}};
    sampling.global_batch = 6;
    Loader loader(*kept.samples, schema, sampling, *std::pmr::new_delete_resource(), {.threads = 1, .prefetch = 2});
    loader.start(0);
    std::vector<float> seen;
    seen.reserve(16 * count);
    for (int step = 0; step < 64; ++step) {
      if (step == 8) testing::count_allocations(true);
      const Batch& batch = loader.next();
      const auto* y = reinterpret_cast<const float*>(batch.fields[1].data());
      seen.insert(seen.end(), y, y + batch.valid);
    }
    testing::count_allocations(false);
    EXPECT_EQ(testing::allocations(), 0);
    LoaderStats stats;
    while ((stats = loader.stats()).samples < 66 * 6)  // until the ring is full: the batch in use and two ahead
      std::this_thread::yield();
    from_memory = stats.samples_from_memory;
    EXPECT_EQ(stats.bytes, stats.samples * a_sample) << "all that is delivered counts as asked for";
    EXPECT_EQ(stats.bytes_from_memory(), from_memory * a_sample);
    EXPECT_EQ(stats.samples, kept.numbers->reads + from_memory);
    EXPECT_LE(stats.seconds_from_memory, stats.read_seconds);
    return seen;
  };
  std::int64_t none = 0, some = 0, most = 0;
  const std::vector<float> expected = epochs(0, none);
  EXPECT_EQ(epochs(count * a_place + 9 * a_sample, some), expected);
  EXPECT_EQ(epochs(kept_bytes_of(schema, count, count), most), expected);
  EXPECT_EQ(none, 0);
  EXPECT_GE(some, 15 * 9) << "each of 15 later epochs, and what was read ahead";
  EXPECT_GE(most, 15 * count);
}

TEST(KeptSamples, OfARankAreThoseThatItEverComesBy) {
  Sampling sampling;
  sampling.shards = {{{0, 40}}, {{40, 70}}};
  sampling.global_batch = 8;
  sampling.ranks = 4;
  sampling.rank = 2;
  EXPECT_EQ(sampling.samples_of_rank(), 30) << "ranks 2 and 3 read the second shard";
  sampling.rank = 1;
  EXPECT_EQ(sampling.samples_of_rank(), 40);
  sampling.ranks = 1;
  sampling.rank = 0;
  EXPECT_EQ(sampling.samples_of_rank(), 70);
  sampling.shards = {{{0, 70}}};
  sampling.ranks = 4;
  sampling.shuffle = false;
  EXPECT_EQ(sampling.samples_of_rank(), 9 * 2) << "of 9 steps, 2 samples in each";
}

}  // namespace
}  // namespace trainmark
