// The double's inside: one pretended device of this process with its memory, queues and clocks, under one lock. Not for
// tests, which see double.hpp.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "cuda_double/double.hpp"

namespace trainmark::cuda_double {

// --- Findings --------------------------------------------------------------------------------------------------------
/// Records what was found, once; `code` is resolved to a source line when findings are read.
void add_finding(std::string text, const void* code = nullptr);
void forget_findings();

// --- Memory ----------------------------------------------------------------------------------------------------------
enum class MemoryKind : std::uint8_t { device, pinned };
struct MemoryBlock {
  char* begin = nullptr;
  std::size_t bytes = 0;
  MemoryKind kind = MemoryKind::device;
  bool live = false;
  std::int64_t number = 0;
  [[nodiscard]] bool holds(const void* address, std::size_t size) const noexcept {
    const char* first = static_cast<const char*>(address);
    return live && first >= begin && first + size <= begin + bytes;
  }
};
/// Every block ends at a page that nobody may touch; addresses are not given out twice before clear(). Device blocks
/// can only be touched while they are open, i.e. from inside operations: the host crashes on them as it would with a
/// device.
class Arena {
 public:
  Arena();
  [[nodiscard]] void* allocate(std::size_t bytes, MemoryKind kind);
  bool release(void* memory, MemoryKind kind);  ///< false: no such live block
  void clear();
  void open();
  void close();
  [[nodiscard]] bool contains(const void* address) const noexcept {
    return address >= begin_ && address < begin_ + size;
  }
  /// The live or dead block whose pages hold `address`, or none.
  [[nodiscard]] const MemoryBlock* find(const void* address) const noexcept;
  [[nodiscard]] std::size_t used(MemoryKind kind) const noexcept { return used_[static_cast<std::size_t>(kind)]; }
  [[nodiscard]] const char* begin() const noexcept { return begin_; }
  [[nodiscard]] std::string describe(const void* address) const;
  static constexpr std::size_t size = std::size_t{1} << 38;

 private:
  void check_margins(const MemoryBlock& block) const;
  void protect(int protection);
  char* begin_ = nullptr;
  char* next_ = nullptr;
  std::map<const char*, MemoryBlock> blocks_;  // by first page
  std::array<std::size_t, 2> used_{};
  std::int64_t count_ = 0;
  bool open_ = false;
};

// --- Queues ----------------------------------------------------------------------------------------------------------
struct Stream;
struct Capture;
struct Event;
/// What happened before, by stream: the length of each stream's history that is known to have ended.
using Clock = std::vector<std::uint32_t>;
void merge(Clock& into, const Clock& from);
[[nodiscard]] bool covers(const Clock& clock, std::size_t stream, std::uint32_t tick);

/// A point in a stream: events, waits and the edges of graphs.
struct Marker {
  bool done = false;
  Clock clock;
  double time = 0.0;  // seconds
  std::weak_ptr<Stream> stream;
};
/// Returns whether the operation has ended; called again until it has.
using Step = std::function<bool()>;
struct Operation {
  std::string name{};
  std::function<Step()> start{};  // makes a step: at the call, or at each replay of a graph
  std::vector<Access> accesses{};
  std::vector<std::shared_ptr<Marker>> waits{};
  std::shared_ptr<Marker> marks{};
  Step step{};
  Clock host{};
  bool begun = false;
  std::uint32_t id = 0;                // to the access checks
  const void* communicator = nullptr;  // of a collective
  std::weak_ptr<Event> records{};      // of a graph: what each launch records anew
};
struct Stream {
  std::size_t index = 0;   // in clocks
  std::uint64_t rank = 0;  // for Order::priority
  std::deque<Operation> queue;
  Clock clock;
  std::shared_ptr<Capture> capture;
  std::vector<int> frontier;  // last nodes in the capture
  int priority = 0;
};
struct Event {
  std::shared_ptr<Marker> marker;
  std::weak_ptr<Capture> capture;
  std::vector<int> frontier;
  bool timed = true;
};
struct Node {
  Operation operation;
  std::vector<int> after;
  std::shared_ptr<Stream> stream;
};
struct Capture {
  std::vector<Node> nodes;
  std::shared_ptr<Stream> origin;
  std::vector<std::weak_ptr<Stream>> streams;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  bool invalid = false;
};
struct GraphExec {
  std::vector<Node> nodes;  // on streams of the graph's own
  std::shared_ptr<Marker> last;
  bool launched = false;
  bool node_priorities = false;  // else all run at that of the stream that the graph is launched into
};

struct Device {
  std::recursive_mutex mutex;
  Options options;
  Arena arena;
  std::mt19937_64 random{1};
  std::shared_ptr<Stream> null_stream;
  std::unordered_map<const void*, std::shared_ptr<Stream>> streams;
  std::vector<std::weak_ptr<Stream>> queues;       // all with a history, by index
  std::vector<std::shared_ptr<Stream>> destroyed;  // by the user, but not yet drained
  std::unordered_map<const void*, std::shared_ptr<Event>> events;
  std::unordered_map<const void*, std::shared_ptr<Capture>> graphs;
  std::unordered_map<const void*, std::shared_ptr<GraphExec>> executables;
  std::vector<std::shared_ptr<Capture>> captures;  // under way
  Clock host;
  cudaError_t last_error = cudaSuccess;
  cudaError_t sticky = cudaSuccess;
  std::int64_t launches = 0;
  std::int64_t captures_ended = 0;
  int ordinal = 0;                 // the device that this process has chosen
  std::vector<Replayed> replayed;  // by the last graph launch
  bool relaunched = false;         // some graph, a second time: the warm-up is over
  bool running = false;            // an operation's body is on the processor
  std::shared_ptr<Marker> pushed;  // of the operation whose step is being made
  std::vector<void (*)()> at_reset;
};
[[nodiscard]] Device& device();
/// Held by every call; device memory is closed to the host when it ends.
class Lock : public std::unique_lock<std::recursive_mutex> {
 public:
  using unique_lock::unique_lock;
  ~Lock() {
    if (owns_lock() && !device().running) device().arena.close();
  }
};
/// Remembers the error for cudaGetLastError and returns it.
cudaError_t failed(cudaError_t code);
/// Why no call can succeed: no device, a driver too old, an earlier failure; or success.
[[nodiscard]] cudaError_t standing_error();
/// Whether faults of captures and collectives concern this process.
[[nodiscard]] bool fails_here();

[[nodiscard]] std::shared_ptr<Stream> find_stream(cudaStream_t handle);
[[nodiscard]] std::shared_ptr<Stream> make_stream(int priority);
/// Queues, or records if the stream is being captured.
cudaError_t submit(const std::shared_ptr<Stream>& stream, Operation operation);
void push(const std::shared_ptr<Stream>& stream, Operation operation);
/// Runs queued work until `done`; the lock is given up while only another rank can help.
void run_until(Lock& lock, const std::shared_ptr<Stream>& wanted, const std::function<bool()>& done);
void run_some();                                  ///< as the order would at a call
bool run_one(Stream* wanted);                     ///< false: nothing was ready
[[nodiscard]] std::uint32_t current_operation();  ///< to the access checks: whose body is running
void drop_all(const char* why);                   ///< after a failure nothing that is queued runs any more
[[nodiscard]] bool idle(const Stream& stream);
/// Whether a call that must not be captured is made now; it then invalidates the capture.
[[nodiscard]] bool forbidden_by_capture();
/// Whether a graph, or a capture under way, holds a collective of this communicator.
[[nodiscard]] bool held_by_graphs(const void* communicator);
/// Range checks of copies, collectives and closures: alive and inside one block, where it is the arena's at all.
bool check_range(const std::string& who, const Access& access);

// --- Access checks (hooks.cpp), absent unless linked -----------------------------------------------------------------
struct Watch {
  std::uint32_t (*begin_operation)(const std::string& name, std::size_t stream, const Clock& clock) = nullptr;
  void (*range)(std::uint32_t operation, const Access& access) = nullptr;
  void (*freed)(const MemoryBlock& block, const Clock& host) = nullptr;
  void (*atomic)(const volatile void* address, std::size_t bytes) = nullptr;
  void (*fence)() = nullptr;
  void (*clear)() = nullptr;
};
[[nodiscard]] Watch& watch();

}  // namespace trainmark::cuda_double
