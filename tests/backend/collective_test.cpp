// Gradients summed over ranks: any count, the same bits on every rank, within a group, beside control-plane calls, and
// from inside a recording on a lane of its own. Also what backend every rank gets for the same options.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>

#include "backend/math.hpp"
#include "support/mpi_main.hpp"
#include "trainmark/backend.hpp"

namespace trainmark {
namespace {

/// What rank `rank` holds at `index`; small whole numbers, so that sums are exact.
float value_of(int rank, std::int64_t index) { return static_cast<float>((rank + 1) * (index % 1000 + 1)); }
float sum_of(int ranks, std::int64_t index) {
  float sum = 0.0F;
  for (int rank = 0; rank < ranks; ++rank)
    sum += value_of(rank, index);
  return sum;
}
std::vector<float> values_of(int rank, std::int64_t count) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(value_of(rank, i));
  return values;
}
std::uint64_t fingerprint(const std::vector<float>& values) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const float value : values)
    hash = (hash ^ std::bit_cast<std::uint32_t>(value)) * 1099511628211ULL;
  return hash;
}

class BackendCollective : public testing::Test {
 protected:
  const Group& all = test_world().all();
  std::unique_ptr<Backend> backend = make_cpu_backend(1, all.size() > 1 && test_world().thread_multiple());
};

TEST_F(BackendCollective, SumsAnyCount) {
  const auto collective = backend->make_collective(all);
  for (const std::int64_t count : {0, 1, 2, 17, 1000, 300001}) {
    std::vector<float> values = values_of(all.rank(), count);
    values.push_back(-1.0F);  // behind the range: stays as it is
    collective->all_reduce(backend->stream(Lane::communication), values.data(), count);
    backend->stream(Lane::communication).synchronize();
    for (std::int64_t i = 0; i < count; ++i)
      ASSERT_EQ(values[static_cast<std::size_t>(i)], sum_of(all.size(), i)) << i << " of " << count;
    EXPECT_EQ(values.back(), -1.0F);
  }
}

TEST_F(BackendCollective, GivesEveryRankTheSameBits) {
  std::vector<float> values;
  Rng rng(5, Purpose::test, static_cast<std::uint64_t>(all.rank()));
  for (int i = 0; i < 10007; ++i)
    values.push_back(static_cast<float>(rng.normal()));
  backend->make_collective(all)->all_reduce(backend->stream(Lane::communication), values.data(), 10007);
  backend->stream(Lane::communication).synchronize();
  for (const std::uint64_t other : all.all_gather(fingerprint(values)))
    EXPECT_EQ(other, fingerprint(values));
}

TEST_F(BackendCollective, StaysWithinItsGroup) {
  const Group half = all.split(all.rank() % 2);
  const auto collective = backend->make_collective(half);
  std::vector<float> ones(33, 1.0F);
  collective->all_reduce(backend->stream(Lane::communication), ones.data(), 33);
  backend->stream(Lane::communication).synchronize();
  EXPECT_EQ(ones, std::vector<float>(33, static_cast<float>(half.size())));
}

TEST_F(BackendCollective, APlanSumsAsManyElementsAsItsRangeHas) {
  const auto collective = backend->make_collective(all);
  for (const Range range : {Range{0, 0}, Range{5, 6}, Range{100, 177}}) {
    const Planned planned = backend->plan(AllReduce{range}, {.inputs = {}, .outputs = {}, .collectives = *collective});
    std::vector<float> values = values_of(all.rank(), 100);
    const std::array<void*, 2> args = {values.data(), nullptr};
    planned.plan->execute(backend->stream(Lane::communication), args);
    backend->stream(Lane::communication).synchronize();
    for (std::int64_t i = 0; i < 100; ++i) {
      const bool summed = i < range.size();
      ASSERT_EQ(values[static_cast<std::size_t>(i)], summed ? sum_of(all.size(), i) : value_of(all.rank(), i)) << i;
    }
  }
}

/// Sums of all ranks' values as they travel, in the order of the ranks: a rank alone sends nothing.
float sum_on_the_wire(int ranks, DType wire, const std::function<float(int rank)>& value) {
  if (ranks == 1) return value(0);
  const auto rounded = [&](float x) { return wire == DType::bf16 ? from_bf16(to_bf16(x)) : from_f16(to_f16(x)); };
  float sum = rounded(value(0));
  for (int rank = 1; rank < ranks; ++rank)
    sum += rounded(value(rank));
  return rounded(sum);
}

TEST_F(BackendCollective, OnTheWireRoundsEachRanksValuesAndTheirSumAlikeOnAllRanks) {
  const auto collective = backend->make_collective(all);
  for (const DType wire : {DType::bf16, DType::f16}) {
    for (const std::int64_t count : {0, 1, 2, 3, 17, 1000, 30001}) {
      const auto value = [&](int rank, std::int64_t index) {
        Rng rng(9, Purpose::test, static_cast<std::uint64_t>(rank), static_cast<std::uint32_t>(index));
        return static_cast<float>(rng.normal()) * std::ldexp(1.0F, static_cast<int>(index % 40) - 30);
      };
      std::vector<float> values;
      for (std::int64_t i = 0; i < count; ++i)
        values.push_back(value(all.rank(), i));
      values.push_back(-1.1F);  // behind the range: stays as it is
      const Planned plan =
          backend->plan(AllReduce{{7, 7 + count}, wire}, {.inputs = {}, .outputs = {}, .collectives = *collective});
      EXPECT_EQ(plan.scratch_bytes > 0, all.size() > 1 && count > 0);
      std::vector<std::byte> scratch(plan.scratch_bytes);
      const std::array<void*, 2> args = {values.data(), scratch.data()};
      plan.plan->execute(backend->stream(Lane::communication), args);
      backend->stream(Lane::communication).synchronize();
      for (std::int64_t i = 0; i < count; ++i) {
        const float expected = sum_on_the_wire(all.size(), wire, [&](int rank) { return value(rank, i); });
        ASSERT_EQ(values[static_cast<std::size_t>(i)], expected) << i << " of " << count;
      }
      EXPECT_EQ(values.back(), -1.1F);
      for (const std::uint64_t other : all.all_gather(fingerprint({values.begin(), values.begin() + count})))
        EXPECT_EQ(other, fingerprint({values.begin(), values.begin() + count}));
    }
  }
}

TEST_F(BackendCollective, OnTheWireWhatLeavesTheRangeOrIsNoNumberStaysToBeSeen) {
  if (all.size() == 1) GTEST_SKIP() << "a rank alone sends nothing";
  const auto collective = backend->make_collective(all);
  // Each rank's fits into fp16, but not their sum; one rank's does not; opposite infinities; a NaN.
  const float last = all.rank() == all.size() - 1 ? 1.0F : 0.0F;
  std::vector<float> values = {60000.0F, last * 1e6F, last > 0.0F ? -1e6F : 1e6F, last * NAN, 1e-9F};
  std::vector<std::byte> scratch(collective->wire_scratch_bytes(5, DType::f16));
  collective->all_reduce(backend->stream(Lane::communication), values.data(), 5, DType::f16, scratch.data());
  backend->stream(Lane::communication).synchronize();
  EXPECT_EQ(values[0], INFINITY);
  EXPECT_EQ(values[1], INFINITY);
  EXPECT_FALSE(is_finite(values[2]));
  EXPECT_FALSE(is_finite(values[3]));
  EXPECT_EQ(values[4], 0.0F) << "below its range: what a loss scale is for";
}

class FillPlan final : public Plan {
 public:
  FillPlan(int rank, const Group* group) : rank_(rank), group_(group) {}
  void execute(Stream&, std::span<void* const> args) override {
    for (std::int64_t i = 0; i < elements; ++i)
      static_cast<float*>(args[0])[i] = value_of(rank_, i);
    if (group_ != nullptr) group_->barrier();  // the control plane speaks while the other lane sums
  }
  static constexpr std::int64_t elements = 4097;

 private:
  int rank_;
  const Group* group_;
};

TEST_F(BackendCollective, RecordedSumsRunBesideControlPlaneCallsAndGiveTheSameEachTime) {
  const auto collective = backend->make_collective(all);
  FillPlan fill(all.rank(), backend->overlaps() ? &all : nullptr);
  const Planned reduce =
      backend->plan(AllReduce{{0, FillPlan::elements}}, {.inputs = {}, .outputs = {}, .collectives = *collective});
  std::vector<std::vector<float>> buckets(4, std::vector<float>(FillPlan::elements));
  std::vector<Launch> launches;
  for (auto& bucket : buckets) {
    const auto filled = static_cast<int>(launches.size());
    launches.push_back({&fill, {bucket.data()}, Lane::compute, {}, "fill"});
    launches.push_back({reduce.plan.get(), {bucket.data()}, Lane::communication, {filled}, "reduce"});
  }
  const auto replay = backend->record(launches);
  for (int repeat = 0; repeat < 20; ++repeat) {
    for (auto& bucket : buckets)
      bucket.assign(bucket.size(), -7.0F);
    replay->launch();
    for (const auto& bucket : buckets)
      for (std::int64_t i = 0; i < FillPlan::elements; ++i)
        ASSERT_EQ(bucket[static_cast<std::size_t>(i)], sum_of(all.size(), i)) << i;
  }
}

TEST_F(BackendCollective, AnEmulatedDeviceSumsForReal) {
  if (all.size() > 1 && !test_world().thread_multiple()) GTEST_SKIP() << "this MPI gives no MPI_THREAD_MULTIPLE";
  for (const Overlap overlap : {Overlap::automatic, Overlap::off}) {
    const auto device = make_backend(
        {.device = DeviceChoice::emulated, .overlap = overlap, .emulated = {.train_ms = 1.0, .eval_ms = 1.0}},
        test_world());
    EXPECT_EQ(device->overlaps(), all.size() > 1 && overlap != Overlap::off);
    const auto collective = device->make_collective(all);
    const Planned reduce =
        device->plan(AllReduce{{0, 1000}}, {.inputs = {}, .outputs = {}, .collectives = *collective});
    const Planned update = device->plan(Update{.rule = {}, .segments = {{.range = {0, 1000}}}}, {});
    std::vector<float> values = values_of(all.rank(), 1000);
    const auto replay = device->record({{update.plan.get(), {}, Lane::compute, {}, "layer"},
                                        {reduce.plan.get(), {values.data()}, Lane::communication, {0}, "reduce"},
                                        {update.plan.get(), {}, Lane::compute, {1}, "update"}});
    replay->launch();
    device->stream(Lane::compute).synchronize();
    for (std::int64_t i = 0; i < 1000; ++i)
      ASSERT_EQ(values[static_cast<std::size_t>(i)], sum_of(all.size(), i)) << i;
  }
}

TEST_F(BackendCollective, AllRanksGetTheSameLanesForTheSameOptions) {
  for (const Overlap overlap : {Overlap::automatic, Overlap::on, Overlap::off}) {
    const auto chosen = make_backend({.device = DeviceChoice::cpu, .threads = 1, .overlap = overlap}, test_world());
    EXPECT_EQ(chosen->name(), "cpu");
    EXPECT_EQ(chosen->threads(), 1);
    for (const std::uint64_t other : all.all_gather(static_cast<std::uint64_t>(chosen->overlaps())))
      EXPECT_EQ(other, static_cast<std::uint64_t>(chosen->overlaps())) << word(overlap);
    const bool possible = all.size() > 1 && test_world().thread_multiple();
    if (!possible || overlap != Overlap::automatic) {
      EXPECT_EQ(chosen->overlaps(), possible && overlap == Overlap::on) << word(overlap);
    }
  }
}

}  // namespace
}  // namespace trainmark
