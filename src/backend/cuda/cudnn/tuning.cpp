// Turns of measurements, their medians, and the device's side of them.
#include "backend/cuda/cudnn/tuning.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "backend/cuda/stopwatch.hpp"

namespace trainmark::cuda {
namespace {

constexpr int turns = 7;  // odd, so that the median is a measurement
constexpr double hopeless = 4.0;
constexpr int executions = 3;  // of one measurement, so that the host's part in it is small

struct Runner {
  std::size_t candidate = 0;
  std::vector<double> seconds = {};
};

void take_turns(std::vector<Runner>& field, const TimeCandidate& time) {
  std::vector<Runner> left;
  for (Runner& runner : field) {
    const std::optional<double> seconds = time(runner.candidate);
    if (!seconds) continue;
    runner.seconds.push_back(*seconds);
    left.push_back(std::move(runner));
  }
  field = std::move(left);
}

void drop_hopeless(std::vector<Runner>& field) {
  if (field.empty()) return;
  const auto first = [](const Runner& runner) { return runner.seconds.front(); };
  const double bound = hopeless * std::ranges::min(field, {}, first).seconds.front();
  std::erase_if(field, [&](const Runner& runner) { return first(runner) > bound; });
}

struct MemoryTraits {
  using type = void*;
  static type null() noexcept { return nullptr; }
  static void release(type memory) noexcept { cudaFree(memory); }
};
using Memory = Handle<MemoryTraits>;

class Workbench {
 public:
  Workbench(std::span<const std::size_t> operand_bytes, std::size_t workspace_bytes)
      : workspace_(taken(workspace_bytes)) {
    for (const std::size_t bytes : operand_bytes)
      operands_.push_back(taken(bytes));
    // Only now, when nothing is refused any more: memory must not be given back while it is being cleared.
    for (std::size_t i = 0; i < operands_.size(); ++i)
      check(cudaMemsetAsync(operands_[i].get(), 0, operand_bytes[i], stream_.native()), "clearing device memory");
  }

  double seconds(CompiledGraph& candidate) {
    std::vector<void*> pointers;
    for (const Memory& operand : operands_)
      pointers.push_back(operand.get());
    stopwatch_.start(stream_.native());
    for (int i = 0; i < executions; ++i)
      candidate.execute(stream_.native(), pointers, workspace_.get());
    return stopwatch_.stop(stream_.native()) / executions;
  }
  /// Nothing of a candidate that failed half-way runs any more. Raises where the device is lost.
  void finish() { stream_.synchronize(); }

 private:
  static Memory taken(std::size_t bytes) { return Memory(DeviceMemory().allocate(std::max<std::size_t>(bytes, 1))); }

  CudaStream stream_{Lane::compute};
  Stopwatch stopwatch_;
  Memory workspace_;
  std::vector<Memory> operands_;
};

}  // namespace

std::optional<std::size_t> fastest(std::size_t candidates, const TimeCandidate& time) {
  std::vector<Runner> field;
  for (std::size_t candidate = 0; candidate < candidates; ++candidate) {
    // The first execution loads code and fills caches: it only shows whether there will be others.
    if (time(candidate)) field.push_back({candidate});
  }
  for (int turn = 0; turn < turns && field.size() > 1; ++turn) {
    take_turns(field, time);
    if (turn == 0) drop_hopeless(field);
    std::ranges::reverse(field);
  }
  if (field.empty()) return std::nullopt;
  if (field.size() == 1) return field.front().candidate;
  return std::ranges::min(field, {},
                          [](const Runner& runner) { return std::pair(median_of(runner.seconds), runner.candidate); })
      .candidate;
}

Trial try_on_device(std::span<const std::shared_ptr<CompiledGraph>> candidates,
                    std::span<const std::size_t> operand_bytes) {
  std::size_t workspace = 0;
  for (const auto& candidate : candidates)
    workspace = std::max(workspace, candidate->workspace_bytes());
  Workbench bench(operand_bytes, workspace);
  Trial trial;
  std::vector<std::vector<double>> measured(candidates.size());
  trial.fastest = fastest(candidates.size(), [&](std::size_t at) -> std::optional<double> {
    try {
      return measured[at].emplace_back(bench.seconds(*candidates[at]));
    } catch (const Error& error) {
      trial.failures += std::string(error.what()) + '\n';
      return std::nullopt;
    }
  });
  bench.finish();
  for (std::vector<double>& seconds : measured) {
    std::optional<double>& median = trial.seconds.emplace_back();
    if (seconds.size() < 2) continue;
    seconds.erase(seconds.begin());  // it loaded code
    median = median_of(seconds);
  }
  return trial;
}

void tell_of_trial(const std::string& key, std::span<const std::shared_ptr<CompiledGraph>> candidates,
                   const Trial& trial) {
  diagnose(LogLevel::debug, [&] {
    std::string text = "engines timed for " + key;
    for (std::size_t at = 0; at < candidates.size(); ++at) {
      const std::optional<double> seconds = at < trial.seconds.size() ? trial.seconds[at] : std::nullopt;
      text += fmt::format(" | {} {}", candidates[at]->engine(),
                          seconds ? fmt::format("{:.6f} ms", 1e3 * *seconds) : "not timed");
    }
    return text;
  });
}

}  // namespace trainmark::cuda
