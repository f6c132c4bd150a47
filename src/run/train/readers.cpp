#include "run/train/readers.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <system_error>
#include <utility>

namespace trainmark {
namespace {

constexpr int steps_of_window = 8;
constexpr double worth_it = 0.02;      // of a window's time spent waiting
constexpr double margin = 1.25;        // over what steps take: readers are not equally fast all the time
constexpr double least_gain = 1.05;    // of the rate, or more readers are of no use
constexpr double least_on_cpu = 0.02;  // of a reader's time; below that the clock of the CPU tells nothing
constexpr int readers_a_cpu = 4;
constexpr int most_readers = 64;  // of a rank; one process asks a file system no faster

double cpu_share_of(const InputWindow& window) {
  return std::clamp(window.cpu_seconds / window.read_seconds, least_on_cpu, 1.0);
}

}  // namespace

ReaderLimits reader_limits(int cpus, std::int64_t local_batch, std::size_t batch_bytes, int prefetch,
                           double memory_bytes) {
  const std::int64_t wanted = std::clamp(readers_a_cpu * cpus, 1, most_readers);
  const double slots = memory_bytes / (2.0 * static_cast<double>(batch_bytes));
  const auto affordable = static_cast<std::int64_t>(std::clamp(slots - 1.0, 0.0, 4096.0));  // one is with the consumer
  const std::int64_t deep = std::min((wanted + local_batch - 1) / local_batch, affordable);
  ReaderLimits limits;
  limits.prefetch = std::max(prefetch, static_cast<int>(deep));
  limits.threads = static_cast<int>(std::min(wanted, local_batch * limits.prefetch));
  return limits;
}

int readers_wanted(const InputWindow& window, int now, int most, double cpus) {
  if (window.waited_seconds < worth_it * window.seconds || window.samples_read == 0 || window.read_seconds <= 0.0)
    return now;
  const double a_sample = window.read_seconds / static_cast<double>(window.samples_read);
  const double working = std::max(window.seconds - window.waited_seconds, 1e-3 * window.seconds);
  const double enough = std::ceil(margin * a_sample * static_cast<double>(window.samples) / working);
  const double busy = std::floor(cpus / cpu_share_of(window));
  // They did wait: so many are too few, whatever the arithmetic says.
  const double wanted = std::max(enough, now + 1.0);
  return std::max(now, static_cast<int>(std::min({wanted, busy, static_cast<double>(most)})));
}

Readers::Readers(Loader& loader, std::string split, int most, double cpus)
    : loader_(loader), split_(std::move(split)), most_(most), threads_(loader.stats().threads), cpus_(cpus) {
  if (most_ > threads_) why_ = "its steps did not wait for input";
}

std::optional<std::string> Readers::took(double seconds, double waited_seconds, std::int64_t samples, bool ends) {
  if (threads_ >= most_) return std::nullopt;
  window_.seconds += seconds;
  window_.waited_seconds += waited_seconds;
  window_.samples += samples;
  if (++steps_ < steps_of_window && !ends) return std::nullopt;
  const InputWindow window = whole_window();
  const int wanted = readers_wanted(window, threads_, most_, cpus_);
  if (wanted == threads_) {
    rate_before_ = 0.0;  // what the last ones brought is known: enough
    return std::nullopt;
  }
  const double rate = static_cast<double>(window.samples) / window.seconds;
  const double before = std::exchange(rate_before_, rate);
  if (rate >= least_gain * before) return add(wanted - threads_, window);
  most_ = threads_;
  why_ = fmt::format("more made nothing faster: {:.4g} samples/s are what there is to be read", rate);
  std::string line = fmt::format("{}: it stays at {} readers: {}", split_, threads_, why_);
  diagnose(LogLevel::info, [&] { return line; });
  return line;
}

/// What was heard of, with what the readers did meanwhile; another one begins.
InputWindow Readers::whole_window() {
  const LoaderStats now = loader_.stats();
  window_.read_seconds = now.read_seconds - before_.read_seconds;
  window_.cpu_seconds = now.cpu_seconds - before_.cpu_seconds;
  window_.samples_read = now.samples - before_.samples;
  before_ = now;
  steps_ = 0;
  return std::exchange(window_, {});
}

std::optional<std::string> Readers::add(int more, const InputWindow& window) {
  const int before = threads_;
  std::string refused;
  try {
    loader_.add_threads(more);
  } catch (const std::system_error& error) {
    refused = fmt::format("; the system starts no more ({})", error.code().message());
  }
  threads_ = loader_.stats().threads;
  if (!refused.empty()) most_ = threads_;
  why_ = fmt::format("one takes {:.3g} ms for a sample, and {} samples are wanted every {:.3g} ms{}",
                     1e3 * window.read_seconds / static_cast<double>(window.samples_read), window.samples,
                     1e3 * (window.seconds - window.waited_seconds), refused);
  std::string line = fmt::format("{}: {} readers instead of {}: {} ({:.0f} % of that time was waited for input)",
                                 split_, threads_, before, why_, 100.0 * window.waited_seconds / window.seconds);
  diagnose(LogLevel::info, [&] { return line; });
  return line;
}

}  // namespace trainmark
