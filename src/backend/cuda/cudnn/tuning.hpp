// Choosing among several plans of one graph by time: the choice alone, which needs no device, and the trial on one.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "backend/cuda/cudnn/graphs.hpp"

namespace trainmark::cuda {

/// Seconds of one execution of a candidate, or nothing where it fails.
using TimeCandidate = std::function<std::optional<double>(std::size_t candidate)>;

/// The candidate of the least median; of equals the first, which the heuristics prefer. Candidates take turns, so that
/// a clock that falls or a neighbour's load meets all of them alike. Who fails once is out, and so is, after its first
/// turn, who takes several times as long as the best: there are engines that take seconds where others take
/// milliseconds. The last one left is it; nothing where all fail.
[[nodiscard]] std::optional<std::size_t> fastest(std::size_t candidates, const TimeCandidate& time);

/// Executes candidates on the current device, on memory of their own (`operand_bytes`, inputs first, all zero). Raises
/// Error{environment} where that memory is not there, Error{communication} where the device is lost.
[[nodiscard]] Trial try_on_device(std::span<const std::shared_ptr<CompiledGraph>> candidates,
                                  std::span<const std::size_t> operand_bytes);
/// Leaves a line in the diagnostics with what each engine took for this graph.
void tell_of_trial(const std::string& key, std::span<const std::shared_ptr<CompiledGraph>> candidates,
                   const Trial& trial);

}  // namespace trainmark::cuda
