// The seam between what is computed and what computes it. All that differs between CPU and CUDA stands behind Backend.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/comm.hpp"
#include "trainmark/nn.hpp"

namespace trainmark {

/// Travels to device memory with each batch, so that no plan takes an argument from the host and a captured step can be
/// replayed. Laid out as this header followed by `valid` (at most local batch) sample ids, i64 each.
struct StepState {
  float rate = 0.0F;
  std::int32_t valid = 0;      ///< samples of this rank's batch that count; the rest is padding
  std::int64_t epoch = 0;      ///< 0-based
  float previous_rate = 0.0F;  ///< of the update before; 0: there was none
  std::int32_t unused = 0;     ///< ids are aligned
};
[[nodiscard]] constexpr std::size_t step_state_bytes(std::int64_t local_batch) {
  return sizeof(StepState) + static_cast<std::size_t>(local_batch) * sizeof(std::int64_t);
}
// The loss scale does not travel: it stays in device memory as optim.hpp's LossScale, and the step's own nodes move it.

/// How a tensor lies in a backend's memory. 0 is the plain logical order; everything else is the backend's private
/// choice (activations are channels-last there), meaningful only to the backend that made it.
using Layout = std::int32_t;
inline constexpr Layout logical_layout = 0;

struct TensorDesc {
  Shape shape;
  DType dtype = DType::f32;
  Layout layout = logical_layout;
};

/// An ordered queue of work. The CPU's compute stream runs inline; its communication stream is a thread.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void synchronize() = 0;  ///< waits; raises what went wrong in the queue
};
class StreamEvent {
 public:
  virtual ~StreamEvent() = default;
  virtual void record(Stream& stream) = 0;
  virtual void make_wait(Stream& stream) = 0;  ///< later work of `stream` waits for the recorded point
  /// Seconds from when a stream came to `earlier`, an event of the same backend, to when one came to this; negative in
  /// the other order. Never waits: empty where one has not been reached yet or was never recorded.
  [[nodiscard]] virtual std::optional<double> seconds_since(const StreamEvent& earlier) const = 0;
};

/// An operation made ready: built once, executed often, allocating nothing.
class Plan {
 public:
  virtual ~Plan() = default;
  /// `args`: inputs, then outputs, in the operation's order, then scratch memory if any was asked for.
  virtual void execute(Stream& stream, std::span<void* const> args) = 0;
};

/// An output that may take the memory of an input.
struct InPlace {
  int output = 0;
  int input = 0;
};
struct Planned {
  std::unique_ptr<Plan> plan;
  std::vector<TensorDesc> outputs;  ///< with the layouts that the plan writes
  std::size_t scratch_bytes = 0;    ///< shared by all plans of a lane
  std::vector<InPlace> in_place;    ///< in order of preference
  /// Bytes that go to scratch memory and come back besides the operands: what a fused operation stores all the same.
  std::int64_t scratch_traffic = 0;
};
class Collective;
/// One for each group of ranks, and each on the lane of the operations that sum over it.
struct Collectives {
  Collectives() = default;
  Collectives(Collective& of_all, Collective* of_norm = nullptr) : all(&of_all), norm(of_norm) {}  // NOLINT
  Collective* all = nullptr;   ///< AllReduce, AverageStatistics: communication
  Collective* norm = nullptr;  ///< SumOverGroup: compute; null where norms have no groups
};
struct Operands {
  std::vector<TensorDesc> inputs;
  std::vector<TensorDesc> outputs;  ///< shapes and types as inferred; layouts still open but for gradients (logical)
  Collectives collectives = {};     ///< what sums over ranks go through; outlive the plan
};

/// One launch of a recording: a plan with its memory, its lane and what orders it.
struct Launch {
  Plan* plan = nullptr;
  std::vector<void*> args;
  Lane lane = Lane::compute;
  std::vector<int> waits;  ///< indices of earlier launches on other lanes that must have ended
  std::string name;
};
/// A recorded step. Recording never executes.
class Replay {
 public:
  virtual ~Replay() = default;
  virtual void launch() = 0;  ///< compute lane: returns when the CPU has done it; a device has it enqueued
  /// Of the last launch: seconds for which its compute lane stood still for sums over ranks, which includes ranks that
  /// come late to them. Empty where a device has not ended it yet; 0 where nothing is summed over ranks.
  [[nodiscard]] virtual std::optional<double> exposed_seconds() const { return 0.0; }
};

/// Collective data movement over device memory, in a communicator of its own.
class Collective {
 public:
  virtual ~Collective() = default;
  /// In place, sum.
  virtual void all_reduce(Stream& stream, float* values, std::int64_t count) = 0;
  virtual void all_reduce(Stream& stream, double* values, std::int64_t count) = 0;
  /// In place, sum of what travels as `wire` (bf16 or f16; f32 is as above): each rank's values are rounded to it, and
  /// so is the sum, the same bits on all ranks; beyond its range they are infinite. A rank alone sends nothing, and
  /// nothing is rounded. `scratch` has wire_scratch_bytes().
  virtual void all_reduce(Stream& stream, float* values, std::int64_t count, DType wire, void* scratch) = 0;
  [[nodiscard]] virtual std::size_t wire_scratch_bytes(std::int64_t count, DType wire) const = 0;
};

/// automatic: a GPU where one is usable; emulated: none, whose steps take a stated time.
enum class DeviceChoice : std::uint8_t { automatic, cpu, cuda, emulated };
template <>
struct Words<DeviceChoice> {
  static constexpr std::array<std::string_view, 4> all = {"auto", "cpu", "cuda", "emulated"};
};
enum class Overlap : std::uint8_t { automatic, on, off };  ///< of all-reduce with the backward pass
template <>
struct Words<Overlap> {
  static constexpr std::array<std::string_view, 3> all = {"auto", "on", "off"};
};

/// How long a rank's device that is not there would take, while nothing has to be waited for.
struct EmulatedDevice {
  std::string like = {};   ///< device whose floor these times are; empty: they are stated
  double train_ms = 0.0;   ///< milliseconds a training step, all its parts together
  double eval_ms = 0.0;    ///< milliseconds an evaluation step
  std::int64_t parts = 1;  ///< launches that make up a training step; set by run
  bool operator==(const EmulatedDevice&) const = default;
};

struct BackendOptions {
  DeviceChoice device = DeviceChoice::automatic;
  /// Compute threads per rank; 0: those that can run at a time (cpu_share) less the communication thread.
  int threads = 0;
  Overlap overlap = Overlap::automatic;
  int other_threads = 0;  ///< that the rank will start besides the backend's: tried together with those
  bool tf32 = false;      ///< fp32 matrix work may round its operands to TF32; set by run from the precision
  // For devices; the CPU takes them without effect.
  bool deterministic = false;   ///< leaves out algorithms whose results vary from run to run
  bool autotune = false;        ///< plans are chosen by timing candidates instead of by heuristics
  std::string plan_cache = {};  ///< folder that keeps plans from one run to the next; empty: none
  bool capture = true;          ///< a step is one launch; false: launch by launch
  /// Takes what a library's version is known to compute wrongly.
  bool accept_known_faults = false;
  bool nccl_alone = false;       ///< a rank alone sums through NCCL too, with itself
  EmulatedDevice emulated = {};  ///< with DeviceChoice::emulated
};

/// Named seconds per launch of the last profiled step.
using Profile = std::vector<std::pair<std::string, double>>;

/// What a device's own sensors say at one moment.
struct DeviceReading {
  double watts = 0.0;
  int core_mhz = 0;
  int memory_mhz = 0;
  std::string throttled_by;  ///< comma-separated reasons other than idleness; empty: none
};

class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual std::string name() const = 0;         ///< "cpu", "cuda", "emulated"
  [[nodiscard]] virtual std::string description() const = 0;  ///< libraries, instruction set, device
  [[nodiscard]] virtual bool overlaps() const = 0;            ///< whether the communication lane runs beside compute
  [[nodiscard]] virtual int threads() const = 0;
  /// Whether steps only take time: there is no loss and no metric then, whatever lies in memory.
  [[nodiscard]] virtual bool emulates() const { return false; }
  /// After how many launches of a replay one costs what all later ones do: with 2, the first launches it piece by piece
  /// and records, the second brings the recording to the device.
  [[nodiscard]] virtual int warm_up_launches() const { return 1; }
  /// What a user should know of how it runs here; empty where all is as it was asked for.
  [[nodiscard]] virtual std::string caveat() const { return {}; }

  [[nodiscard]] virtual std::pmr::memory_resource& device_memory() = 0;
  [[nodiscard]] virtual std::pmr::memory_resource& pinned_memory() = 0;
  [[nodiscard]] virtual std::int64_t allocations() const = 0;  ///< calls so far of both
  virtual void copy_to_device(Stream& stream, void* to, const void* from, std::size_t bytes) = 0;
  virtual void copy_to_host(Stream& stream, void* to, const void* from, std::size_t bytes) = 0;
  virtual void fill_zero(Stream& stream, void* to, std::size_t bytes) = 0;
  [[nodiscard]] virtual Stream& stream(Lane lane) = 0;
  [[nodiscard]] virtual std::unique_ptr<StreamEvent> make_event() = 0;
  [[nodiscard]] virtual std::size_t bytes_of(const TensorDesc& tensor) const = 0;
  /// The description that this backend's plans give to, and expect of, an activation of this shape and type.
  [[nodiscard]] virtual TensorDesc activation(const Shape& shape, DType dtype) const = 0;
  /// Between logical order and a private layout, for tests, checks and exports only.
  virtual void to_logical(const TensorDesc& desc, const void* from, float* to) = 0;
  virtual void from_logical(const TensorDesc& desc, const float* from, void* to) = 0;

  /// Why this operation cannot run here; empty if it can. Asked for every node before the clock starts.
  [[nodiscard]] virtual std::string refusal(const Op& op, const Operands& operands) const = 0;
  [[nodiscard]] virtual Graph fuse(Graph graph) const = 0;  ///< keeps a fused form only if it plans

  /// Called before the plans of a graph are made one after the other. `plan_all` makes all of them and drops them; a
  /// backend whose plans take long may call it once to see what will be asked for, and make that ready beforehand, on
  /// as many threads as it likes. Changes no result.
  virtual void foresee(const std::function<void()>& /*plan_all*/) {}
  /// Whether fp32 matrix work of plans made from now on rounds its operands to TF32, in place of BackendOptions::tf32.
  /// False where this backend has no such arithmetic.
  virtual bool use_tf32(bool /*on*/) { return false; }
  /// An operation made ready for these operands. A backend visits Op, so that one it forgets does not compile.
  /// Plans of operations on arenas take what arena_uses says, then those operands that are no gradients.
  [[nodiscard]] virtual Planned plan(const Op& op, const Operands& operands) = 0;

  /// For sums on this lane.
  [[nodiscard]] virtual std::unique_ptr<Collective> make_collective(const Group& group,
                                                                    Lane lane = Lane::communication) = 0;
  [[nodiscard]] virtual std::unique_ptr<Replay> record(std::vector<Launch> launches) = 0;
  /// Whether a recorded step is one launch here, which costs the host less than those of its parts.
  [[nodiscard]] virtual bool captures() const { return false; }
  /// As record(), but launch by launch on a backend that captures.
  [[nodiscard]] virtual std::unique_ptr<Replay> record_streamed(std::vector<Launch> launches) {
    return record(std::move(launches));
  }
  /// Runs the launches one by one and times each (compute lane waits between). For `plan --measure` and benchmarks.
  virtual Profile profile(const std::vector<Launch>& launches) = 0;
  /// While the result lives, steps run launch by launch, each named, between an outer profiler's start and stop: slower
  /// than others. Null where no such profiler exists.
  [[nodiscard]] virtual std::shared_ptr<void> profiling() { return nullptr; }
  /// Names what this thread does while the result lives, on such a profiler's time line. Null where there is none.
  [[nodiscard]] virtual std::shared_ptr<void> range(const std::string&) { return nullptr; }
  /// Empty where there is no device, or where it does not tell.
  [[nodiscard]] virtual std::optional<DeviceReading> sensors() const { return std::nullopt; }
  /// Joules that the device has taken since some moment in the past, by its own counter. Empty where it has none.
  [[nodiscard]] virtual std::optional<double> joules() const { return std::nullopt; }
  /// Breaks off all collectives under way, from any thread, before a process that hangs leaves or memory is freed that
  /// they use: who waits for one raises `reason`. False where the device still works on something after `limit`. May
  /// hang where the driver does: who must leave in time does not wait for it.
  virtual bool abandon(const std::string& /*reason*/, std::chrono::milliseconds /*limit*/) noexcept { return true; }
};

/// The backend that the options and this machine give. `ranks_on_node` share the node's cores.
/// Collective. Raises Error{environment}, on all ranks, where the wanted one is not built in, finds no device, or where
/// the threads that it and the rank need cannot be started.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const BackendOptions& options, const World& world);
[[nodiscard]] std::vector<std::string> built_backends();  ///< by name, whether or not their device is there
/// Takes as many threads as OpenMP gives. Raises Error{environment} where `threads` cannot be started.
[[nodiscard]] std::unique_ptr<Backend> make_cpu_backend(int threads, bool overlap, bool tf32 = false);
/// Plans for the device that `device_description` tells of (the text of a file of share/devices) and never computes;
/// needs no device. Raises Error{environment} in a build without CUDA.
[[nodiscard]] std::unique_ptr<Backend> make_cuda_planner(const BackendOptions& options,
                                                         const std::string& device_description);
/// Does nothing, fast: all plans are empty. Measures what the harness itself costs; computes dry runs.
[[nodiscard]] std::unique_ptr<Backend> make_null_backend();

}  // namespace trainmark
