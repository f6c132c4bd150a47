// A oneDNN primitive as a Plan: memory descriptors of what is given and what the primitive wants, with reorders between
// them where they differ. Built once; an execution only sets pointers.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "trainmark/backend.hpp"

namespace trainmark::cpu {

/// Where the activations of this backend lie: N,[D,]H,W,C.
inline constexpr Layout channels_last = 1;

[[nodiscard]] dnnl::engine& engine();
[[nodiscard]] dnnl::memory::data_type data_type(DType type);
/// A tensor as it lies in our memory: channels-last activations, everything else row-major in logical order.
[[nodiscard]] dnnl::memory::desc described(const TensorDesc& tensor);
[[nodiscard]] dnnl::memory::desc described(const Shape& shape, DType dtype, Layout layout);
/// The same extents and type, layout left to the primitive.
[[nodiscard]] dnnl::memory::desc open(const Shape& shape, DType dtype);

/// Attributes of a primitive whose scratchpad comes from the lane's scratch memory.
[[nodiscard]] dnnl::primitive_attr user_scratchpad();

class PrimitiveBuilder {
 public:
  /// Operands in the order of the plan's arguments.
  void input(int argument, const dnnl::memory::desc& given, const dnnl::memory::desc& wanted);
  void output(int argument, const dnnl::memory::desc& given, const dnnl::memory::desc& wanted);
  /// `scratchpad` is the primitive's own; outputs are what the plan reports to have written.
  [[nodiscard]] Planned finish(dnnl::primitive primitive, const dnnl::memory::desc& scratchpad,
                               std::vector<TensorDesc> outputs);

 private:
  struct Port {
    int argument = 0;
    bool is_output = false;
    dnnl::memory::desc given, wanted;
  };
  friend class PrimitivePlan;
  std::vector<Port> ports_;
};

}  // namespace trainmark::cpu
