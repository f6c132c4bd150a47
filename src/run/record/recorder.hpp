// What is recorded of a run as it goes and when it has ended: its figures, its last lines, its exit code.
#pragma once

#include "run/launch/kept.hpp"
#include "run/launch/session.hpp"
#include "run/record/energy.hpp"
#include "run/record/start_up.hpp"
#include "run/train/journal.hpp"

namespace trainmark {

class Recorder {
 public:
  Recorder(const World& world, const RunOptions& options, Results& results, Timeline& timeline, Progress& progress);
  void launch(const Backend& backend, const RunContext& context);  ///< env.json, first lines, oversubscription
  void initialised(const Compiled& compiled, const Backend& backend);
  void staged(const StagedDataset& dataset, bool before_clock);
  void stages_beside(bool all_there);  ///< training begins while staging goes on, or finds that nothing is missing
  /// How that ended, with what this rank's loaders read. Collective.
  void staged_beside(StagedDataset dataset, PlaceStats mine);
  void keeps(const KeptMemory& kept);     ///< where samples are to be kept
  void reads(const Dataset& found);       ///< what the node will read, and whether that measures storage
  void started(const StartUp& start_up);  ///< before the first step
  /// By this rank's meter and its device's counter, before completed().
  void consumed(const std::optional<NodeEnergy>& node, const std::optional<double>& device_joules);
  [[nodiscard]] RunOutcome completed(const TrainOutcome& outcome, const LoaderStats& input);
  void failed(const std::exception& error);

 private:
  [[nodiscard]] bool emulates() const { return options_.backend.device == DeviceChoice::emulated; }
  void judge(RunOutcome& outcome);
  void timed(const std::vector<NodeTime>& nodes);
  void tell_of_target();
  void tell_of_nodes(const StagedDataset& dataset);
  void tell_of_threads(const Backend& backend, const Placement& placement);
  void tell_of_last_rank(const TrainOutcome& trained);
  void tell_of_device(const TrainOutcome& trained);
  void tell_of_energy(const TrainOutcome& trained);

  const World& world_;
  const RunOptions& options_;
  Results& results_;
  Timeline& timeline_;
  Progress& progress_;
  RunRecord record_;
  std::optional<NodeEnergy> energy_;
  std::optional<double> device_joules_;
  double staging_s_ = 0.0;
  bool staged_inside_clock_ = false;
  bool staged_beside_ = false;
};

}  // namespace trainmark
