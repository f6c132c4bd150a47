// How many reader threads a loader has, where a config leaves that to the run: one to begin with, and more once steps
// turn out to wait for input. Judged by what the steps and the readers really took, of which nothing is known before
// the clock starts: the data must not be touched then, and what a sample costs depends on all ranks' readers together.
#pragma once

#include <optional>
#include <string>

#include "trainmark/load.hpp"

namespace trainmark {

/// What there may be of readers, and the ring that gives each of them a sample to work on.
struct ReaderLimits {
  int threads = 1;
  int prefetch = 1;  ///< batches; at least as many as were asked for
};
/// For a rank that has `cpus` and whose two rings, of training and validation, may take `memory_bytes`. A reader that
/// waits for storage needs no CPU, so there may be several for each; what CPUs they do need Readers sees to.
[[nodiscard]] ReaderLimits reader_limits(int cpus, std::int64_t local_batch, std::size_t batch_bytes, int prefetch,
                                         double memory_bytes);

/// What a few steps took on this rank, and its readers meanwhile.
struct InputWindow {
  double seconds = 0.0;         ///< of the steps, waits included
  double waited_seconds = 0.0;  ///< of these: for input, while nothing ran that would have hidden it
  std::int64_t samples = 0;     ///< that the steps took
  double read_seconds = 0.0;    ///< summed over readers
  double cpu_seconds = 0.0;     ///< of these: on a CPU
  std::int64_t samples_read = 0;
};
/// How many readers such steps want instead of `now`, at most `most`, who together may keep `cpus` busy: the least that
/// read a quarter faster than steps take samples where they do not wait. `now` where they hardly waited.
[[nodiscard]] int readers_wanted(const InputWindow& window, int now, int most, double cpus);

/// Those of one loader, which must outlive it.
class Readers {
 public:
  /// Up to `most` threads; where that is no more than the loader has, nothing is ever changed.
  Readers(Loader& loader, std::string split, int most, double cpus);
  /// Hears of a step, but the first, which waits for what begins with it, or of an evaluation, which is a window by
  /// itself (`ends`). At the end of a window of which steps waited, readers are added; where the last ones made nothing
  /// faster, no more come. Returns, and tells its diagnostics, what it did.
  std::optional<std::string> took(double seconds, double waited_seconds, std::int64_t samples, bool ends);
  [[nodiscard]] int threads() const noexcept { return threads_; }
  [[nodiscard]] const std::string& why() const noexcept { return why_; }  ///< there are so many; empty: as configured

 private:
  [[nodiscard]] InputWindow whole_window();
  std::optional<std::string> add(int more, const InputWindow& window);

  Loader& loader_;
  std::string split_;
  int most_, threads_;
  double cpus_;
  int steps_ = 0;  // of the window
  InputWindow window_;
  LoaderStats before_;        // at its beginning
  double rate_before_ = 0.0;  // samples/s of the window that the last readers were added after; 0: none were
  std::string why_;
};

}  // namespace trainmark
