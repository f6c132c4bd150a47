// The order of an epoch. Every shard has a permutation of its own, keyed by (seed, epoch, shard); a global batch is the
// shards' next parts one after the other, and a rank's part is a slice of that. So the ranks of a node that holds a
// shard read their own files only, and rank counts that fit the same shards visit the same samples in the same batches.
#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "trainmark/load.hpp"

namespace trainmark {
namespace {

std::int64_t count_of(const std::vector<Range>& ranges) {
  std::int64_t total = 0;
  for (const Range& range : ranges)
    total += range.size();
  return total;
}

void list_ids(const std::vector<Range>& ranges, std::vector<std::int64_t>& ids) {
  ids.clear();
  ids.reserve(static_cast<std::size_t>(count_of(ranges)));
  for (const Range& range : ranges) {
    for (std::int64_t id = range.begin; id < range.end; ++id)
      ids.push_back(id);
  }
}

}  // namespace

std::int64_t Sampling::samples() const noexcept {
  std::int64_t total = 0;
  for (const auto& shard : shards)
    total += count_of(shard);
  return total;
}

std::int64_t Sampling::samples_of_rank() const noexcept {
  if (!shuffle) return std::min(samples(), steps_per_epoch() * local_batch());
  const auto parts = static_cast<std::int64_t>(shards.size());
  if (ranks % parts != 0) return samples();  // it reads several shards
  return count_of(shards[static_cast<std::size_t>(rank / (ranks / parts))]);
}

std::int64_t Sampling::steps_per_epoch() const noexcept {
  std::int64_t longest = 0, shortest = std::numeric_limits<std::int64_t>::max();
  for (const auto& shard : shards) {
    longest = std::max(longest, count_of(shard));
    shortest = std::min(shortest, count_of(shard));
  }
  const std::int64_t part = std::max<std::int64_t>(1, global_batch / std::ssize(shards));
  if (tail == Tail::drop) return shortest / (part * batches_together) * batches_together;
  const std::int64_t steps = (longest + part - 1) / part;
  if (tail != Tail::wrap) return steps;
  return (steps + batches_together - 1) / batches_together * batches_together;
}

std::int64_t Sampling::local_batch() const noexcept { return global_batch / ranks; }

Sampler::Sampler(Sampling sampling) : sampling_(std::move(sampling)), order_(sampling_.shards.size()) {
  const auto shards = static_cast<std::int64_t>(sampling_.shards.size());
  TRAINMARK_CHECK(shards > 0 && sampling_.ranks > 0, "there are shards and ranks");
  TRAINMARK_CHECK(sampling_.rank >= 0 && sampling_.rank < sampling_.ranks, fmt::format("rank {}", sampling_.rank));
  TRAINMARK_CHECK(sampling_.global_batch > 0 && sampling_.global_batch % sampling_.ranks == 0,
                  fmt::format("{} ranks divide the global batch {}", sampling_.ranks, sampling_.global_batch));
  TRAINMARK_CHECK(sampling_.global_batch % shards == 0,
                  fmt::format("{} shards divide the global batch {}", shards, sampling_.global_batch));
  for (const auto& shard : sampling_.shards) {
    counts_.push_back(count_of(shard));
    TRAINMARK_CHECK(sampling_.tail != Tail::exact || counts_.back() == counts_.front(),
                    "shards have equal sample counts");
    TRAINMARK_CHECK(sampling_.tail != Tail::wrap || counts_.back() > 0, "there is something to fill a batch with");
  }
  TRAINMARK_CHECK(sampling_.tail != Tail::exact || sampling_.samples() % sampling_.global_batch == 0,
                  fmt::format("{} samples fill batches of {}", sampling_.samples(), sampling_.global_batch));
}

std::vector<std::int64_t> Sampler::batch(std::int64_t epoch, std::int64_t step) {
  std::vector<std::int64_t> ids;
  batch(epoch, step, ids);
  return ids;
}

void Sampler::batch(std::int64_t epoch, std::int64_t step, std::vector<std::int64_t>& ids) {
  TRAINMARK_CHECK(epoch >= 0 && step >= 0 && step < sampling_.steps_per_epoch(), fmt::format("step {}", step));
  if (epoch != epoch_) {
    for (auto& order : order_)
      order.clear();
    epoch_ = epoch;
  }
  const auto shards = static_cast<std::int64_t>(sampling_.shards.size());
  const std::int64_t part = sampling_.global_batch / shards;
  const std::int64_t begin = step * part;
  const auto valid_of = [&](std::int64_t shard) {  // in this global batch
    if (sampling_.tail != Tail::short_batch) return part;
    return std::clamp<std::int64_t>(counts_[static_cast<std::size_t>(shard)] - begin, 0, part);
  };
  ids.clear();
  const auto take = [&](std::int64_t shard, Range range) {
    const std::vector<std::int64_t>& order = order_of(epoch, static_cast<std::size_t>(shard));
    for (std::int64_t at = begin + range.begin; at < begin + range.end; ++at)
      ids.push_back(order[static_cast<std::size_t>(at % std::ssize(order))]);
  };

  // The whole batch in sequence: shard 0's part, shard 1's part, ... A short one is shared out evenly, within a shard
  // wherever whole ranks belong to it.
  if (sampling_.ranks % shards == 0) {
    const std::int64_t group = sampling_.ranks / shards;
    const std::int64_t shard = sampling_.rank / group;
    take(shard, slice_of(valid_of(shard), group, sampling_.rank % group));
    return;
  }
  std::int64_t valid = 0;
  for (std::int64_t shard = 0; shard < shards; ++shard)
    valid += valid_of(shard);
  const Range mine = slice_of(valid, sampling_.ranks, sampling_.rank);
  std::int64_t first = 0;  // of a shard's part in the sequence
  for (std::int64_t shard = 0; shard < shards; ++shard) {
    const std::int64_t end = first + valid_of(shard);
    const Range here{std::max(mine.begin, first) - first, std::min(mine.end, end) - first};
    if (here.begin < here.end) take(shard, here);
    first = end;
  }
}

const std::vector<std::int64_t>& Sampler::order_of(std::int64_t epoch, std::size_t shard) {
  std::vector<std::int64_t>& order = order_[shard];
  if (!order.empty()) return order;
  list_ids(sampling_.shards[shard], order);
  if (sampling_.shuffle) {
    permute(order, Rng(sampling_.seed, Purpose::sample_order, static_cast<std::uint64_t>(epoch),
                       static_cast<std::uint32_t>(shard)));
  }
  return order;
}

}  // namespace trainmark
