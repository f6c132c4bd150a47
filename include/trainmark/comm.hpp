// The control plane: who takes part in a run, and how all of them come to the same decision. Bulk data (gradients)
// travel through the backend's collectives, not through here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark {

/// A set of ranks with collective operations. A value: copies share one communicator. Every call is collective unless
/// it says otherwise, raises Error{communication} when MPI reports one, and chunks counts above 2^31 itself.
class Group {
 public:
  struct Impl;
  explicit Group(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

  [[nodiscard]] int rank() const noexcept;  ///< local
  [[nodiscard]] int size() const noexcept;  ///< local
  void barrier() const;
  void broadcast(std::span<std::byte> bytes, int root = 0) const;
  [[nodiscard]] std::string broadcast(std::string text, int root = 0) const;  ///< any length; root's text on all
  void sum(std::span<double> values) const;                                   ///< in place
  void max(std::span<double> values) const;                                   ///< in place
  void sum(std::span<std::int64_t> values) const;                             ///< in place
  [[nodiscard]] std::vector<std::uint64_t> all_gather(std::uint64_t value) const;
  [[nodiscard]] std::vector<double> all_gather(double value) const;
  [[nodiscard]] std::vector<std::string> gather(const std::string& text, int root = 0) const;  ///< empty but on root
  [[nodiscard]] std::vector<std::string> all_gather(const std::string& text) const;
  /// Ranks of equal colour form a new group, ordered by rank here.
  [[nodiscard]] Group split(int colour) const;
  [[nodiscard]] Group neighbours(
      int count) const;                   ///< the `count` ranks in a row that this one is among; divides size()
  [[nodiscard]] Group duplicate() const;  ///< same ranks, a context of its own (one per lane)
  [[nodiscard]] const Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

/// Where this process stands among the others. A value: copies share what they are made of. Mpi has the real one.
class World {
 public:
  [[nodiscard]] const Group& all() const noexcept;
  [[nodiscard]] const Group& node() const noexcept;  ///< the ranks that share this node's memory
  [[nodiscard]] int nodes() const noexcept;
  [[nodiscard]] int node_index() const noexcept;  ///< nodes are numbered by their lowest rank
  [[nodiscard]] bool thread_multiple() const noexcept;
  [[nodiscard]] double init_seconds() const noexcept;  ///< time spent in MPI_Init_thread
  [[nodiscard]] const std::string& host() const noexcept;
  [[nodiscard]] std::string library_version() const;

  /// Ends every rank with `code` at once (MPI_Abort). For what cannot be agreed upon.
  [[noreturn]] void abort(ExitCode code) const noexcept;
  /// Whether abort() was called: then MPI's exit() is this program's own.
  [[nodiscard]] static bool aborting() noexcept;

  struct Impl;
  explicit World(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

 private:
  std::shared_ptr<const Impl> impl_;
};

/// MPI's life in this process, from its start to its end. Made once; a world of one needs no launcher.
class Mpi {
 public:
  /// Initialises MPI with MPI_THREAD_MULTIPLE where offered and MPI_ERRORS_RETURN set; finalises when destroyed, unless
  /// an exception is unwinding (the other ranks would wait for ever: abort() is called instead by whoever catches it).
  Mpi(int& argc, char**& argv);
  ~Mpi();
  Mpi(const Mpi&) = delete;
  Mpi& operator=(const Mpi&) = delete;
  [[nodiscard]] const World& world() const noexcept { return *world_; }

 private:
  bool initialised_here_ = false;
  int exceptions_ = 0;  ///< in flight when it was made
  std::unique_ptr<World> world_;
};

/// A world that is not there, as `rank` of `ranks` evenly on `nodes` would see it: for planning what a launch of any
/// size would do. Its groups answer at once, as if every rank had said what this one says. No backend sums over it.
[[nodiscard]] World pretended_world(int ranks, int nodes = 1, int rank = 0);

/// What this rank may use of its node's CPUs beside the node's other ranks.
struct CpuShare {
  int cpus = 1;              ///< its own, or its part of those that it has in common with others
  double quota = 0.0;        ///< CPUs' worth of time, its part of the tightest control group's; 0: no limit
  std::string quota_source;  ///< "1.5 CPUs (/sys/fs/cgroup/...)": the whole group's; empty: no limit
  [[nodiscard]] int threads() const noexcept;  ///< that can compute at a time, at least 1
};
/// Collective over the node.
[[nodiscard]] CpuShare cpu_share(const World& world);

/// What one rank has to say after its local work. Success has an empty message.
struct Status {
  ExitCode code = ExitCode::success;
  std::string message;
  Complaint complaint{};
  [[nodiscard]] bool ok() const noexcept { return code == ExitCode::success; }
};

/// An Error that every rank raises alike, so that all of them leave in order.
class AgreedError : public Error {
 public:
  using Error::Error;
};

/// Collective: all ranks learn whether all succeeded. Where some failed, every rank raises the same AgreedError: the
/// lowest failing rank's code and message, with the number of ranks that failed and (if not all) which.
void agree(const Group& group, const Status& mine);

/// Lets ranks whose work is done see that the others' goes on, so that a long wait can be told from a hang, and ends
/// the work of all soon after one failed: signs of life go round, and a round that one rank does not join never ends.
class Pulse {
 public:
  /// What beat() raises where another rank failed: this one's work is of no use any more. No Error: it is not this
  /// rank's, and nobody is to report it.
  struct Cancelled {};

  /// Collective. `alive` is called in wait() after each round, by default no more often than twice a second.
  explicit Pulse(const Group& group, std::function<void()> alive, double interval_seconds = 0.5);
  ~Pulse();
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;
  void beat();             ///< a sign of life, as often as one likes; local. Raises Cancelled, within two intervals
  void wait(bool failed);  ///< collective, after the work: until all ranks wait

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Blocks on their way from one rank of a group to all, several at a time. Every rank starts and awaits the same ones
/// in the same order.
class BlockRing {
 public:
  BlockRing(const Group& group, std::size_t slots, std::size_t slot_bytes);
  ~BlockRing();
  BlockRing(const BlockRing&) = delete;
  BlockRing& operator=(const BlockRing&) = delete;
  [[nodiscard]] std::size_t slots() const noexcept;
  /// Where a block is put on the rank that sends it, before start(), and found on all after wait().
  [[nodiscard]] std::span<std::byte> slot(std::size_t number) const;
  void start(std::size_t number, std::size_t bytes, int root);
  void wait(std::size_t number);  ///< until it is here

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Runs `work` and turns what it raises into a Status.
template <class Work>
[[nodiscard]] Status status_of(Work&& work) {
  try {
    work();
  } catch (const std::exception& error) {
    Failure failure = failure_of(error);
    return {failure.code, std::move(failure.message), std::move(failure.complaint)};
  }
  return {};
}

/// Runs `work` on this rank, turns an Error into a Status, and agrees. So "rank 7 cannot read its file" is one message
/// and every rank leaves with the same code.
template <class Work>
void agree_on(const Group& group, Work&& work) {
  agree(group, status_of(work));
}

/// The same for long work that calls pulse.beat() as it goes: one rank's failure cancels the others' work.
template <class Work>
void agree_on(const Group& group, Pulse& pulse, Work&& work) {
  const Status mine = status_of([&] {
    try {
      work();
    } catch (const Pulse::Cancelled&) {  // whoever failed says why
    }
  });
  pulse.wait(!mine.ok());
  agree(group, mine);
}

/// Collective: raises AgreedError{environment} naming the ranks whose `fingerprint` differs from rank 0's. `subject` is
/// what is compared, e.g. "the trainmark binary"; `remedy` what to do about it.
void require_equal(const Group& group, std::string_view subject, std::uint64_t fingerprint, std::string_view remedy);

}  // namespace trainmark
