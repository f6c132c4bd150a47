// The cuDNN graphs that this backend uses, as data: what is computed, on which shapes and types. Planning, the plan
// cache, the committed plan tables and the tests' host execution all start from these.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "trainmark/comm.hpp"
#include "trainmark/nn.hpp"

namespace trainmark::cuda {

/// fp32 tensors may be multiplied in TF32 where the run allows it; 16-bit types always use tensor cores with fp32 sums.
enum class Math : std::uint8_t { full, tf32 };

/// A convolution or one of its derivatives over channels-last tensors of type `io` whose channel counts are already
/// padded; weights are O,[D,]H,W,I in memory. Shapes are logical: N,C,[D,]H,W and O,I,[D,]H,W (I per group).
struct ConvGraph {
  enum class Pass : std::uint8_t {
    forward,           ///< (src, weights [, bias f32[O]]) -> (dst)
    backward_data,     ///< (diff_dst, weights) -> (diff_src)
    backward_weights,  ///< (src, diff_dst) -> (diff_weights)
  };
  Pass pass = Pass::forward;
  Conv conv;
  Shape src, weights, dst;
  DType io = DType::f32;
  Math math = Math::full;
  bool bias = false;           ///< forward only
  std::optional<float> slope;  ///< forward only: leaky ReLU behind the bias
  bool operator==(const ConvGraph&) const = default;
};

/// dst[m,n] = a[m,k] b[k,n] [+ bias[n], f32]; row-major unless transposed, i.e. a is stored [k,m] or b [n,k].
struct MatmulGraph {  // (a, b [, bias]) -> (dst)
  std::int64_t m = 1, n = 1, k = 1;
  bool a_transposed = false, b_transposed = false;
  DType io = DType::f32;
  DType result = DType::f32;  ///< io or f32
  Math math = Math::full;
  bool bias = false;
  bool operator==(const MatmulGraph&) const = default;
};

using GraphSpec = std::variant<ConvGraph, MatmulGraph>;
/// One line that tells two specifications apart, readable in tables and usable as a cache key.
[[nodiscard]] std::string key_of(const GraphSpec& spec);

/// A planned graph, ready to be enqueued or captured.
class CompiledGraph {
 public:
  virtual ~CompiledGraph() = default;
  [[nodiscard]] virtual std::size_t workspace_bytes() const = 0;
  [[nodiscard]] virtual std::string engine() const = 0;  ///< the library's own name for its choice
  /// `operands`: inputs, then outputs, in the specification's order.
  virtual void execute(cudaStream_t stream, std::span<void* const> operands, void* workspace) = 0;
};

/// Executes candidates for one graph with operands of these sizes (inputs first) and says which is the fastest.
struct Trial {
  std::optional<std::size_t> fastest;  ///< nothing where all fail
  std::string failures;                ///< what candidates said that failed, a line each
  /// Medians of an execution by candidate, as far as each came; nothing for who failed at once or was alone.
  std::vector<std::optional<double>> seconds;
};
using TryCandidates = std::function<Trial(std::span<const std::shared_ptr<CompiledGraph>> candidates,
                                          std::span<const std::size_t> operand_bytes)>;

struct CompilerOptions {
  bool deterministic = false;        ///< leaves out engines whose results vary from run to run
  TryCandidates autotune;            ///< chooses among the heuristics' best; empty: their first is taken
  std::optional<Group> ranks;        ///< all of which compute with rank 0's plans; compiling is collective then
  std::string cache_folder;          ///< empty: plans are not kept on disk
  std::string device_description;    ///< JSON as in share/devices; empty: the current device. Such plans never execute.
  int threads = 1;                   ///< that make plans ahead
  bool accept_known_faults = false;  ///< takes graphs that this version of the library is known to compute wrongly
  std::size_t version = 0;           ///< by which faults are known; 0: that of the library
  bool select_only = false;          ///< stops at engine selection where finalising would compile (plan tables in CI)
};

/// Turns specifications into plans; equal ones share a plan.
class GraphCompiler {
 public:
  virtual ~GraphCompiler() = default;
  /// Raises Error{environment} that names the graph where no engine takes it.
  [[nodiscard]] virtual std::shared_ptr<CompiledGraph> compile(const GraphSpec& spec) = 0;
  /// Makes plans before they are asked for, on several threads: graphs are independent of each other, and one that has
  /// to be compiled takes seconds. Changes no plan; what fails does so again, with its reason, when it is asked for.
  virtual void compile_ahead(std::span<const GraphSpec> /*specs*/) {}
  [[nodiscard]] virtual std::string library() const = 0;  ///< e.g. "cuDNN 9.19.0"
};
[[nodiscard]] std::unique_ptr<GraphCompiler> make_graph_compiler(const CompilerOptions& options);

}  // namespace trainmark::cuda
