#include "backend/cpu/primitive.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "backend/cpu/reorder.hpp"

namespace trainmark::cpu {

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

dnnl::memory::data_type data_type(DType type) {
  using dt = dnnl::memory::data_type;
  switch (type) {
    case DType::f32:
      return dt::f32;
    case DType::bf16:
      return dt::bf16;
    case DType::f16:
      return dt::f16;
    case DType::u8:
      return dt::u8;
    case DType::i32:
      return dt::s32;
    default:
      break;
  }
  TRAINMARK_CHECK(false, name_of(type));
}

namespace {

dnnl::memory::dims dims_of(const Shape& shape) { return {shape.extents().begin(), shape.extents().end()}; }

}  // namespace

dnnl::memory::desc described(const Shape& shape, DType dtype, Layout layout) {
  using tag = dnnl::memory::format_tag;
  static constexpr std::array<tag, 7> row_major = {tag::undef, tag::a,     tag::ab,    tag::abc,
                                                   tag::abcd,  tag::abcde, tag::abcdef};
  static constexpr std::array<tag, 6> last = {tag::undef, tag::a, tag::ab, tag::acb, tag::acdb, tag::acdeb};
  const std::size_t rank = shape.rank();
  TRAINMARK_CHECK(rank >= 1 && rank <= (layout == channels_last ? 5 : 6), to_string(shape));
  return {dims_of(shape), data_type(dtype), layout == channels_last ? last[rank] : row_major[rank]};
}
dnnl::memory::desc described(const TensorDesc& tensor) { return described(tensor.shape, tensor.dtype, tensor.layout); }
dnnl::memory::desc open(const Shape& shape, DType dtype) {
  return {dims_of(shape), data_type(dtype), dnnl::memory::format_tag::any};
}

class PrimitivePlan final : public Plan {
 public:
  PrimitivePlan(dnnl::primitive primitive, const dnnl::memory::desc& scratchpad,
                const std::vector<PrimitiveBuilder::Port>& ports)
      : primitive_(std::move(primitive)), stream_(engine()) {
    for (const auto& port : ports) {
      Bound& bound = bound_.emplace_back();
      bound.is_output = port.is_output;
      bound.given = dnnl::memory(port.given, engine(), DNNL_MEMORY_NONE);
      if (port.given == port.wanted) {
        arguments_.emplace(port.argument, bound.given);
        continue;
      }
      bound.wanted = dnnl::memory(port.wanted, engine(), DNNL_MEMORY_NONE);
      bound.scratch_offset = take(port.wanted.get_size());
      bound.reorder = port.is_output ? Reorder(port.wanted, port.given) : Reorder(port.given, port.wanted);
      arguments_.emplace(port.argument, bound.wanted);
    }
    if (scratchpad.get_size() > 0) {
      scratchpad_ = dnnl::memory(scratchpad, engine(), DNNL_MEMORY_NONE);
      scratchpad_offset_ = take(scratchpad.get_size());
      arguments_.emplace(DNNL_ARG_SCRATCHPAD, scratchpad_);
    }
  }

  [[nodiscard]] std::size_t scratch_bytes() const noexcept { return scratch_bytes_; }

  void execute(Stream&, std::span<void* const> args) override {
    auto* scratch = scratch_bytes_ > 0 ? static_cast<std::byte*>(args[bound_.size()]) : nullptr;
    for (std::size_t i = 0; i < bound_.size(); ++i) {
      Bound& bound = bound_[i];
      bound.given.set_data_handle(args[i]);
      if (!bound.reorder) continue;
      bound.wanted.set_data_handle(scratch + bound.scratch_offset);
      if (!bound.is_output) bound.reorder->execute(stream_, bound.given, bound.wanted);
    }
    if (scratchpad_) scratchpad_.set_data_handle(scratch + scratchpad_offset_);
    primitive_.execute(stream_, arguments_);
    for (Bound& bound : bound_) {
      if (bound.reorder && bound.is_output) bound.reorder->execute(stream_, bound.wanted, bound.given);
    }
    stream_.wait();
  }

 private:
  struct Bound {
    bool is_output = false;
    dnnl::memory given, wanted;
    std::size_t scratch_offset = 0;
    std::optional<Reorder> reorder;
  };
  std::size_t take(std::size_t bytes) {
    const std::size_t offset = scratch_bytes_;
    scratch_bytes_ += (bytes + 63) / 64 * 64;
    return offset;
  }

  dnnl::primitive primitive_;
  dnnl::stream stream_;
  std::vector<Bound> bound_;
  std::unordered_map<int, dnnl::memory> arguments_;
  dnnl::memory scratchpad_;
  std::size_t scratchpad_offset_ = 0;
  std::size_t scratch_bytes_ = 0;
};

void PrimitiveBuilder::input(int argument, const dnnl::memory::desc& given, const dnnl::memory::desc& wanted) {
  ports_.push_back({argument, false, given, wanted});
}
void PrimitiveBuilder::output(int argument, const dnnl::memory::desc& given, const dnnl::memory::desc& wanted) {
  ports_.push_back({argument, true, given, wanted});
}

namespace {

/// What oneDNN chose: "oneDNN plans 4x32x32x32x4 -> 4x8x32x32x32 by brgconv:avx2, 1 operand reordered".
template <class Ports>
std::string choice_of(const dnnl::primitive& primitive, const Ports& ports) {
  const char* implementation = nullptr;
  dnnl_primitive_desc_query(primitive.get_primitive_desc(), dnnl_query_impl_info_str, 0,
                            static_cast<void*>(&implementation));
  const auto text = [](const dnnl::memory::desc& desc) { return fmt::format("{}", fmt::join(desc.get_dims(), "x")); };
  const auto reordered = std::ranges::count_if(ports, [](const auto& port) { return !(port.given == port.wanted); });
  return fmt::format("oneDNN plans {} -> {} by {}, {} operand(s) reordered", text(ports.front().given),
                     text(ports.back().given), implementation != nullptr ? implementation : "?", reordered);
}

}  // namespace

Planned PrimitiveBuilder::finish(dnnl::primitive primitive, const dnnl::memory::desc& scratchpad,
                                 std::vector<TensorDesc> outputs) {
  diagnose(LogLevel::debug, [&] { return choice_of(primitive, ports_); });
  auto plan = std::make_unique<PrimitivePlan>(std::move(primitive), scratchpad, ports_);
  Planned planned;
  planned.scratch_bytes = plan->scratch_bytes();
  planned.plan = std::move(plan);
  planned.outputs = std::move(outputs);
  return planned;
}

}  // namespace trainmark::cpu
