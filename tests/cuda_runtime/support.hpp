// What the tests of the CUDA backend's runtime share: plans that run on the host in the double's order, and what an
// error says.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/cuda/launch.hpp"
#include "backend/cuda/streams.hpp"
#include "cuda_double/double.hpp"

namespace trainmark::cuda {

/// Enqueues `body` as if it were a kernel.
class HostPlan final : public Plan {
 public:
  HostPlan(std::string name, std::function<void()> body, std::vector<cuda_double::Access> accesses = {})
      : name_(std::move(name)), body_(std::move(body)), accesses_(std::move(accesses)) {}
  void execute(Stream& stream, std::span<void* const>) override {
    ++executed;
    check(cuda_double::enqueue(native(stream), name_.c_str(), body_, accesses_), name_.c_str());
  }
  int executed = 0;

 private:
  std::string name_;
  std::function<void()> body_;
  std::vector<cuda_double::Access> accesses_;
};

/// Calls what a plan must not do, or what only a test does, at the time of enqueueing.
class CallPlan final : public Plan {
 public:
  explicit CallPlan(std::function<void(Stream&)> body) : body_(std::move(body)) {}
  void execute(Stream& stream, std::span<void* const>) override { body_(stream); }

 private:
  std::function<void(Stream&)> body_;
};

/// A kernel, for faults that only kernels have.
inline void launch_kernel(Stream& stream) {
  launch(
      "update", +[] {}, {}, native(stream));
}

inline Lanes make_lanes() {
  return {CudaStream(Lane::compute), CudaStream(Lane::communication), CudaStream(Lane::copy)};
}

/// Whether `work` raises an Error with this code whose message holds all the words.
template <class Work>
::testing::AssertionResult raises(ExitCode code, std::initializer_list<std::string_view> words, Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    const std::string_view text = error.what();
    if (error.code() != code) {
      return ::testing::AssertionFailure() << "exit code " << static_cast<int>(error.code()) << ": " << text;
    }
    for (const std::string_view word : words) {
      if (text.find(word) == std::string_view::npos)
        return ::testing::AssertionFailure() << word << " not in: " << text;
    }
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << "nothing was raised";
}

inline ::testing::AssertionResult nothing_found() {
  const std::vector<std::string> findings = cuda_double::findings();
  if (findings.empty()) return ::testing::AssertionSuccess();
  auto failure = ::testing::AssertionFailure();
  for (const std::string& finding : findings)
    failure << finding << '\n';
  return failure;
}

}  // namespace trainmark::cuda
