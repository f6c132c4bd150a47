// The device double as a test sees it: in which order streams and threads run, which faults happen, and what was found.
// Kernels, streams, graphs and collectives of the CUDA backend run on the host (docs/testing-without-a-gpu.md).
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace trainmark::cuda_double {

/// When queued work runs; every order respects the order within a stream and events, and nothing else.
enum class Order : std::uint8_t {
  eager,     ///< at once, where it is ready
  lazy,      ///< only what somebody waits for, at the last moment
  random,    ///< any ready stream, at any time
  priority,  ///< every stream has a random rank; the highest ready one runs
};
/// In which order the threads of a block (and the blocks of a launch) run between barriers.
enum class ThreadOrder : std::uint8_t { forward, reverse, random };

struct Faults {
  int devices = 1;
  int first_device = 0;  ///< of the node's, as CUDA_VISIBLE_DEVICES chooses: moves the bus ids
  bool no_driver = false;
  bool driver_too_old = false;
  std::size_t memory_bytes = std::size_t{80} << 30;  ///< of the device; what exceeds it is cudaErrorMemoryAllocation
  std::int64_t failing_launch = -1;                  ///< from this kernel on (0-based since reset) everything fails ...
  cudaError_t failure = cudaErrorIllegalAddress;     ///< ... with this
  std::int64_t failing_capture = -1;                 ///< from this one on (0-based since reset) no capture succeeds
  std::int64_t absent_from = -1;  ///< from this collective on (0-based since reset) this process takes part in none
  std::int64_t failing_collective = -1;  ///< this one (0-based since reset) ends in an asynchronous error
  std::int64_t failing_in_capture = -1;  ///< from this captured one on (0-based since reset) its call fails, for good
  std::int64_t wrong_from =
      -1;                      ///< from this collective on (0-based since reset) a sum's first element is one too many
  bool hanging_join = false;   ///< a communicator stays in progress from its beginning on
  bool hanging_abort = false;  ///< a communicator that is aborted never ends
  int only_on = -1;            ///< captures and collectives fail only where this device is used; -1: on all
};
struct Options {
  Order order = Order::eager;
  ThreadOrder threads = ThreadOrder::forward;
  std::uint64_t seed = 1;
  bool closed_to_the_host = true;    ///< host code that touches device memory crashes, with a message
  double time_limit_seconds = 60.0;  ///< for waits that only another rank can end
  bool pinned_uploads =
      false;  ///< once a graph was launched again, a copy to the device from pageable memory is a finding
  bool says_aborts = false;  ///< on stderr, for who looks from outside at a process that leaves early
  Faults faults{};
};

/// What TRAINMARK_DOUBLE says (environment.cpp): what programs run with that never call reset.
[[nodiscard]] Options options_from_environment();
/// Back to a fresh device: memory, streams, events, graphs, communicators and findings are gone.
void reset(const Options& options = {});
/// Changes what goes wrong from now on.
void set_faults(const Faults& faults);
/// What was found since the last reset or call, each once, with kernel, block, thread and line where known. A program
/// that ends with findings that nobody has read prints them and fails with status `unread_findings`.
[[nodiscard]] std::vector<std::string> findings();
/// Whether the accesses of kernels are watched (cuda_double_hooks is linked).
[[nodiscard]] bool watches_accesses();
[[nodiscard]] std::int64_t launches();  ///< kernels run since reset
struct Replayed {
  std::string name;
  int priority = 0;  ///< as streams have it: the lower, the sooner
};
/// The nodes of the graph launched last, in the order of their capture, each with the priority that it runs at.
[[nodiscard]] std::vector<Replayed> last_replay();

inline constexpr int unread_findings = 87;

struct Access {
  const void* begin = nullptr;
  std::size_t bytes = 0;
  bool write = false;
};
/// One line for each plan that a compiler of this program has made: what cuDNN would have planned.
[[nodiscard]] const std::vector<std::string>& plans_made();
/// Puts a host computation on a stream as if it were a kernel: ordered, captured and replayed like one.
cudaError_t enqueue(cudaStream_t stream, const char* name, std::function<void()> body, std::vector<Access> accesses);

}  // namespace trainmark::cuda_double
