#include "backend/harness.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <span>

#include <cctype>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "backend/cuda.hpp"
#include "backend/math.hpp"

namespace trainmark::test {
namespace {

constexpr std::size_t guard_bytes = 256;
constexpr std::size_t alignment = 64;
constexpr auto poison = std::byte{0xFF};

bool all_poison(const std::vector<std::byte>& bytes) {
  for (const std::byte byte : bytes) {
    if (byte != poison) return false;
  }
  return true;
}

}  // namespace

const World& world_of_one() {
  static int count = 1;
  static char name[] = "backend_ops";
  static char* arguments[] = {name, nullptr};
  static char** list = arguments;
  static const Mpi mpi(count, list);
  return mpi.world();
}

namespace {

/// Plans that take seconds to compile are there for all later tests: a device has one backend for the whole program,
/// and another whose engines repeat their results. Ended before the program is, while the runtime still answers.
class DeviceBackends final : public testing::Environment {
 public:
  std::shared_ptr<Backend> get(bool deterministic) {
    std::shared_ptr<Backend>& backend = backends_[deterministic];
    if (!backend) backend = make_cuda_backend({.deterministic = deterministic}, world_of_one());
    return backend;
  }
  void TearDown() override { backends_.clear(); }

 private:
  std::map<bool, std::shared_ptr<Backend>> backends_;
};
/// Contract: called before tests run, as parameters of tests are made.
DeviceBackends* device_backends() {
  static auto* const only = new DeviceBackends;  // gtest owns it
  static const testing::Environment* const added = testing::AddGlobalTestEnvironment(only);
  static_cast<void>(added);
  return only;
}

}  // namespace

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int threads : {1, 2}) {
      all.push_back({fmt::format("Cpu{}Thread{}", threads, threads == 1 ? "" : "s"),
                     [threads](bool) { return make_cpu_backend(threads, false); }, dtype});
    }
  }
  if (!cuda_present()) return all;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    all.push_back({"Cuda", [all = device_backends()](bool deterministic) { return all->get(deterministic); }, dtype});
  return all;
}

std::string name_of_case(const testing::TestParamInfo<Case>& info) {
  std::string type(name_of(info.param.dtype));
  type.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(type.front())));
  return info.param.name + type;
}

double rounded(double value, DType dtype) {
  const auto single = static_cast<float>(value);
  if (dtype == DType::bf16) return from_bf16(to_bf16(single));
  if (dtype == DType::f16) return from_f16(to_f16(single));
  return single;
}

Buffer::Buffer(Backend& backend, std::size_t bytes)
    : backend_(&backend), bytes_(bytes), data_(backend.device_memory().allocate(bytes + guard_bytes, alignment)) {
  const std::vector<std::byte> fill(bytes + guard_bytes, poison);
  Stream& stream = backend.stream(Lane::compute);
  backend.copy_to_device(stream, data_, fill.data(), fill.size());
  stream.synchronize();
}
Buffer::~Buffer() {
  if (data_ != nullptr) backend_->device_memory().deallocate(data_, bytes_ + guard_bytes, alignment);
}
Buffer::Buffer(Buffer&& other) noexcept
    : backend_(other.backend_), bytes_(other.bytes_), data_(std::exchange(other.data_, nullptr)) {}

void Buffer::upload(const void* from) const {
  Stream& stream = backend_->stream(Lane::compute);
  backend_->copy_to_device(stream, data_, from, bytes_);
  stream.synchronize();
}
std::vector<std::byte> Buffer::read(std::size_t offset, std::size_t bytes) const {
  std::vector<std::byte> host(bytes);
  Stream& stream = backend_->stream(Lane::compute);
  backend_->copy_to_host(stream, host.data(), static_cast<const std::byte*>(data_) + offset, bytes);
  stream.synchronize();
  return host;
}
std::vector<std::byte> Buffer::download() const { return read(0, bytes_); }
bool Buffer::guard_intact() const { return all_poison(read(bytes_, guard_bytes)); }

Array BackendTest::random(const Shape& shape) {
  Array array(shape);
  Rng rng(7, Purpose::test, ++drawn_);
  for (double& value : array.values)
    value = rounded(2.0 * rng.uniform() - 1.0, GetParam().dtype);
  return array;
}
Array BackendTest::whole(const Shape& shape, int lowest, int count) {
  Array array(shape);
  Rng rng(11, Purpose::test, ++drawn_);
  for (double& value : array.values)
    value = lowest + static_cast<int>(rng.below(static_cast<std::uint64_t>(count)));
  return array;
}

Operand BackendTest::activation(const Array& array, DType dtype) {
  const TensorDesc desc = backend->activation(array.shape, dtype);
  Operand operand{desc, Buffer(*backend, backend->bytes_of(desc))};
  const std::vector<float> floats(array.values.begin(), array.values.end());
  backend->from_logical(desc, floats.data(), operand.buffer.data());
  return operand;
}
Operand BackendTest::parameter(const Array& array) {
  const std::vector<float> floats(array.values.begin(), array.values.end());
  return bytes({array.shape, DType::f32, logical_layout}, floats.data());
}
Operand BackendTest::bytes(const TensorDesc& desc, const void* from) {
  Operand operand{desc, Buffer(*backend, backend->bytes_of(desc))};
  operand.buffer.upload(from);
  return operand;
}
Operand BackendTest::step_state(const StepState& state, const std::vector<std::int64_t>& ids, std::int64_t batch) {
  std::vector<std::byte> host(step_state_bytes(batch), poison);
  std::memcpy(host.data(), &state, sizeof state);
  std::ranges::copy(std::as_bytes(std::span(ids)), host.begin() + sizeof state);
  return bytes({Shape{step_state_extent(batch)}, DType::u8, logical_layout}, host.data());
}
Array BackendTest::logical(const Operand& operand) {
  std::vector<float> floats(static_cast<std::size_t>(operand.desc.shape.elements()));
  backend->to_logical(operand.desc, operand.buffer.data(), floats.data());
  Array array(operand.desc.shape);
  array.values.assign(floats.begin(), floats.end());
  return array;
}

std::vector<Operand> BackendTest::execute(Planned planned, const std::vector<Operand>& inputs,
                                          const std::vector<TensorDesc>& outputs, int in_place) {
  std::vector<Operand> results;
  std::vector<std::vector<std::byte>> before;
  std::vector<void*> args;
  for (const Operand& input : inputs) {
    before.push_back(input.buffer.download());
    args.push_back(input.buffer.data());
  }
  EXPECT_EQ(planned.outputs.size(), outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const TensorDesc& desc = planned.outputs[i];
    EXPECT_EQ(desc.shape, outputs[i].shape);
    EXPECT_EQ(desc.dtype, outputs[i].dtype);
    results.push_back({desc, Buffer(*backend, backend->bytes_of(desc))});
    args.push_back(results[i].buffer.data());
  }
  if (in_place > 0) {
    const bool offered = static_cast<int>(planned.in_place.size()) >= in_place;
    EXPECT_TRUE(offered) << "the plan does not run in place";
    if (!offered) return results;
    const InPlace pair = planned.in_place[static_cast<std::size_t>(in_place - 1)];
    const auto shared = static_cast<std::size_t>(pair.input), first = static_cast<std::size_t>(pair.output);
    results[first].buffer.upload(before[shared].data());
    args[shared] = args[inputs.size() + first];
  }
  const Buffer scratch(*backend, planned.scratch_bytes);
  args.push_back(scratch.data());
  Stream& stream = backend->stream(Lane::compute);
  planned.plan->execute(stream, args);
  stream.synchronize();

  EXPECT_TRUE(scratch.guard_intact()) << "the plan wrote behind its scratch memory";
  for (const Operand& operand : results)
    EXPECT_TRUE(operand.buffer.guard_intact()) << "the plan wrote behind an output";
  for (const Operand& operand : results)
    expect_clean_padding(operand);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    EXPECT_TRUE(inputs[i].buffer.download() == before[i]) << "the plan changed input " << i;
  return results;
}

/// A private layout may pad; the padding must be what the backend itself makes of it, for plans rely on it.
void BackendTest::expect_clean_padding(const Operand& operand) {
  const TensorDesc& desc = operand.desc;
  if (backend->bytes_of(desc) == static_cast<std::size_t>(desc.shape.elements()) * size_of(desc.dtype)) return;
  const Buffer again(*backend, backend->bytes_of(desc));
  std::vector<float> values(static_cast<std::size_t>(desc.shape.elements()));
  backend->to_logical(desc, operand.buffer.data(), values.data());
  if (std::ranges::any_of(values, [](float value) { return std::isnan(value); })) return;  // a NaN has many forms
  backend->from_logical(desc, values.data(), again.data());
  EXPECT_TRUE(again.download() == operand.buffer.download()) << "the padding of an output is not clean";
}

void BackendTest::expect_close(const Array& actual, const Array& expected, const Array& magnitudes, DType dtype,
                               const Array* stored) const {
  // Half a unit in the last place, with room for a value that fp32 sums put on the other side of a tie.
  const double rounding = dtype == DType::bf16 ? 0x1.1p-8 : dtype == DType::f16 ? 0x1.1p-11 : 0.0;
  const double least = dtype == DType::f16 ? 0x1.1p-25 : 1e-30;  // fp16's numbers stand 2^-24 apart around zero
  const double accumulation = 2e-6;
  ASSERT_EQ(actual.shape, expected.shape);
  for (std::int64_t i = 0; i < expected.shape.elements(); ++i) {
    const double before = stored != nullptr ? std::fabs((*stored)[i]) : 0.0;
    const double bound = rounding * (std::fabs(expected[i]) + before) + accumulation * magnitudes[i] + least;
    const double error = std::fabs(actual[i] - expected[i]);
    ASSERT_TRUE(error <= bound) << "element " << i << " of " << to_string(expected.shape) << ": " << actual[i]
                                << ", expected " << expected[i] << ", error " << error << ", bound " << bound;
  }
}
void BackendTest::expect_equal(const Array& actual, const Array& expected) {
  ASSERT_EQ(actual.shape, expected.shape);
  for (std::int64_t i = 0; i < expected.shape.elements(); ++i)
    ASSERT_EQ(actual[i], expected[i]) << "element " << i << " of " << to_string(expected.shape);
}

}  // namespace trainmark::test
