// A ring of batches that reader threads fill and the consumer empties in order. Threads take single samples, so all of
// them work on the batch that is needed next; the ring bounds what is read ahead, across the ends of epochs.
#include <pthread.h>
#include <time.h>

#include <condition_variable>
#include <csignal>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>

#include "trainmark/load.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace {

constexpr std::size_t alignment = 64;  // of each field, so that copies and kernels may use whole vectors

std::size_t aligned(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

std::size_t slots_of(const LoadOptions& options) {
  return static_cast<std::size_t>(options.prefetch) + 1;  // one is with the consumer
}

/// Signals belong to the thread that waits for them: threads made while this lives have them blocked.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_{};
};

/// Of the calling thread.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

struct Slot {
  Batch batch;
  std::vector<std::int64_t> ids;
  std::vector<std::span<std::byte>> fields;
  std::int64_t claimed = 0;  ///< samples given to a reader
  std::int64_t done = 0;     ///< samples read, or failed
  std::exception_ptr failure;
  [[nodiscard]] bool complete() const noexcept { return done == batch.valid; }
};

}  // namespace

LoaderBlock loader_block(const DataSchema& schema, std::int64_t local_batch, const LoadOptions& options) {
  std::size_t slot_bytes = 0;
  for (const Field& field : schema.fields)
    slot_bytes += aligned(field.bytes() * static_cast<std::size_t>(local_batch));
  return {slot_bytes * slots_of(options), alignment};
}

struct Loader::Impl {
  Impl(SampleSource& from, const DataSchema& of, Sampling sampling, std::pmr::memory_resource& resource,
       LoadOptions options);
  ~Impl();
  void stop();  ///< joins the readers and gives the block back

  void start_threads(int count);
  void run();
  bool prepare(std::unique_lock<std::mutex>& lock);
  bool read_one(std::unique_lock<std::mutex>& lock, SampleView& view);
  void quiesce(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] Slot& slot_of(std::uint64_t sequence) { return slots[sequence % slots.size()]; }

  SampleSource& source;
  DataSchema schema;
  Sampler sampler;
  std::pmr::memory_resource& memory;
  std::byte* block = nullptr;
  std::size_t block_bytes = 0;
  std::vector<Slot> slots;

  std::mutex mutex;
  std::condition_variable work, arrived;
  // Sequence numbers of batches since start. [released, prepared) are in the ring; next() returns `consumed` next, and
  // between its calls the consumer holds the batch before that.
  std::uint64_t prepared = 0, consumed = 0, released = 0;
  std::int64_t epoch = 0, step = 0;            // of the batch to prepare next
  std::int64_t next_epoch = 0, next_step = 0;  // of the batch that next() returns
  bool started = false, stopping = false, preparing = false, paused = false;
  int reading = 0;
  LoaderStats stats;
  std::vector<std::thread> threads;
};

Loader::Impl::Impl(SampleSource& from, const DataSchema& of, Sampling sampling, std::pmr::memory_resource& resource,
                   LoadOptions options)
    : source(from), schema(of), sampler(std::move(sampling)), memory(resource) {
  TRAINMARK_CHECK(options.threads > 0 && options.prefetch > 0, "a loader has threads and reads ahead");
  const auto local = static_cast<std::size_t>(sampler.sampling().local_batch());
  slots.resize(slots_of(options));
  block_bytes = loader_block(schema, sampler.sampling().local_batch(), options).bytes;
  block = static_cast<std::byte*>(memory.allocate(block_bytes, alignment));
  std::byte* at = block;
  for (Slot& slot : slots) {
    slot.ids.reserve(local);
    for (const Field& field : schema.fields) {
      slot.fields.emplace_back(at, field.bytes() * local);
      slot.batch.fields.emplace_back(slot.fields.back());
      at += aligned(field.bytes() * local);
    }
  }
  try {
    start_threads(options.threads);
  } catch (...) {  // no more threads: those that started must not outlive this
    stop();
    throw;
  }
}

Loader::Impl::~Impl() { stop(); }

void Loader::Impl::start_threads(int count) {
  const BlockedSignals blocked;
  const OnAllCpus anywhere;
  for (int i = 0; i < count; ++i)
    threads.emplace_back([this] { run(); });
}

void Loader::Impl::stop() {
  {
    const std::lock_guard lock(mutex);
    stopping = true;
  }
  work.notify_all();
  for (std::thread& thread : threads)
    thread.join();
  memory.deallocate(block, block_bytes, alignment);
}

void Loader::Impl::run() {
  SampleView view(schema.fields.size());  // of this thread, so that a sample costs no allocation
  std::unique_lock lock(mutex);
  while (!stopping) {
    const bool moved = started && !paused && (read_one(lock, view) || prepare(lock));
    if (!moved && !stopping) work.wait(lock);
  }
}

/// Makes the next free slot ready: which samples go there. One thread at a time, without the lock, because the
/// permutation of a large epoch takes a while.
bool Loader::Impl::prepare(std::unique_lock<std::mutex>& lock) {
  if (preparing || prepared - released >= slots.size()) return false;
  preparing = true;
  Slot& slot = slot_of(prepared);
  slot.batch.epoch = epoch;
  slot.batch.step = step;
  lock.unlock();
  std::exception_ptr failure;
  try {
    sampler.batch(slot.batch.epoch, slot.batch.step, slot.ids);
  } catch (...) {
    failure = std::current_exception();
    slot.ids.clear();
  }
  const auto& ids = slot.ids;
  const std::size_t local = static_cast<std::size_t>(sampler.sampling().local_batch());
  for (std::size_t i = 0; i < slot.fields.size(); ++i) {
    const std::size_t used = schema.fields[i].bytes() * ids.size();
    if (ids.size() < local) std::memset(slot.fields[i].data() + used, 0, slot.fields[i].size() - used);
  }
  lock.lock();
  slot.batch.valid = static_cast<std::int64_t>(ids.size());
  slot.batch.ids = slot.ids;
  slot.claimed = slot.done = 0;
  slot.failure = failure;
  ++prepared;
  if (++step == sampler.sampling().steps_per_epoch()) {
    step = 0;
    ++epoch;
  }
  preparing = false;
  work.notify_all();
  arrived.notify_all();
  return true;
}

/// Reads one sample of the oldest batch that has unclaimed ones.
bool Loader::Impl::read_one(std::unique_lock<std::mutex>& lock, SampleView& view) {
  std::uint64_t sequence = released;
  while (sequence < prepared && slot_of(sequence).claimed == slot_of(sequence).batch.valid)
    ++sequence;
  if (sequence == prepared) return false;
  Slot& slot = slot_of(sequence);
  const auto place = static_cast<std::size_t>(slot.claimed++);
  ++reading;
  lock.unlock();
  const Clock clock;
  const double cpu_before = cpu_seconds();
  std::exception_ptr failure;
  ReadFrom from = ReadFrom::files;
  try {
    for (std::size_t i = 0; i < slot.fields.size(); ++i) {
      const std::size_t bytes = schema.fields[i].bytes();
      view[i] = slot.fields[i].subspan(place * bytes, bytes);
    }
    from = source.read({.sample = slot.ids[place], .epoch = slot.batch.epoch}, view);
  } catch (...) {
    failure = std::current_exception();
  }
  const double seconds = clock.seconds(), on_cpu = cpu_seconds() - cpu_before;
  lock.lock();
  --reading;
  stats.read_seconds += seconds;
  stats.cpu_seconds += on_cpu;
  stats.bytes += static_cast<std::int64_t>(schema.sample_bytes());
  ++stats.samples;
  if (from == ReadFrom::memory) {
    ++stats.samples_from_memory;
    stats.seconds_from_memory += seconds;
  }
  if (failure && !slot.failure) slot.failure = failure;
  ++slot.done;
  if (slot.complete() || paused) arrived.notify_all();
  return true;
}

/// Waits until no reader works, and keeps them from starting.
void Loader::Impl::quiesce(std::unique_lock<std::mutex>& lock) {
  paused = true;
  arrived.wait(lock, [&] { return reading == 0 && !preparing; });
}

Loader::Loader(SampleSource& source, const DataSchema& schema, Sampling sampling, std::pmr::memory_resource& memory,
               LoadOptions options)
    : impl_(std::make_unique<Impl>(source, schema, std::move(sampling), memory, options)) {}

Loader::~Loader() = default;

void Loader::start(std::int64_t epoch, std::int64_t step) {
  Impl& impl = *impl_;
  std::unique_lock lock(impl.mutex);
  // What was read ahead stays good if this is where the loader stands anyway.
  if (impl.started && impl.next_epoch == epoch && impl.next_step == step) return;
  impl.quiesce(lock);
  impl.prepared = impl.consumed = impl.released = 0;
  impl.epoch = impl.next_epoch = epoch;
  impl.step = impl.next_step = step;
  impl.started = true;
  impl.paused = false;
  impl.work.notify_all();
}

const Batch& Loader::next() {
  Impl& impl = *impl_;
  std::unique_lock lock(impl.mutex);
  TRAINMARK_CHECK(impl.started, "start() comes before next()");
  const Clock clock;
  // Only now is the batch of the last call free to be filled again.
  if (impl.released < impl.consumed) {
    impl.released = impl.consumed;
    impl.work.notify_all();
  }
  Slot& slot = impl.slot_of(impl.consumed);
  impl.arrived.wait(lock, [&] { return impl.consumed < impl.prepared && slot.complete(); });
  impl.stats.wait_seconds += clock.seconds();
  if (slot.failure) std::rethrow_exception(slot.failure);  // not consumed: the following call meets it again
  ++impl.consumed;
  if (++impl.next_step == impl.sampler.sampling().steps_per_epoch()) {
    impl.next_step = 0;
    ++impl.next_epoch;
  }
  return slot.batch;
}

void Loader::add_threads(int count) { impl_->start_threads(count); }

LoaderStats Loader::stats() const {
  const std::lock_guard lock(impl_->mutex);
  LoaderStats stats = impl_->stats;
  stats.threads = static_cast<int>(impl_->threads.size());
  stats.kept = impl_->source.kept();
  stats.places = impl_->source.places();
  return stats;
}

}  // namespace trainmark
