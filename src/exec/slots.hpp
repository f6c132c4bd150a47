// The memory that programs of one state share (see exec.hpp). Internal to exec.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "trainmark/exec.hpp"

namespace trainmark {

struct InputSlots {
  static constexpr int count = 2;
  static constexpr std::size_t lanes = 3;

  explicit InputSlots(Backend& owner);
  /// What a program will want. Contract: nothing grows once the memory is fixed.
  void want_pool(std::size_t bytes);
  void want_scratch(Lane lane, std::size_t bytes);
  void want_input(const std::string& name, std::size_t bytes);
  /// Allocates what was asked for; later calls do nothing.
  void fix();

  /// What programs want, by itself.
  struct Wishes {
    std::size_t pool_bytes = 0;
    std::array<std::size_t, lanes> scratch_bytes{};
    std::vector<std::pair<std::string, std::size_t>> inputs;  // name, bytes of one slot
  };
  [[nodiscard]] const Wishes& wishes() const noexcept { return wishes_; }
  /// Contract: not fixed.
  void want_instead(Wishes wishes);
  /// Allocates what was asked for and gives it back. Contract: not fixed.
  void try_out();

  [[nodiscard]] std::byte* input(int slot, const std::string& name) const;  ///< contract: fixed
  [[nodiscard]] std::byte* scratch(Lane lane) const {
    return memory_->scratch.at(static_cast<std::size_t>(lane))->data();
  }
  [[nodiscard]] std::byte* pool() const { return memory_->pool.data(); }

  /// Of the upload that has just ended in `slot`. Waits for nothing.
  [[nodiscard]] UploadTimes upload_times(int slot) const;

  /// Order uploads and steps whose streams run by themselves.
  std::array<std::unique_ptr<StreamEvent>, count> uploaded, used;
  std::unique_ptr<StreamEvent> upload_begun;
  std::array<std::unique_ptr<StreamEvent>, count> step_begun;
  const StreamEvent* last_used = nullptr;  ///< where the last step of any program ends; null before the first

 private:
  struct Memory {
    Memory(Backend& backend, const Wishes& wishes);
    Arena pool;
    std::array<std::unique_ptr<Arena>, lanes> scratch;
    std::vector<std::array<std::unique_ptr<Arena>, count>> inputs;  // in the order of the wishes
  };
  void grow(std::size_t& size, std::size_t bytes) const;

  Backend& backend_;
  Wishes wishes_;
  std::unique_ptr<Memory> memory_;  // null until it is fixed
};

}  // namespace trainmark
