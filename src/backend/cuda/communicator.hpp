// One NCCL communicator. NCCL is used without blocking: every call may still be under way when it returns and is
// polled, with a limit, so that a peer which never comes is a message and not a hang.
#pragma once

#include <nccl.h>

#include <future>
#include <mutex>
#include <string>

#include "backend/cuda/collective.hpp"
#include "backend/cuda/streams.hpp"

namespace trainmark::cuda {

/// The mutex guards the handle for the length of one call, none of which blocks: another thread may poll or abort in
/// between. Whatever raises here has code communication.
class Communicator {
 public:
  /// Collective. `options` with a limit.
  Communicator(const Group& group, const CollectiveOptions& options);
  /// Where all is well all ranks come here. Waits for an abort that is under way, but not for ever.
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  /// `type`: f32, f64, bf16 or f16.
  void sum(cudaStream_t stream, void* values, std::int64_t count, DType type);
  /// Waits for a stream with this communicator's limit, for sums at which all ranks arrive together.
  void wait_for(cudaStream_t stream, const char* what);
  /// Raises where NCCL has met an error since.
  void poll();

  /// Ends sums under way and returns at once. NCCL's own abort, in a thread of its own, ends only when no captured
  /// graph holds this communicator any more: whoever raises because of it unwinds, which destroys the graphs.
  void abort(const std::string& reason) noexcept;
  /// A call that failed while a step was captured: sums launched before go on, and no other call will be taken. Ends
  /// when its last owner lets go.
  void spoil(const std::string& reason);
  [[nodiscard]] bool spoilt() const;

 private:
  template <class Call>
  void call(const char* what, Call&& make);
  void watch(bool on);
  [[nodiscard]] ncclComm_t take(const std::string& reason) noexcept;
  [[nodiscard]] ncclResult_t state_of() const;
  [[nodiscard]] bool usable() const;
  [[nodiscard]] std::string place() const;
  [[nodiscard]] std::string peers() const;
  void require_usable() const;
  void end(const std::string& reason);
  void await_abort() const;  ///< with a limit
  [[noreturn]] void fail(ncclResult_t result, const char* what, std::unique_lock<std::mutex>& lock);
  [[noreturn]] void fail_late(const char* what);

  CollectiveOptions options_;
  int rank_, size_, unwinding_;
  mutable std::mutex mutex_;
  ncclComm_t comm_ = nullptr;
  bool joined_ = false, watched_ = false;
  std::string ended_because_, spoilt_because_;
  std::future<void> aborted_;
  Watch watch_{[this] { poll(); }};
};

}  // namespace trainmark::cuda
