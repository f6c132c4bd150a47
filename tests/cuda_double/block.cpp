// Runs the blocks of a launch one after the other and decides which of a block's threads goes on. All that a device
// leaves undefined is a finding here: barriers that not all reach, masks that do not match, lanes that never come.
#include "cuda_double/block.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "cuda_double/device.hpp"

// What kernels read, declared by cuda_on_host.hpp.
uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace trainmark::cuda_double {
namespace {

constexpr int warp_size = 32;
std::uint32_t block_serial = 0;

std::string line(const std::source_location& where) {
  return where.line() == 0 ? std::string{} : fmt::format(" at {}:{}", where.file_name(), where.line());
}

uint3 position(std::uint32_t linear, const dim3& extent) {
  return {linear % extent.x, linear / extent.x % extent.y, linear / extent.x / extent.y};
}

/// The threads of one block between its start and its end.
class Schedule {
 public:
  Schedule(Block& block, std::size_t threads) : block_(block), order_(threads) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    if (device().options.threads == ThreadOrder::reverse) std::ranges::reverse(order_);
    for (const std::size_t thread : order_) {
      Fiber& fiber = fiber_at(thread);
      fiber.state = FiberState::fresh;
      fiber.index = position(static_cast<std::uint32_t>(thread), block.kernel->block);
      fiber.warp_epoch = 0;
    }
  }

  bool run() {
    while (count(FiberState::done) < order_.size()) {
      if (device().options.threads == ThreadOrder::random) std::ranges::shuffle(order_, device().random);
      if (!run_runnable()) return false;
      const bool moved = release_warps();
      if (!release_barrier() && !moved && count(FiberState::done) < order_.size()) {
        report_stuck();
        for (const std::size_t thread : order_)
          if (fiber_at(thread).state != FiberState::done) forget(fiber_at(thread));
        return false;
      }
    }
    return true;
  }

 private:
  [[nodiscard]] std::size_t count(FiberState state) const {
    return static_cast<std::size_t>(std::ranges::count(order_, state, [](auto t) { return fiber_at(t).state; }));
  }

  bool run_runnable() {
    for (const std::size_t thread : order_) {
      Fiber& fiber = fiber_at(thread);
      if (fiber.state != FiberState::fresh && fiber.state != FiberState::ready) continue;
      threadIdx = fiber.index;
      resume(fiber, *block_.kernel);
      if (!left_for_good()) continue;
      for (const std::size_t other : order_)
        if (fiber_at(other).state != FiberState::done) forget(fiber_at(other));
      return false;
    }
    return true;
  }

  /// Lets go all lanes whose mask has come in full.
  bool release_warps() {
    bool moved = false;
    for (std::size_t first = 0; first < order_.size(); first += warp_size) {
      const std::size_t lanes = std::min<std::size_t>(warp_size, order_.size() - first);
      for (std::size_t lane = 0; lane < lanes; ++lane)
        if (fiber_at(first + lane).state == FiberState::at_warp) moved = release(first, lanes, lane) || moved;
    }
    return moved;
  }

  bool release(std::size_t first, std::size_t lanes, std::size_t leader) {
    const Fiber& lead = fiber_at(first + leader);
    const unsigned mask = lead.visit.mask;
    std::uint64_t ballot = 0;
    std::uint32_t epoch = 0;
    for (std::size_t lane = 0; lane < warp_size; ++lane) {
      if ((mask >> lane & 1U) == 0) continue;
      if (lane >= lanes || fiber_at(first + lane).state != FiberState::at_warp) return false;
      const Fiber& fiber = fiber_at(first + lane);
      if (fiber.visit.mask != mask || fiber.visit.call != lead.visit.call) return false;
      if (fiber.visit.value != 0) ballot |= std::uint64_t{1} << lane;
      epoch = std::max(epoch, fiber.warp_epoch);
    }
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      if ((mask >> lane & 1U) == 0) continue;
      Fiber& fiber = fiber_at(first + lane);
      if (lead.visit.call == WarpCall::sync) fiber.warp_epoch = epoch + 1;
      if (lead.visit.call == WarpCall::ballot) fiber.visit.result = ballot;
      if (lead.visit.call == WarpCall::shuffle) fiber.visit.result = shuffled(first, fiber);
      fiber.state = FiberState::ready;
    }
    return true;
  }

  std::uint64_t shuffled(std::size_t first, const Fiber& fiber) {
    const auto source = static_cast<unsigned>(fiber.visit.source);
    if ((fiber.visit.mask >> source & 1U) != 0) return fiber_at(first + source).visit.value;
    add_finding(fmt::format("{} takes a shuffle's value from lane {}, which its mask {:#x} leaves out{}",
                            block_.describe(fiber), source, fiber.visit.mask, line(fiber.where)));
    return fiber.visit.value;
  }

  bool release_barrier() {
    const std::size_t waiting = count(FiberState::at_barrier), done = count(FiberState::done);
    if (waiting == 0 || waiting + done < order_.size()) return false;
    const Fiber* first = nullptr;
    block_.predicates = 0;
    for (std::size_t thread = 0; thread < order_.size(); ++thread) {
      Fiber& fiber = fiber_at(thread);
      if (fiber.state != FiberState::at_barrier) continue;
      if (first == nullptr) first = &fiber;
      if (fiber.where.line() != first->where.line() || fiber.where.column() != first->where.column())
        add_finding(fmt::format("divergent barrier: {} waits{}, thread {} of the same block{}", block_.describe(*first),
                                line(first->where), fiber.thread, line(fiber.where)));
      block_.predicates += fiber.predicate ? 1 : 0;
      fiber.state = FiberState::ready;
    }
    if (done > 0)
      add_finding(fmt::format("divergent barrier: {} waits{}, but {} of the block's threads have left",
                              block_.describe(*first), line(first->where), done));
    ++block_.barrier_epoch;
    return true;
  }

  void report_stuck() {
    for (std::size_t thread = 0; thread < order_.size(); ++thread) {
      const Fiber& fiber = fiber_at(thread);
      if (fiber.state == FiberState::at_barrier && count(FiberState::at_warp) == 0) continue;
      if (fiber.state == FiberState::done) continue;
      if (fiber.state == FiberState::at_barrier) {
        add_finding(fmt::format("divergent barrier: {} waits{} while other threads wait for their warp",
                                block_.describe(fiber), line(fiber.where)));
        return;
      }
      const std::size_t lead = thread / warp_size * warp_size;
      std::string others;
      for (std::size_t lane = 0; lane < warp_size; ++lane) {
        if ((fiber.visit.mask >> lane & 1U) == 0) continue;
        if (lead + lane >= order_.size() || fiber_at(lead + lane).state != FiberState::at_warp)
          others += fmt::format(" {}", lane);
        else if (fiber_at(lead + lane).visit.mask != fiber.visit.mask)
          others += fmt::format(" {} (mask {:#x}{})", lane, fiber_at(lead + lane).visit.mask,
                                line(fiber_at(lead + lane).where));
      }
      add_finding(fmt::format("{} waits with mask {:#x}{} for lanes that never come:{}", block_.describe(fiber),
                              fiber.visit.mask, line(fiber.where), others));
      return;
    }
  }

  Block& block_;
  std::vector<std::size_t> order_;
};

}  // namespace

std::string Block::describe(const Fiber& fiber) const {
  const uint3 at = position(number, kernel->grid);
  return fmt::format("kernel {}, block ({},{},{}) thread ({},{},{})", kernel->name, at.x, at.y, at.z, fiber.index.x,
                     fiber.index.y, fiber.index.z);
}

Running& running() noexcept {
  static thread_local Running here;
  return here;
}

void stop_kernel() { leave_for_good(); }

bool run_kernel(const Kernel& kernel, std::uint32_t operation) {
  catch_crashes();
  const std::size_t threads = std::size_t{kernel.block.x} * kernel.block.y * kernel.block.z;
  std::vector<std::uint32_t> blocks(std::size_t{kernel.grid.x} * kernel.grid.y * kernel.grid.z);
  std::iota(blocks.begin(), blocks.end(), 0U);
  if (device().options.threads == ThreadOrder::reverse) std::ranges::reverse(blocks);
  if (device().options.threads == ThreadOrder::random) std::ranges::shuffle(blocks, device().random);
  gridDim = kernel.grid;
  blockDim = kernel.block;
  bool sound = true;
  for (const std::uint32_t number : blocks) {
    Block block{.kernel = &kernel, .operation = operation, .number = number, .serial = ++block_serial};
    block.shared = prepare_shared(kernel.shared_bytes);
    blockIdx = position(number, kernel.grid);
    running().block = &block;
    sound = Schedule(block, threads).run();
    running() = {};
    if (sound && shared_margin_touched(kernel.shared_bytes)) {
      add_finding(fmt::format("kernel {}, block {} wrote past its {} bytes of dynamic shared memory", kernel.name,
                              number, kernel.shared_bytes));
    }
    if (!sound) break;
  }
  return sound;
}

}  // namespace trainmark::cuda_double
