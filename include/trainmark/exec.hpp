// A graph made ready on one rank: where its state lives, how activations share memory, and the step as one launch.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/backend.hpp"

namespace trainmark {

/// One arena of device memory, freed with its owner.
class Arena {
 public:
  Arena(Backend& backend, std::size_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  Backend& backend_;
  std::byte* data_;
  std::size_t bytes_;
};

/// What a step leaves for the next one: one arena of device memory for each region, in logical order and the order of
/// the reference's tensors, without padding. Owned by the run, shared by its programs. Hash, snapshot and addresses are
/// loops over the regions.
class ModelState {
 public:
  struct Entry {
    std::string name;
    Shape shape;
    std::int64_t offset = 0;  // elements
    Initial initial;
  };
  struct Region {
    Space space = Space::parameter;
    std::size_t bytes = 0;
    bool kept = false;    ///< belongs to what training has come to: a snapshot holds it
    bool agreed = false;  ///< equal on all ranks, to the bit: the hash is of it
    std::unique_ptr<Arena> arena = {};
  };
  ModelState(Backend& backend, const Graph& graph, int slots);

  /// Parameters and statistics by their own laws, as a function of (seed, tensor, element): equal on all ranks, no
  /// broadcast. All else as in a state that is new.
  void initialise(std::uint64_t seed);
  [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }  ///< parameters
  [[nodiscard]] const std::vector<Entry>& statistics() const noexcept { return statistics_; }
  [[nodiscard]] const std::vector<Region>& regions() const noexcept { return regions_; }
  /// Null where the graph has no such region.
  [[nodiscard]] std::byte* data(Space space) const noexcept;
  [[nodiscard]] void* data(const ArenaUse& use) const noexcept;  ///< where its range begins
  [[nodiscard]] float* parameters() const noexcept { return floats(Space::parameter); }
  [[nodiscard]] float* gradients() const noexcept { return floats(Space::gradient); }
  [[nodiscard]] float* slot(int index) const noexcept { return floats(Space::slot) + index * elements_; }
  [[nodiscard]] float* statistic_values() const noexcept { return floats(Space::statistic); }
  [[nodiscard]] double* metrics() const noexcept {
    return reinterpret_cast<double*>(data(Space::metric));
  }  ///< a Score
  [[nodiscard]] LossScale* scaler() const noexcept { return reinterpret_cast<LossScale*>(data(Space::loss_scale)); }
  [[nodiscard]] std::int64_t parameter_elements() const noexcept { return elements_; }

  /// XXH3 of all that ranks must agree on.
  [[nodiscard]] std::uint64_t hash() const;
  [[nodiscard]] std::vector<float> read(const float* from, std::int64_t count) const;  ///< device to host
  void write(float* to, std::span<const float> values);
  [[nodiscard]] float loss() const;   ///< summed over ranks after a step; waits for all steps, as all that reads here
  [[nodiscard]] Score score() const;  ///< of this rank, since clear_metrics()
  void clear_metrics();
  [[nodiscard]] bool scales_loss() const noexcept { return scaling_.has_value(); }
  /// Where the graph scales its loss: what has become of the scale, once the steps so far have ended.
  [[nodiscard]] std::optional<LossScale> loss_scale() const;

  /// A copy of what training has come to, and the return to it (used by warm-up).
  [[nodiscard]] std::vector<std::byte> snapshot() const;
  void restore(std::span<const std::byte> snapshot);

 private:
  [[nodiscard]] float* floats(Space space) const noexcept { return reinterpret_cast<float*>(data(space)); }
  void add(Space space, std::size_t bytes, bool kept, bool agreed);
  void draw(const std::vector<Entry>& entries, Space space, std::uint64_t seed);
  void clear(const Region& region);
  void fetch(void* to, const void* from, std::size_t bytes) const;
  void reset_loss_scale();

  Backend& backend_;
  std::vector<Entry> entries_, statistics_;
  std::int64_t elements_ = 0;
  std::optional<LossScaling> scaling_;
  std::vector<Region> regions_;          // in the order in which they are hashed
  std::unique_ptr<std::byte[]> bounce_;  // host memory through which a hash reads the device
};

/// Where each activation of a graph lies in one pool, from liveness over the whole step. Only the compute lane touches
/// activations, so the order of nodes is their order in time.
struct MemoryPlan {
  std::vector<std::int64_t> offset;  ///< bytes, a multiple of 64, by tensor id; -1: not in the pool
  std::size_t pool_bytes = 0;
  std::size_t unshared_bytes = 0;  ///< what the same activations would take without reuse
};
/// A producer that can write `output` over `input`; done where nobody needs `input` later. Of an output's several
/// aliases the first that can be done is.
struct Alias {
  TensorId output = 0;
  TensorId input = 0;
};
/// `bytes` by tensor id. Without `reuse` every activation has memory of its own and nothing is done in place.
[[nodiscard]] MemoryPlan plan_memory(const Graph& graph, const std::vector<std::size_t>& bytes,
                                     const std::vector<Alias>& in_place, bool reuse = true);

/// Device memory that the programs of one state share, since they run one at a time: an activation pool, scratch memory
/// and two slots of each input. It grows while programs are made, and is fixed when the first of them is used.
struct InputSlots;
[[nodiscard]] std::shared_ptr<InputSlots> make_input_slots(Backend& backend);

/// Programs that may turn out not to fit beside those made before: what those that are made while this lives want of
/// the shared memory is forgotten with it, unless it is kept. Not once a program was used; the programs go with it.
class SlotTrial {
 public:
  explicit SlotTrial(std::shared_ptr<InputSlots> slots);
  ~SlotTrial();
  SlotTrial(const SlotTrial&) = delete;
  SlotTrial& operator=(const SlotTrial&) = delete;
  /// Takes what all programs so far want together, and gives it back. Raises what the backend's memory raises where
  /// there is no room.
  void allocate();
  void keep();

 private:
  struct Before;
  std::shared_ptr<InputSlots> slots_;
  std::unique_ptr<Before> before_;
};

/// What an upload took of its stream's time, and during how much of that no step was running that it could hide behind.
struct UploadTimes {
  double seconds = 0.0;
  double exposed_seconds = 0.0;  ///< at most `seconds`; all of them on the CPU
};

/// What a step took of the compute lane's time.
struct StepTimes {
  double seconds = 0.0;          ///< from the beginning of its first launch to the end of its last
  double exposed_seconds = 0.0;  ///< of them: waiting for sums over ranks; at most `seconds`
};

/// What a step that updates parameters has come to.
struct StepResult {
  float loss = 0.0F;                    ///< summed over ranks
  std::optional<LossScale> scale = {};  ///< behind the step, where the graph scales its loss
};

/// When a launch of a step ran, in seconds since the step began on the compute lane.
struct LaunchTimes {
  double begin = 0.0;
  double end = 0.0;
};

/// A compiled graph: plans, memory and one recording per input slot. Making it plans everything; its first upload,
/// step, read or profile lays the shared memory out and records. After that a step allocates nothing.
class Program {
 public:
  struct Options {
    bool fuse = true;
    bool reuse = true;    ///< of activation memory; without it every tensor can be read after a step
    bool overlap = true;  ///< of sums over ranks with computation; without it launches follow one another
    /// Each launch is timed by itself: for backends that execute plans in each step, not in a capture once for all.
    bool timed = false;
    bool capture = true;  ///< where the backend captures steps; without it launches are enqueued one by one
  };
  /// Raises Error{environment} with everything that `backend` refuses of this graph.
  Program(Backend& backend, Graph graph, ModelState& state, const Collectives& collectives,
          std::shared_ptr<InputSlots> slots, Options options);
  ~Program();
  Program(Program&&) noexcept;

  /// Uploads one packed batch (the graph's inputs in order, the last of them step_state) into `slot`, which the device
  /// may still be reading from an earlier step. Returns when `inputs` may be overwritten.
  UploadTimes upload(int slot, std::span<const std::span<const std::byte>> inputs);
  /// Launches the recording of this slot. The CPU has done it on return; a device has it enqueued.
  void step(int slot);
  /// Of the last step that was launched in this slot. Empty where the device has not ended it yet. Waits for nothing.
  [[nodiscard]] std::optional<StepTimes> times(int slot) const;
  /// What a step launches in this slot, in the order of graph()'s nodes. Empty before the first upload.
  [[nodiscard]] std::span<const Launch> launches(int slot) const noexcept;
  /// Of launch `at` of the last step in this slot. Empty without Options::timed, or where a device has not ended it.
  [[nodiscard]] std::optional<LaunchTimes> times(int slot, std::size_t at) const;
  /// Of the last step that was launched in this slot: waits for that one, and for none that was launched behind it.
  /// Contract: the graph updates parameters.
  [[nodiscard]] StepResult result(int slot) const;
  [[nodiscard]] const Graph& graph() const noexcept;  ///< as compiled (fused)
  [[nodiscard]] const MemoryPlan& memory() const noexcept;
  [[nodiscard]] std::size_t scratch_bytes() const noexcept;  ///< of all lanes
  /// f32 in logical order; waits for the step. Contract: f32, bf16 or f16, and not overwritten by the end of the step.
  [[nodiscard]] std::vector<float> read(std::string_view tensor) const;
  /// In logical order, into what the step in slot 0 has of it. Contract: as for read().
  void write(std::string_view tensor, std::span<const float> values);
  /// Node `at` of graph() once more by itself, on what lies in its operands in slot 0; waits for it. Contract: not
  /// before a step.
  void execute(std::size_t at);
  [[nodiscard]] Profile profile(int slot);  ///< of the batch in `slot`; takes a real step

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What a backend would make of a graph: its fused form and the memory it would take, without taking any.
struct Blueprint {
  Graph graph;
  std::size_t pool_bytes = 0;                      ///< activations
  std::size_t unshared_bytes = 0;                  ///< what they would take without reuse
  std::size_t scratch_bytes = 0;                   ///< of all lanes
  std::vector<std::int64_t> scratch_traffic = {};  ///< by node: see Planned
};
/// Plans every node. Raises Error{environment} with what the backend refuses.
[[nodiscard]] Blueprint plan_only(Backend& backend, Graph graph);

}  // namespace trainmark
