// Properties of the sample order, for many sizes of run on one core.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "trainmark/load.hpp"

namespace trainmark {
namespace {

/// `shards` shards of equal size over samples 0..n-1, dealt in files of `file` samples.
Sampling sampling_of(std::int64_t samples, int shards, std::int64_t batch, std::uint64_t seed, std::int64_t file = 3) {
  Sampling sampling;
  sampling.seed = seed;
  sampling.global_batch = batch;
  sampling.shards.resize(static_cast<std::size_t>(shards));
  const std::int64_t each = samples / shards;
  for (int shard = 0; shard < shards; ++shard) {
    for (std::int64_t begin = 0; begin < each; begin += file)
      sampling.shards[static_cast<std::size_t>(shard)].push_back(
          {shard * each + begin, shard * each + std::min(begin + file, each)});
  }
  return sampling;
}

/// All ranks' parts of a global batch, in rank order.
std::vector<std::int64_t> global_batch(Sampling sampling, int ranks, std::int64_t epoch, std::int64_t step) {
  std::vector<std::int64_t> ids;
  sampling.ranks = ranks;
  for (sampling.rank = 0; sampling.rank < ranks; ++sampling.rank) {
    const std::vector<std::int64_t> mine = Sampler(sampling).batch(epoch, step);
    EXPECT_LE(std::ssize(mine), sampling.local_batch());
    ids.insert(ids.end(), mine.begin(), mine.end());
  }
  return ids;
}

struct Case {
  std::int64_t samples;
  int shards;
  std::int64_t batch;
};
const std::vector<Case> cases = {{64, 1, 8},  {61, 1, 8}, {5, 1, 8}, {64, 4, 16},
                                 {68, 4, 16}, {36, 2, 8}, {1, 1, 4}, {100, 2, 24}};

TEST(Sampler, VisitsEverySampleExactlyOnceAnEpoch) {
  for (const Case& item : cases) {
    for (const std::uint64_t seed : {0U, 1U, 77U}) {
      for (const int ranks : {1, 2, 4}) {
        const Sampling sampling = sampling_of(item.samples, item.shards, item.batch, seed);
        std::vector<std::int64_t> seen;
        for (std::int64_t step = 0; step < sampling.steps_per_epoch(); ++step) {
          const auto ids = global_batch(sampling, ranks, 3, step);
          const std::int64_t left = item.samples - step * item.batch;
          EXPECT_EQ(std::ssize(ids), std::min(item.batch, left));
          seen.insert(seen.end(), ids.begin(), ids.end());
        }
        std::sort(seen.begin(), seen.end());
        ASSERT_EQ(std::ssize(seen), item.samples);
        for (std::int64_t id = 0; id < item.samples; ++id)
          ASSERT_EQ(seen[static_cast<std::size_t>(id)], id);
      }
    }
  }
}

TEST(Sampler, VisitsEverySampleOfUnequalShardsExactlyOnceInAnEvaluation) {
  for (const std::vector<std::int64_t>& sizes :
       {std::vector<std::int64_t>{5, 3}, {8, 1}, {1, 8}, {7, 7}, {13, 2, 6, 6}, {9, 9, 9, 1}}) {
    const auto shards = static_cast<int>(sizes.size());
    Sampling sampling;
    sampling.shuffle = false;
    sampling.global_batch = 4 * shards;
    std::int64_t next = 0;
    for (const std::int64_t size : sizes) {
      sampling.shards.push_back({{next, next + size}});
      next += size;
    }
    EXPECT_EQ(sampling.steps_per_epoch(), (*std::ranges::max_element(sizes) + 3) / 4) << "those of the longest";
    for (const int ranks : {shards, 2 * shards}) {
      std::vector<std::int64_t> seen;
      for (std::int64_t step = 0; step < sampling.steps_per_epoch(); ++step) {
        const auto ids = global_batch(sampling, ranks, 0, step);
        seen.insert(seen.end(), ids.begin(), ids.end());
      }
      std::ranges::sort(seen);
      ASSERT_EQ(std::ssize(seen), next);
      for (std::int64_t id = 0; id < next; ++id)
        ASSERT_EQ(seen[static_cast<std::size_t>(id)], id);
    }
  }
}

TEST(Sampler, GivesTheSameGlobalBatchesToEveryNumberOfRanks) {
  for (const Case& item : cases) {
    const Sampling sampling = sampling_of(item.samples, item.shards, item.batch, 5);
    for (std::int64_t step = 0; step < sampling.steps_per_epoch(); ++step) {
      const auto alone = global_batch(sampling, 1, 2, step);
      for (const int ranks : {2, 4})
        EXPECT_EQ(global_batch(sampling, ranks, 2, step), alone) << item.samples << " " << ranks << " step " << step;
    }
  }
}

TEST(Sampler, TakesAnEqualPartOfEachBatchFromEachShard) {
  const Sampling sampling = sampling_of(68, 4, 16, 1);
  for (std::int64_t step = 0; step < sampling.steps_per_epoch(); ++step) {
    const auto ids = global_batch(sampling, 1, 0, step);
    std::vector<std::int64_t> counts(4);
    for (const std::int64_t id : ids)
      ++counts[static_cast<std::size_t>(id / 17)];
    for (const std::int64_t count : counts)
      EXPECT_EQ(count, std::ssize(ids) / 4);
  }
}

TEST(Sampler, KeepsRanksWithinTheirNodesShard) {
  // 4 nodes of 2 ranks, short last batch included: a rank never needs a file of another node.
  Sampling sampling = sampling_of(68, 4, 16, 9);
  sampling.ranks = 8;
  for (sampling.rank = 0; sampling.rank < 8; ++sampling.rank) {
    Sampler sampler(sampling);
    for (std::int64_t step = 0; step < sampling.steps_per_epoch(); ++step) {
      for (const std::int64_t id : sampler.batch(0, step))
        EXPECT_EQ(id / 17, sampling.rank / 2);
    }
  }
}

TEST(Sampler, ShufflesByEpochSeedAndShardOnly) {
  const auto first = global_batch(sampling_of(64, 1, 64, 1), 1, 0, 0);
  EXPECT_EQ(global_batch(sampling_of(64, 1, 64, 1), 1, 0, 0), first);
  EXPECT_NE(global_batch(sampling_of(64, 1, 64, 1), 1, 1, 0), first);
  EXPECT_NE(global_batch(sampling_of(64, 1, 64, 2), 1, 0, 0), first);
  EXPECT_FALSE(std::is_sorted(first.begin(), first.end()));
  // Two shards of the same sizes are not permuted alike.
  const auto both = global_batch(sampling_of(64, 2, 64, 1), 1, 0, 0);
  std::vector<std::int64_t> second_shard;
  for (std::size_t i = 32; i < 64; ++i)
    second_shard.push_back(both[i] - 32);
  EXPECT_NE(second_shard, std::vector<std::int64_t>(both.begin(), both.begin() + 32));
}

TEST(Sampler, PermutesWithoutBias) {
  // Where sample 0 of 8 lands over 4,000 epochs: expected 500 each, standard deviation 21.
  std::vector<int> landed(8);
  Sampler sampler(sampling_of(8, 1, 8, 3));
  for (std::int64_t epoch = 0; epoch < 4000; ++epoch) {
    const auto ids = sampler.batch(epoch, 0);
    ++landed[static_cast<std::size_t>(std::find(ids.begin(), ids.end(), 0) - ids.begin())];
  }
  for (const int count : landed)
    EXPECT_NEAR(count, 500, 105);
}

TEST(Sampler, GoesInFileOrderWhenNotShuffled) {
  Sampling sampling = sampling_of(10, 1, 4, 3);
  sampling.shuffle = false;
  Sampler sampler(sampling);
  EXPECT_EQ(sampler.batch(0, 0), (std::vector<std::int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(sampler.batch(5, 2), (std::vector<std::int64_t>{8, 9}));
}

TEST(Sampler, SharesAShortLastBatchEvenly) {
  Sampling sampling = sampling_of(14, 1, 8, 3);
  sampling.ranks = 4;
  std::vector<std::int64_t> counts;
  for (sampling.rank = 0; sampling.rank < 4; ++sampling.rank)
    counts.push_back(std::ssize(Sampler(sampling).batch(0, 1)));
  EXPECT_EQ(counts, (std::vector<std::int64_t>{2, 2, 1, 1}));
}

TEST(Sampler, WorksForFourThousandRanks) {
  Sampling sampling = sampling_of(65536, 1024, 8192, 11, 16);
  sampling.ranks = 4096;
  std::set<std::int64_t> seen;
  for (sampling.rank = 0; sampling.rank < 4096; ++sampling.rank) {
    Sampler sampler(sampling);
    for (const std::int64_t id : sampler.batch(0, 7)) {
      EXPECT_EQ(id / 64, sampling.rank / 4);
      seen.insert(id);
    }
  }
  EXPECT_EQ(seen.size(), 8192U);
}

TEST(Sampler, RefusesABatchThatRanksOrShardsDoNotDivide) {
  Sampling sampling = sampling_of(64, 2, 9, 0);
  EXPECT_THROW(Sampler{sampling}, std::logic_error);
  sampling = sampling_of(64, 1, 9, 0);
  sampling.ranks = 2;
  EXPECT_THROW(Sampler{sampling}, std::logic_error);
  sampling = sampling_of(64, 2, 8, 0);
  sampling.shards[1].pop_back();
  sampling.tail = Tail::exact;
  EXPECT_THROW(Sampler{sampling}, std::logic_error) << "no shard could give what another one has more";
  sampling = sampling_of(62, 1, 8, 0);
  sampling.tail = Tail::exact;
  EXPECT_THROW(Sampler{sampling}, std::logic_error) << "what fills no batch would be lost";
}

TEST(Sampler, FillsAWholeStepUpWhereAStepHasSeveralBatches) {
  Sampling sampling = sampling_of(44, 1, 8, 5);
  sampling.tail = Tail::wrap;
  sampling.batches_together = 4;
  EXPECT_EQ(sampling.steps_per_epoch(), 8) << "six batches hold all, the second step needs eight";
  const auto last = global_batch(sampling, 1, 0, 7), second = global_batch(sampling, 1, 0, 1);
  EXPECT_EQ(std::vector(last.begin(), last.begin() + 4), std::vector(second.begin() + 4, second.end()))
      << "sample 56 of the epoch is its sample 12";
}

TEST(Sampler, OfTrainingGivesFullBatchesWhateverTheTail) {
  for (const Tail tail : {Tail::drop, Tail::wrap}) {
    for (const int ranks : {1, 2, 4}) {
      Sampling sampling = sampling_of(44, 2, 8, 5);
      sampling.tail = tail;
      EXPECT_EQ(sampling.steps_per_epoch(), tail == Tail::drop ? 5 : 6);
      std::vector<std::int64_t> seen;
      for (std::int64_t step = 0; step < sampling.steps_per_epoch(); ++step) {
        const auto ids = global_batch(sampling, ranks, 1, step);
        ASSERT_EQ(std::ssize(ids), 8) << "batch norm must not see padding";
        seen.insert(seen.end(), ids.begin(), ids.end());
      }
      const std::set<std::int64_t> once(seen.begin(), seen.end());
      EXPECT_EQ(std::ssize(once), tail == Tail::drop ? 40 : 44);
      if (tail == Tail::drop) continue;
      const auto first = global_batch(sampling, ranks, 1, 0), last = global_batch(sampling, ranks, 1, 5);
      for (const std::size_t shard : {0U, 1U})
        EXPECT_TRUE(std::equal(first.begin() + 4 * shard, first.begin() + 4 * shard + 2, last.begin() + 4 * shard + 2))
            << "a shard's last part is filled up from its own beginning";
    }
  }
}

TEST(Sampler, LeavesOutOthersInEachEpochWhereItDropsATail) {
  Sampling sampling = sampling_of(44, 1, 8, 5);
  sampling.tail = Tail::drop;
  const auto left_out = [&](std::int64_t epoch) {
    std::set<std::int64_t> left;
    for (std::int64_t id = 0; id < 44; ++id)
      left.insert(id);
    for (std::int64_t step = 0; step < 5; ++step)
      for (const std::int64_t id : global_batch(sampling, 1, epoch, step))
        left.erase(id);
    return left;
  };
  EXPECT_EQ(left_out(0).size(), 4U);
  EXPECT_NE(left_out(0), left_out(1));
}

TEST(Sampler, TakesAsMuchFromEachUnequalShardAsTheSmallestHasAndOthersInEachEpoch) {
  for (const int ranks : {1, 2, 4}) {
    Sampling sampling = sampling_of(40, 2, 8, 5);  // of 20 samples each
    sampling.shards[1].push_back({40, 47});
    sampling.tail = Tail::drop;
    ASSERT_EQ(sampling.steps_per_epoch(), 5);
    std::set<std::int64_t> ever;
    for (std::int64_t epoch = 0; epoch < 12; ++epoch) {
      std::set<std::int64_t> once;
      for (std::int64_t step = 0; step < 5; ++step) {
        const auto ids = global_batch(sampling, ranks, epoch, step);
        ASSERT_EQ(std::ssize(ids), 8);
        once.insert(ids.begin(), ids.end());
      }
      EXPECT_EQ(once.size(), 40U) << "none twice";
      ever.insert(once.begin(), once.end());
    }
    EXPECT_EQ(ever.size(), 47U) << "what one epoch leaves out comes in others";
  }
}

TEST(Sampler, FillsTheSmallerShardUpUntilTheLargestHasGivenAll) {
  Sampling sampling = sampling_of(40, 2, 8, 5);
  sampling.shards[1].push_back({40, 47});
  sampling.tail = Tail::wrap;
  ASSERT_EQ(sampling.steps_per_epoch(), 7) << "27 samples in parts of four";
  std::map<std::int64_t, int> times;
  for (std::int64_t step = 0; step < 7; ++step)
    for (const std::int64_t id : global_batch(sampling, 2, 3, step))
      ++times[id];
  EXPECT_EQ(times.size(), 47U) << "all samples come";
  int twice = 0;
  for (const auto& [id, count] : times) {
    EXPECT_LE(count, 2);
    twice += count - 1;
  }
  EXPECT_EQ(twice, 7 * 8 - 47);
}

TEST(Sampler, OfAnEvaluationTakesShardsOfAnyLength) {
  for (const int ranks : {1, 2, 4, 8}) {
    Sampling sampling = sampling_of(20, 2, 8, 0);
    sampling.shuffle = false;
    sampling.shards[1].push_back({20, 29});  // 10 and 19 samples
    EXPECT_EQ(sampling.steps_per_epoch(), 5) << "as the longest shard needs";
    std::vector<std::int64_t> seen;
    for (std::int64_t step = 0; step < 5; ++step) {
      const auto ids = global_batch(sampling, ranks, 0, step);
      EXPECT_EQ(std::ssize(ids), step < 2 ? 8 : step == 2 ? 6 : step == 3 ? 4 : 3) << step;
      seen.insert(seen.end(), ids.begin(), ids.end());
    }
    std::sort(seen.begin(), seen.end());
    ASSERT_EQ(std::ssize(seen), 29);
    for (std::int64_t id = 0; id < 29; ++id)
      EXPECT_EQ(seen[static_cast<std::size_t>(id)], id) << "each exactly once";
  }
}

TEST(Sampler, DropsWhatFillsNoWholeStepOfSeveralBatches) {
  Sampling sampling{.shards = {{{0, 43}}}, .tail = Tail::drop, .global_batch = 4};
  EXPECT_EQ(sampling.steps_per_epoch(), 10);
  sampling.batches_together = 4;
  EXPECT_EQ(sampling.steps_per_epoch(), 8) << "two steps of four batches: no batch waits for the next epoch";
}

}  // namespace
}  // namespace trainmark
