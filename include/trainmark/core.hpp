// The vocabulary that every module shares: errors and exit codes, element types, shapes, data schemas, counter-based
// randomness and one clock. Nothing here knows MPI, a device, a file format or JSON.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace trainmark {

/// What the process tells its launcher. run.json's `exit_code` is the authority (launchers rewrite codes).
enum class ExitCode : int {
  success = 0,        ///< target met, or the fixed work was done
  usage = 2,          ///< command line or config
  data = 3,           ///< dataset or staging
  environment = 4,    ///< environment or launch mismatch
  communication = 5,  ///< communication or device
  target_missed = 6,  ///< the run completed, the target was not reached; or it diverged
  compliance = 7,     ///< the log was judged not compliant
  requeue = 75,       ///< checkpointed, please requeue (reserved)
  watchdog = 124,     ///< a phase made no progress within its limit
};

/// The four parts every message to a user has.
struct Complaint {
  std::string where;   ///< file, JSON pointer and line, rank and node ...
  std::string what;    ///< what is wrong, with the values
  std::string why;     ///< why it matters (may be empty)
  std::string remedy;  ///< what to do
};

/// The one exception for what users and environments do wrong. Our own bugs are TRAINMARK_CHECK failures.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const Complaint& complaint);
  Error(ExitCode code, const std::string& message);
  /// `message` says more than the complaint alone: which ranks met it.
  Error(ExitCode code, const std::string& message, const Complaint& complaint);
  [[nodiscard]] ExitCode code() const noexcept { return code_; }
  [[nodiscard]] const Complaint& complaint() const noexcept {
    return *complaint_;
  }  ///< all in `what` where it has no parts

 private:
  ExitCode code_;
  std::shared_ptr<const Complaint> complaint_;  // copies of an exception must not fail
};

/// What is told of an exception: one table for all commands and all ranks, and no text that is the standard library's
/// own alone.
struct Failure {
  ExitCode code = ExitCode::environment;
  std::string message;
  Complaint complaint{};
};
[[nodiscard]] Failure failure_of(const std::exception& error);
/// Of the exception that is being handled, of whatever type; to be called in a catch block.
[[nodiscard]] Failure failure_at_hand();

/// "where: what (why); remedy"
[[nodiscard]] std::string to_string(const Complaint& complaint);

/// The complaint about a failed system call on `where`: "what: the system's words", with what the number means and its
/// cure where that is known (open files, memory, rights, a failing disk or server ...), else with `remedy`.
[[nodiscard]] Complaint system_complaint(std::string where, std::string_view what, int error_number,
                                         std::string_view remedy = "check the file system");

/// What follows from a file that cannot be written: the end of the complaint.
struct Unwritten {
  std::string_view why, remedy;
};
/// Readers see the old file or the new one, never a part: writes under a TemporaryName, fsyncs and renames. `hurry`
/// leaves out the fsync, for a process that will be killed in a moment. Raises Error{environment}.
void write_atomically(const std::filesystem::path& path, std::string_view content, const Unwritten& unwritten,
                      bool hurry = false);

inline constexpr std::string_view temporary_prefix = ".trainmark-";
/// The name (".trainmark-HOST-PID-N") that a file has beside its final one until it is complete. It is registered, so
/// that a process that ends by a signal can remove the file: see remove_temporaries.
class TemporaryName {
 public:
  TemporaryName() = default;
  ~TemporaryName() { forget(); }
  TemporaryName(const TemporaryName&) = delete;
  TemporaryName& operator=(const TemporaryName&) = delete;
  /// Makes the file, once, and opens it for reading and writing; `mode` is narrowed by the umask. -1 with errno.
  [[nodiscard]] int create(const std::filesystem::path& final_path, unsigned mode);
  void forget() noexcept;  ///< to be called once the file has its final name or is removed
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  int slot_ = -1;
};
/// Unlinks what files of this process have a TemporaryName. Takes no lock and allocates nothing: for a signal-handling
/// thread just before the process leaves.
void remove_temporaries() noexcept;

/// How many files this process may have open at a time (the soft limit).
[[nodiscard]] std::uint64_t open_file_limit() noexcept;
/// Lifts the soft limit to the hard one: datasets have more files than the 1,024 that many systems begin with.
void raise_open_file_limit() noexcept;

/// Raises std::logic_error for a broken contract of our own.
[[noreturn]] void contract_failed(const char* condition, std::string_view detail, std::source_location where);
#define TRAINMARK_CHECK(condition, detail)                                                                 \
  do {                                                                                                     \
    if (!(condition)) ::trainmark::contract_failed(#condition, (detail), std::source_location::current()); \
  } while (false)

/// Element types as run-time values; templates on them stay inside kernels.
enum class DType : std::uint8_t { f32, bf16, f16, f64, i16, i32, i64, u8 };
[[nodiscard]] std::size_t size_of(DType type) noexcept;
[[nodiscard]] std::string_view name_of(DType type) noexcept;

/// The words of an enum's values in their order, as configs, logs and results write them. Stand beside each such enum.
template <class Enum>
struct Words;  // static constexpr std::array<std::string_view, N> all
template <class Enum>
[[nodiscard]] constexpr std::string_view word(Enum value) {
  return Words<Enum>::all.at(static_cast<std::size_t>(value));
}
/// The value of a word; nothing where the enum has none such.
template <class Enum>
[[nodiscard]] constexpr std::optional<Enum> from_word(std::string_view text) {
  for (std::size_t at = 0; at < Words<Enum>::all.size(); ++at)
    if (Words<Enum>::all[at] == text) return static_cast<Enum>(at);
  return {};
}

/// The value in the middle, of an even number the mean of the two there; 0 of none.
[[nodiscard]] double median_of(std::vector<double> values);
/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`; case is not counted.
[[nodiscard]] int edit_distance(std::string_view a, std::string_view b);

/// Extents of a tensor, logical order N,C,[D,]H,W. The element count is computed in 64 bits in this one place.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents) : extents_(extents) {}
  explicit Shape(std::vector<std::int64_t> extents) : extents_(std::move(extents)) {}

  [[nodiscard]] std::size_t rank() const noexcept { return extents_.size(); }
  [[nodiscard]] std::int64_t operator[](std::size_t axis) const { return extents_.at(axis); }
  [[nodiscard]] std::int64_t& operator[](std::size_t axis) { return extents_.at(axis); }
  [[nodiscard]] const std::vector<std::int64_t>& extents() const noexcept { return extents_; }
  [[nodiscard]] std::int64_t elements() const noexcept;
  bool operator==(const Shape&) const = default;

 private:
  std::vector<std::int64_t> extents_;
};
[[nodiscard]] std::string to_string(const Shape& shape);  // "2x4x128x128x128"

/// The values that a field may hold. Infinities and NaN never are among them.
struct LegalValues {
  double least = std::numeric_limits<double>::lowest();
  double most = std::numeric_limits<double>::max();
  bool positive_mean = false;  ///< the values of one sample have a mean above zero: they are divided by it
  std::string why;             ///< for messages: what the values are, or what goes wrong with others
};

/// One named part of a sample, as it lies in memory (channels-last for images and volumes), e.g. x: 128x128x128x4 i16.
struct Field {
  std::string name;
  Shape shape;
  DType dtype = DType::f32;
  LegalValues legal = {};
  std::vector<std::string> stored_as = {};  ///< names that files give it; the first that is there counts
  [[nodiscard]] std::size_t bytes() const noexcept {
    return static_cast<std::size_t>(shape.elements()) * size_of(dtype);
  }
};
/// Datasets that hold many samples side by side, from which a sample is a block.
struct Cut {
  std::string stored_as;    ///< the first field's name in files of that form
  std::int64_t extent = 1;  ///< of a block along each axis but the last, where the caller names none
};
/// The first field, u8 [S,S,3], is what a crop of a JPEG shows at S x S pixels (RGB, channels last); files hold the
/// JPEGs. These are the ranges of training's random crops (the defaults are the ResNet-50 reference's).
struct CodedImages {
  double least_area = 0.05, most_area = 1.0;            ///< of the crop, as a share of the image's
  double least_aspect = 0.75, most_aspect = 4.0 / 3.0;  ///< width over height of the crop
  /// From this epoch on (the first is 0) training takes evaluation's centre crops, without flips.
  std::int64_t plain_from_epoch = std::numeric_limits<std::int64_t>::max();
  std::string offsets = "offsets";  ///< dataset that says where each JPEG begins
};
struct DataSchema {
  std::vector<Field> fields;
  std::optional<Cut> cut = {};
  std::optional<CodedImages> images = {};
  [[nodiscard]] std::size_t sample_bytes() const noexcept;
};
/// What a record of a log may hold: null, or one of these. Doubles are printed as the shortest text that reads back
/// equal; NaN and Infinity as the official parser takes them.
using EventValue = std::variant<std::monostate, bool, std::int64_t, double, std::string, std::vector<std::int64_t>,
                                std::vector<double>>;
using Metadata = std::vector<std::pair<std::string, EventValue>>;

/// Where one sample is to be written: one span per field of the schema, in its order.
using SampleView = std::vector<std::span<std::byte>>;

/// A half-open range of indices.
struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  [[nodiscard]] std::int64_t size() const noexcept { return end - begin; }
  bool operator==(const Range&) const = default;
};
/// Part `index` of `total` items cut into `parts` ranges whose sizes differ by at most one (the first are larger).
[[nodiscard]] Range slice_of(std::int64_t total, std::int64_t parts, std::int64_t index) noexcept;

// --- Randomness: a pure function of a key. Philox 4x32-10 (Salmon et al., SC'11). ---------------------------------

/// What a random number is for. Two purposes never share a stream, whatever the seed.
enum class Purpose : std::uint32_t {
  initialise = 1,
  dropout = 2,
  sample_order = 3,
  synthesise = 4,
  warm_up = 5,
  test = 6,
  augment = 7,
  deal = 8
};

/// Four 32-bit random words for a 64-bit seed and a 128-bit counter.
[[nodiscard]] constexpr std::array<std::uint32_t, 4> philox(std::uint64_t seed, std::array<std::uint32_t, 4> counter) {
  auto k0 = static_cast<std::uint32_t>(seed);
  auto k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return counter;
}
/// Uniform in [0, 1) from the upper 24 bits.
[[nodiscard]] constexpr float unit_float(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24F; }

/// A sequence drawn from one key (seed, purpose, a, b). Own samplers: standard distributions differ between libraries.
class Rng {
 public:
  Rng(std::uint64_t seed, Purpose purpose, std::uint64_t a = 0, std::uint32_t b = 0) noexcept;
  std::uint32_t bits() noexcept;
  double uniform() noexcept;                          ///< [0, 1), 53 bits
  double normal() noexcept;                           ///< mean 0, variance 1 (Box-Muller)
  std::int64_t poisson(double mean) noexcept;         ///< exact for small means, PTRS (Hoermann 1993) for large
  std::uint64_t below(std::uint64_t bound) noexcept;  ///< unbiased in [0, bound)

 private:
  std::uint64_t seed_;
  std::array<std::uint32_t, 4> counter_{};
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
};

/// Mixes in place (Fisher-Yates). Of our own because std::shuffle differs between libraries.
template <class T>
void permute(std::vector<T>& values, Rng random) {
  for (std::size_t left = values.size(); left > 1; --left)
    std::swap(values[left - 1], values[random.below(left)]);
}

/// One clock: a UTC anchor taken at construction plus steady deltas, so that log times are absolute and never go back.
class Clock {
 public:
  Clock() noexcept;
  [[nodiscard]] std::int64_t unix_ms() const noexcept;
  [[nodiscard]] double seconds() const noexcept;  ///< since construction

 private:
  std::chrono::system_clock::time_point anchor_;
  std::chrono::steady_clock::time_point start_;
};

/// How much a line of diagnostics matters. As a threshold: the least that is kept.
enum class LogLevel : std::uint8_t { trace, debug, info, warn, error, off };
template <>
struct Words<LogLevel> {
  static constexpr std::array<std::string_view, 6> all = {"trace", "debug", "info", "warn", "error", "off"};
};
/// Keeps what a process says of itself: what was decided (plans, fallbacks, staging, retries), and why.
class Diagnostics {
 public:
  virtual ~Diagnostics() = default;
  [[nodiscard]] virtual bool keeps(LogLevel level) const noexcept = 0;
  /// From any thread. `phase` is the one of diagnose_phase(). What cannot be kept is lost: that may end no run.
  virtual void write(LogLevel level, const char* phase, std::string_view text) noexcept = 0;
};
/// From now on lines of this process go there; null: nowhere, as at the start.
void diagnose_to(std::shared_ptr<Diagnostics> diagnostics) noexcept;
/// Names what the process is doing from now on. The text must outlive the phase.
void diagnose_phase(const char* phase) noexcept;
/// Says what `text()` returns, which is called only where somebody keeps it. Below trace nothing may be said each step.
void diagnose(LogLevel level, const std::function<std::string()>& text) noexcept;

/// Move-only owner of a C handle. Traits: `using type`, `static type null() noexcept`, `static void release(type)
/// noexcept`.
template <class Traits>
class Handle {
 public:
  using type = typename Traits::type;
  Handle() noexcept = default;
  explicit Handle(type raw) noexcept : raw_(raw) {}
  Handle(Handle&& other) noexcept : raw_(other.raw_) { other.raw_ = Traits::null(); }
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      reset();
      raw_ = other.raw_;
      other.raw_ = Traits::null();
    }
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { reset(); }
  [[nodiscard]] type get() const noexcept { return raw_; }
  explicit operator bool() const noexcept { return raw_ != Traits::null(); }
  void reset() noexcept {
    if (raw_ != Traits::null()) Traits::release(raw_);
    raw_ = Traits::null();
  }

 private:
  type raw_ = Traits::null();
};

}  // namespace trainmark
