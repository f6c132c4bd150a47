// A graph made ready on one rank: where its state lives, how activations share memory, and the step as one launch.
#pragma once

#include <memory>
#include <string>
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

/// Parameters, gradients (with the loss value behind them), optimizer slots and metric sums: one arena each, in logical
/// order and the order of the reference's tensors, without padding. Owned by the run, shared by its programs.
class ModelState {
 public:
  struct Entry {
    std::string name;
    Shape shape;
    std::int64_t offset = 0;  // elements
  };
  ModelState(Backend& backend, const Graph& graph, int slots);

  /// Glorot-uniform weights and zero biases as a function of (seed, tensor, element): equal on all ranks, no broadcast.
  void initialise(std::uint64_t seed);
  [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }
  [[nodiscard]] float* parameters() const noexcept;
  [[nodiscard]] float* gradients() const noexcept;
  [[nodiscard]] float* slot(int index) const noexcept;
  [[nodiscard]] double* metrics() const noexcept;  ///< |p - y| sum, (p - y)^2 sum, outputs counted
  [[nodiscard]] std::int64_t parameter_elements() const noexcept { return elements_; }

  /// XXH3 of parameters and slots, for proving that ranks agree.
  [[nodiscard]] std::uint64_t hash() const;
  [[nodiscard]] std::vector<float> read(const float* from, std::int64_t count) const;  ///< device to host
  void write(float* to, std::span<const float> values);
  [[nodiscard]] float loss() const;  ///< summed over ranks after a step
  [[nodiscard]] std::array<double, 3> metric_sums() const;
  void clear_metrics();

  /// A copy of parameters and slots, and its return (used by warm-up).
  [[nodiscard]] std::vector<float> snapshot() const;
  void restore(std::span<const float> snapshot);

 private:
  Backend& backend_;
  std::vector<Entry> entries_;
  std::int64_t elements_ = 0;
  int slots_ = 0;
  std::unique_ptr<Arena> parameters_, gradients_, slot_arena_, metrics_;
};

/// Where each activation of a graph lies in one pool: offsets from liveness over the whole step.
struct MemoryPlan {
  std::vector<std::int64_t> offset;  ///< bytes, by tensor id; -1: not in the pool
  std::size_t pool_bytes = 0;
  std::size_t unshared_bytes = 0;    ///< what the same activations would take without reuse
};
struct Alias {
  TensorId output = 0;
  TensorId input = 0;
};
[[nodiscard]] MemoryPlan plan_memory(const Graph& graph, const std::vector<std::size_t>& bytes, const std::vector<Alias>& in_place,
                                     bool reuse = true);

/// The pool that training and evaluation share, and the two input slots.
struct InputSlots;

/// A compiled graph: plans, memory and one recording per input slot. Compiling allocates; a step does not.
class Program {
 public:
  struct Options {
    bool fuse = true;
    bool reuse = true;  ///< of activation memory
  };
  Program(Backend& backend, Graph graph, ModelState& state, Collective& collective, std::shared_ptr<InputSlots> slots,
          Options options);
  ~Program();
  Program(Program&&) noexcept;

  /// Uploads one packed batch (the graph's inputs in order, the last of them step_state) into `slot`.
  void upload(int slot, std::span<const std::span<const std::byte>> inputs);
  void step(int slot);  ///< launches the recording of this slot and waits on the CPU
  [[nodiscard]] const Graph& graph() const noexcept;         ///< as compiled (fused)
  [[nodiscard]] const MemoryPlan& memory() const noexcept;
  [[nodiscard]] std::vector<float> read(std::string_view tensor) const;  ///< logical order; contract: alive at the step's end
  [[nodiscard]] Profile profile(int slot);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Device memory for the inputs of programs that share a state: two slots of each input, and one activation pool that
/// grows while programs are compiled and is then fixed.
[[nodiscard]] std::shared_ptr<InputSlots> make_input_slots(Backend& backend);

}  // namespace trainmark
