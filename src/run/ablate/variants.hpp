// The step of a run with one thing off at a time, and how each variant takes its turn.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "run/record/step_log.hpp"
#include "run/train/feed.hpp"
#include "trainmark/models.hpp"

namespace trainmark {

/// The programs of one step.
struct StepPrograms {
  Program* train = nullptr;
  Program* accumulate = nullptr;  ///< of a step's batches before the last; null where there is but one
};

/// loaded: batches come from the loader; uploaded: one batch of the host's goes up each time; resident: it is there.
enum class Feeding : std::uint8_t { loaded, uploaded, resident };

/// Programs of steps that share a state and a run's input slots. Backend and state outlive it.
class StepShelf {
 public:
  StepShelf(Backend& backend, ModelState& state)
      : backend_(backend), state_(state), slots_(make_input_slots(backend)) {}
  /// Before any of them is used.
  [[nodiscard]] StepPrograms add(const StepGraphs& graphs, const Collectives& collectives, Program::Options how);
  /// As add(), of programs that may find no plan, or no room beside those that stand here: then the shelf stays as it
  /// was, on all ranks, and the AgreedError says why. Collective.
  [[nodiscard]] StepPrograms try_to_add(const Group& ranks, const StepGraphs& graphs, const Collectives& collectives,
                                        Program::Options how);

 private:
  Backend& backend_;
  ModelState& state_;
  std::shared_ptr<InputSlots> slots_;
  std::vector<std::unique_ptr<Program>> owned_;
};

struct Variant {
  std::string name;     ///< a word, for programs
  std::string meaning;  ///< for people
  StepPrograms programs;
  Feeding feeding = Feeding::loaded;
  Loader* loader = nullptr;  ///< loaded
  bool looks = true;         ///< the host reads each step's loss once the next one was launched, as training does
};

/// What all variants share: data, model, input slots.
struct Bench {  // all of it outlives the turns
  const World& world;
  Backend& backend;
  ModelState& state;
  std::int64_t local_batch = 1;
  std::int64_t batches_a_step = 1;
  int lead_steps = 2;             ///< untimed, before each turn: until a loader that could read ahead no longer helps
  std::function<void()> alive{};  ///< called each step
};

/// Whether an error is of a kind by which a device, or its memory, refuses a variant.
[[nodiscard]] bool may_be_left_out(const Error& error);

/// Takes turns. Each begins from the same model, and updates at a rate of zero: whatever ranks do not sum, they stay
/// equal, and no loss goes astray.
class Turns {
 public:
  /// `first`: a batch as the loader packs it.
  Turns(const Bench& bench, const Batch& first);
  /// Collective. Launches the programs of a variant as often as it takes until all launches are alike, without its
  /// loader.
  void settle(const Variant& variant);
  /// Why a device or its memory refuses that, the same on all ranks; empty where nothing does. Raises what a rank meets
  /// alone, while the others are in a step that it will never join, and what is no refusal.
  [[nodiscard]] std::string refusal(const Variant& variant);
  /// Collective. Seconds a step, by rank.
  [[nodiscard]] std::vector<double> take(const Variant& variant, int steps);
  /// Of all turns of loaded variants.
  [[nodiscard]] const StepLog& log() const noexcept { return log_; }

 private:
  void upload_batch(const Variant& variant);
  void loaded_steps(const Variant& variant, int steps, bool timed);
  void fixed_steps(const Variant& variant, int steps);

  Bench bench_;
  Group meeting_;  // a context of its own: a rank that failed comes to it while others may be in a step
  std::vector<std::pmr::vector<std::byte>> batch_;  // pinned: fields, then the step's state
  std::vector<std::span<const std::byte>> inputs_;
  std::vector<std::byte> before_;  // the model
  Feed feed_;
  std::optional<int> waiting_;
  Feed::Brought brought_;  // what it took to bring the batch that waits
  StepLog log_;
};

}  // namespace trainmark
