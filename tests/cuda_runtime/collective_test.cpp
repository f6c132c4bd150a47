// Sums over ranks through NCCL: any count, inside and outside of a captured step, in whatever order the streams may
// run; and what is said where a peer does not come or NCCL fails.
#include "backend/cuda/collective.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <thread>

#include "backend/cuda/plans.hpp"
#include "cuda_runtime/support.hpp"
#include "support/mpi_main.hpp"

namespace trainmark::cuda {
namespace {

using cuda_double::Order;

/// What rank `rank` holds at `index`; small whole numbers, so that sums are exact.
float value_of(int rank, std::int64_t index) { return static_cast<float>((rank + 1) * (index % 1000 + 1)); }
float sum_of(int ranks, std::int64_t index) {
  float sum = 0.0F;
  for (int rank = 0; rank < ranks; ++rank)
    sum += value_of(rank, index);
  return sum;
}

Planned reduce_plan(const AllReduce& reduce, Collective& collective) {
  return plan_op(reduce, {.inputs = {}, .outputs = {}, .collectives = collective});
}

class CudaCollective : public testing::Test {
 protected:
  const Group& all = test_world().all();
  const int rank = all.rank();
  const int ranks = all.size();
  std::optional<Lanes> lanes;
  DeviceMemory memory;

  void SetUp() override { start({}); }
  void TearDown() override {
    EXPECT_TRUE(nothing_found());
    lanes.reset();
    all.barrier();
  }
  void start(cuda_double::Options options) {
    lanes.reset();
    all.barrier();
    options.faults.devices = ranks;
    cuda_double::reset(options);
    static_cast<void>(choose_device(test_world()));
    lanes.emplace(make_lanes());
  }
  [[nodiscard]] Stream& stream() { return (*lanes)[1]; }
  [[nodiscard]] float* upload(const std::vector<float>& values) {
    auto* to = static_cast<float*>(memory.allocate(values.size() * sizeof(float), 256));
    check(cudaMemcpy(to, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice), "cudaMemcpy");
    return to;
  }
  [[nodiscard]] float* upload(std::int64_t count) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < count; ++i)
      values.push_back(value_of(rank, i));
    return upload(values);
  }
  [[nodiscard]] static std::vector<float> download(const float* from, std::int64_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    check(cudaMemcpy(values.data(), from, values.size() * sizeof(float), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return values;
  }
  void expect_sums(const float* from, std::int64_t count) {
    const std::vector<float> values = download(from, count);
    for (std::int64_t i = 0; i < count; ++i)
      ASSERT_EQ(values[static_cast<std::size_t>(i)], sum_of(ranks, i)) << i << " of " << count;
  }
};

TEST_F(CudaCollective, SumsAnyCountAndNothingBehindIt) {
  const auto collective = make_collective(all, stream());
  for (const std::int64_t count : {0, 1, 2, 17, 1000, 30001}) {
    float* values = upload(count + 1);
    collective->all_reduce(stream(), values, count);
    stream().synchronize();
    expect_sums(values, count);
    EXPECT_EQ(download(values, count + 1).back(), value_of(rank, count));
  }
}

TEST_F(CudaCollective, SumsWhatTravelsInSixteenBits) {
  const auto collective = make_collective(all, stream());
  for (const DType wire : {DType::bf16, DType::f16}) {
    for (const std::int64_t count : {1, 17, 3001}) {
      // Sums of small whole numbers are exact; what is added to them is rounded away before it travels.
      std::vector<float> mine;
      for (std::int64_t i = 0; i <= count; ++i)
        mine.push_back(static_cast<float>((rank + 1) * (i % 8 + 1)) * (1.0F + 0x1p-13F));
      float* values = upload(mine);
      const Planned plan = reduce_plan({{3, 3 + count}, wire}, *collective);
      EXPECT_EQ(plan.scratch_bytes, ranks > 1 ? 2 * static_cast<std::size_t>(count) : 0U);
      void* scratch = memory.allocate(std::max<std::size_t>(plan.scratch_bytes, 1), 256);
      const std::array<void*, 2> args = {values, scratch};
      plan.plan->execute(stream(), args);
      stream().synchronize();
      const std::vector<float> sums = download(values, count + 1);
      for (std::int64_t i = 0; i < count; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const auto exact = static_cast<float>(ranks * (ranks + 1) / 2 * (i % 8 + 1));
        ASSERT_EQ(sums[at], ranks == 1 ? mine[at] : exact) << i << " of " << count;
      }
      EXPECT_EQ(sums.back(), mine.back()) << "behind the range";
    }
  }
}

TEST_F(CudaCollective, LeavesWhatIsBeyondHalfPrecisionInfinite) {
  if (ranks == 1) GTEST_SKIP() << "a rank alone sends nothing";
  const auto collective = make_collective(all, stream());
  float* values = upload(std::vector<float>{60000.0F, 1e6F, 2.0F});
  void* scratch = memory.allocate(collective->wire_scratch_bytes(3, DType::f16), 256);
  collective->all_reduce(stream(), values, 3, DType::f16, scratch);
  stream().synchronize();
  EXPECT_EQ(download(values, 3), (std::vector<float>{INFINITY, INFINITY, 2.0F * static_cast<float>(ranks)}));
}

TEST_F(CudaCollective, GivesEveryRankTheSameBits) {
  std::vector<float> mine;
  Rng rng(5, Purpose::test, static_cast<std::uint64_t>(rank));
  for (int i = 0; i < 5003; ++i)
    mine.push_back(static_cast<float>(rng.normal()));
  float* values = upload(mine);
  const auto collective = make_collective(all, stream());
  collective->all_reduce(stream(), values, 5003);
  stream().synchronize();
  std::uint64_t hash = 14695981039346656037ULL;
  for (const float value : download(values, 5003))
    hash = (hash ^ std::bit_cast<std::uint32_t>(value)) * 1099511628211ULL;
  for (const std::uint64_t other : all.all_gather(hash))
    EXPECT_EQ(other, hash);
}

TEST_F(CudaCollective, StaysWithinItsGroup) {
  const Group half = all.split(rank % 2);
  const auto collective = make_collective(half, stream());
  float* ones = upload(std::vector<float>(33, 1.0F));
  collective->all_reduce(stream(), ones, 33);
  stream().synchronize();
  EXPECT_EQ(download(ones, 33), std::vector<float>(33, static_cast<float>(half.size())));
}

TEST_F(CudaCollective, AddsDoublesOfAGroupUpOnTheComputeLaneBesideTheRanksOwn) {
  const Group half = all.split(rank % 2);
  Stream& compute = (*lanes)[0];
  const auto of_all = make_collective(all, stream());
  const auto of_half = make_collective(half, compute);
  const TensorDesc desc{Shape{2, 5}, DType::f64, logical_layout};
  const Planned sum = plan_op(SumOverGroup{half.size()},
                              {.inputs = {desc}, .outputs = {desc}, .collectives = {*of_all, of_half.get()}});
  const std::size_t bytes = 10 * sizeof(double);
  const std::vector<double> own(10, 1.0 + 0x1p-40);  // more than a float holds
  auto* values = static_cast<double*>(memory.allocate(bytes, 256));
  auto* sums = static_cast<double*>(memory.allocate(bytes, 256));
  check(cudaMemcpy(values, own.data(), bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
  for (double* to : {sums, values}) {
    std::vector<double> found(10);
    sum.plan->execute(compute, std::array<void*, 2>{values, to});
    compute.synchronize();
    check(cudaMemcpy(found.data(), to, bytes, cudaMemcpyDeviceToHost), "cudaMemcpy");
    EXPECT_EQ(found, std::vector<double>(10, half.size() * own[0]));
  }
}

TEST_F(CudaCollective, NamesItsLibrary) { EXPECT_EQ(nccl_version().rfind("NCCL 2.", 0), 0U) << nccl_version(); }

/// Buckets are filled on the compute lane, summed beside it and then read: as a step does with its gradients.
class CudaBuckets : public CudaCollective {
 protected:
  static constexpr std::int64_t elements = 257;
  static constexpr int buckets = 4;

  /// The sums of `steps` steps, each bucket's after the other.
  std::vector<float> train(bool capture, int steps, bool forget_waits = false) {
    const auto collective = make_collective(all, stream());
    const Planned reduce = reduce_plan({{0, elements}}, *collective);
    std::vector<float*> grads;
    std::vector<std::unique_ptr<Plan>> plans;
    std::vector<Launch> launches;
    std::vector<int> sums;
    float* total = upload(std::vector<float>(elements, 0.0F));
    for (int bucket = 0; bucket < buckets; ++bucket) {
      float* grad = upload(std::vector<float>(elements, 0.0F));
      grads.push_back(grad);
      plans.push_back(std::make_unique<CallPlan>([this, grad, bucket, total](Stream& on) {
        const auto fill = [this, grad, bucket, total] {
          for (std::int64_t i = 0; i < elements; ++i)
            grad[i] = value_of(rank, i + bucket) + total[i] / static_cast<float>(1024 * ranks);
        };
        const std::size_t bytes = elements * sizeof(float);
        check(cuda_double::enqueue(native(on), "fill", fill, {{total, bytes, false}, {grad, bytes, true}}), "fill");
      }));
      const auto filled = static_cast<int>(launches.size());
      launches.push_back({plans.back().get(), {}, Lane::compute, {}, "fill"});
      sums.push_back(static_cast<int>(launches.size()));
      launches.push_back({reduce.plan.get(), {grad}, Lane::communication, {filled}, "reduce"});
      if (forget_waits) launches.back().waits.clear();
    }
    plans.push_back(std::make_unique<CallPlan>([grads, total](Stream& on) {
      std::vector<cuda_double::Access> accesses = {{total, elements * sizeof(float), true}};
      for (const float* grad : grads)
        accesses.push_back({grad, elements * sizeof(float), false});
      const auto update = [grads, total] {
        for (const float* grad : grads)
          for (std::int64_t i = 0; i < elements; ++i)
            total[i] = total[i] * 0.5F + grad[i];
      };
      check(cuda_double::enqueue(native(on), "update", update, accesses), "update");
    }));
    launches.push_back({plans.back().get(), {}, Lane::compute, sums, "update"});
    const Recording recording = make_replay(launches, *lanes, capture);
    EXPECT_EQ(recording.streamed_because, "");
    for (int step = 0; step < steps; ++step)
      recording.replay->launch();
    (*lanes)[0].synchronize();
    return download(total, elements);
  }
};

TEST_F(CudaBuckets, SumTheSameCapturedAndStreamedInEveryOrder) {
  constexpr int steps = 3;
  const std::vector<float> first = train(false, steps);
  EXPECT_NE(first[3], 0.0F);
  for (const Order order : {Order::eager, Order::lazy, Order::random, Order::priority}) {
    for (const std::uint64_t seed : {1, 2, 3}) {
      for (const bool capture : {false, true}) {
        // Each rank has an order of its own.
        start({.order = order, .seed = seed * 100 + static_cast<std::uint64_t>(rank)});
        EXPECT_EQ(train(capture, steps), first) << static_cast<int>(order) << ' ' << seed << ' ' << capture;
        EXPECT_TRUE(nothing_found());
      }
    }
  }
}

TEST_F(CudaBuckets, AreFoundToRaceWhereASumDoesNotWaitForItsGradients) {
  if (ranks == 1) GTEST_SKIP() << "nothing is summed";
  for (const bool capture : {false, true}) {
    static_cast<void>(train(capture, 2, true));
    EXPECT_FALSE(nothing_found());
  }
}

TEST_F(CudaBuckets, LetTheCommunicatorLiveAsLongAsAGraphHoldsItsSums) {
  auto collective = make_collective(all, stream());
  const Planned reduce = reduce_plan({{0, elements}}, *collective);
  float* values = upload(elements);
  Recording recording = make_replay({{reduce.plan.get(), {values}, Lane::communication, {}, "reduce"}}, *lanes, true);
  ASSERT_EQ(recording.streamed_because, "");
  collective.reset();  // in the wrong order
  recording.replay->launch();
  (*lanes)[0].synchronize();
  expect_sums(values, elements);
  recording.replay.reset();
}

/// Whole steps as a backend records them: streamed first, then captured where all ranks can.
class CudaCaptures : public CudaCollective {
 protected:
  struct Step {
    std::vector<float> sums;  ///< of each step
    std::string streamed_because;
  };
  /// Steps of two sums; the third and later launches are those of another recording, made when the first was captured.
  Step train(bool spoil) {
    const auto collective = make_collective(all, stream(), {.even_alone = true});
    const Planned reduce = reduce_plan({{0, 40}}, *collective);
    float* first = upload(std::vector<float>(40, 1.0F));
    float* second = upload(std::vector<float>(40, 3.0F));
    Step result;
    const auto recorded = [&](float* values) {
      return make_warmed_replay(
          {{reduce.plan.get(), {values}, Lane::communication, {}, "reduce"},
           {reduce.plan.get(), {values}, Lane::communication, {}, "reduce again"}},
          *lanes, [&](const std::string& failure) { return settled(failure); }, result.streamed_because);
    };
    const auto one = recorded(first);
    for (int step = 0; step < 3; ++step)
      one->launch();
    // The second call of its capture, on one rank alone.
    if (spoil && rank == ranks - 1) cuda_double::set_faults({.devices = ranks, .failing_in_capture = 3});
    const auto other = recorded(second);
    for (int step = 0; step < 2; ++step) {
      one->launch();
      other->launch();
    }
    (*lanes)[0].synchronize();
    result.sums = {download(first, 40).back(), download(second, 40).back()};
    return result;
  }
  std::string settled(const std::string& failure) {
    std::array<double, 1> failed = {failure.empty() ? 0.0 : 1.0};
    all.max(failed);
    if (failed[0] == 0.0) return {};
    for (CudaStream& lane : *lanes)
      lane.synchronize();
    renew_spoilt_communicators();
    return failure.empty() ? "another rank" : failure;
  }
};

TEST_F(CudaCaptures, ThatFailInsideNcclLeaveAllRanksWithStreamedStepsAndTheSameSums) {
  for (const Order order : {Order::eager, Order::lazy, Order::random}) {
    start({.order = order, .seed = 7 + static_cast<std::uint64_t>(rank)});
    const Step captured = train(false);
    EXPECT_EQ(captured.streamed_because, "");
    EXPECT_EQ(captured.sums.front(), std::pow(static_cast<float>(ranks), 10.0F));
    EXPECT_TRUE(nothing_found());
    start({.order = order, .seed = 9 + static_cast<std::uint64_t>(rank)});
    const Step streamed = train(true);
    EXPECT_EQ(streamed.sums, captured.sums);
    if (rank == ranks - 1) {
      EXPECT_NE(streamed.streamed_because.find("unhandled cuda error"), std::string::npos) << streamed.streamed_because;
    } else {
      EXPECT_EQ(streamed.streamed_because, "another rank");
    }
    EXPECT_TRUE(nothing_found());
  }
}

class CudaPeers : public CudaCollective {
 protected:
  void SetUp() override {
    if (ranks == 1) GTEST_SKIP() << "a rank alone has no peers";
    CudaCollective::SetUp();
  }
  void TearDown() override {
    if (ranks > 1) static_cast<void>(cuda_double::findings());  // faults leave work that never runs
    if (ranks > 1) start({});
    CudaCollective::TearDown();
  }
  [[nodiscard]] std::string place() const { return fmt::format("rank {} of {}", rank, ranks); }
  void lose_last_rank() {
    if (rank == ranks - 1) cuda_double::set_faults({.devices = ranks, .absent_from = 0});
  }
};

TEST_F(CudaPeers, WhoNeverComeAreNamedWithTheLimitAndWhatToCheck) {
  lose_last_rank();
  EXPECT_TRUE(raises(ExitCode::communication, {place(), "within 0.4 s", "did not come", "NCCL_SOCKET_IFNAME"}, [&] {
    static_cast<void>(make_collective(all, stream(), {.limit = std::chrono::milliseconds(400)}));
  }));
}

TEST_F(CudaPeers, MayTakeTheirTimeUntilTheyPlan) {
  const auto collective = make_collective(all, stream(), {.limit = std::chrono::seconds(2)});
  if (rank == ranks - 1) std::this_thread::sleep_for(std::chrono::seconds(3));
  EXPECT_NO_THROW(static_cast<void>(reduce_plan({{0, 70}}, *collective))) << "the limit is NCCL's";
}

TEST_F(CudaPeers, AJoinThatDoesNotEndIsLeft) {
  start({.faults = {.hanging_join = true}});
  EXPECT_TRUE(raises(
      ExitCode::communication, {place(), "joining the NCCL communicator has not ended within 0.3 s", "firewalls"},
      [&] { static_cast<void>(make_collective(all, stream(), {.limit = std::chrono::milliseconds(300)})); }));
}

TEST_F(CudaPeers, WhoseSumsAreWrongAreNotTrusted) {
  const std::string wrong = fmt::format("the ranks' ones sum to {} instead of {}", ranks + 1, ranks);
  for (const int first : {0, 1}) {
    start({.faults = {.wrong_from = first}});
    EXPECT_TRUE(raises(ExitCode::communication,
                       {wrong, "sums over ranks are wrong on this machine", "NCCL_P2P_DISABLE"},
                       [&] {
                         const auto collective = make_collective(all, stream());
                         static_cast<void>(reduce_plan({{0, 50}}, *collective));
                       }))
        << "from sum " << first;
  }
}

TEST_F(CudaPeers, WhoHangInAStepAreLeftWhenAWatchdogSaysSo) {
  const auto collective = make_collective(all, stream());
  lose_last_rank();
  float* values = upload(100);
  std::thread watchdog([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    abort_communicators("a step made no progress");
  });
  EXPECT_TRUE(raises(ExitCode::communication, {place(), "aborted: a step made no progress"}, [&] {
    collective->all_reduce(stream(), values, 100);
    stream().synchronize();
  }));
  watchdog.join();
}

TEST_F(CudaPeers, AnAsynchronousErrorEndsTheWaitOfTheHost) {
  const auto collective = make_collective(all, stream());
  cuda_double::set_faults({.devices = ranks, .failing_collective = 1});  // 0 was the first sum
  float* values = upload(100);
  EXPECT_TRUE(raises(ExitCode::communication, {place(), "remote process", "a peer ended", "another rank"}, [&] {
    collective->all_reduce(stream(), values, 100);
    (*lanes)[0].synchronize();
    stream().synchronize();
  }));
  EXPECT_TRUE(raises(ExitCode::communication, {place(), "aborted"}, [&] {
    collective->all_reduce(stream(), values, 100);
  })) << "a communicator that failed was used again";
}

TEST_F(CudaPeers, AnErrorIsRaisedAtOnceThoughACapturedStepHoldsTheCommunicator) {
  EXPECT_TRUE(raises(ExitCode::communication, {place(), "remote process", "a peer ended", "another rank"}, [&] {
    const auto collective = make_collective(all, stream());
    const Planned reduce = reduce_plan({{0, 100}}, *collective);
    float* values = upload(100);
    const Recording step =
        make_replay({{reduce.plan.get(), {values}, Lane::communication, {}, "reduce"}}, *lanes, true);
    ASSERT_EQ(step.streamed_because, "");
    cuda_double::set_faults({.devices = ranks, .failing_collective = 2});  // 0 and 1 were the first sums
    step.replay->launch();
    (*lanes)[0].synchronize();  // what it raises destroys the recording
  }));
  EXPECT_TRUE(nothing_found()) << "the abort waited for the recording";
}

TEST_F(CudaPeers, PlanningASumRunsEachSizeOnceBeforeAnythingIsCaptured) {
  const auto collective = make_collective(all, stream());
  static_cast<void>(reduce_plan({{0, 50}}, *collective));
  cuda_double::set_faults({.devices = ranks, .failing_collective = 2});  // the third from the start
  EXPECT_NO_THROW(static_cast<void>(reduce_plan({{50, 100}}, *collective))) << "the same size again";
  EXPECT_TRUE(raises(ExitCode::communication, {place()}, [&] {
    static_cast<void>(reduce_plan({{0, 51}}, *collective));
  }));
}

}  // namespace
}  // namespace trainmark::cuda
