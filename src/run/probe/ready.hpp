// One operation of a backend made ready with operands of its own, to be timed by itself.
#pragma once

#include <memory>
#include <vector>

#include "trainmark/exec.hpp"

namespace trainmark {

class Ready {
 public:
  /// Operands with random values, but for those that nobody wrote yet where `filled` is false. Raises what planning and
  /// allocating raise.
  Ready(Backend& backend, const Op& op, const Operands& operands, bool filled = true);
  void run(int times);  ///< enqueues it so many times and waits
  /// One operand becomes the other: of an operation with one input and one output of a size.
  void swap_operands() { std::swap(args_.at(0), args_.at(1)); }

 private:
  Arena& memory(std::size_t bytes);

  Backend& backend_;
  Planned planned_;
  std::vector<std::unique_ptr<Arena>> memory_;
  std::vector<void*> args_;
};

}  // namespace trainmark
