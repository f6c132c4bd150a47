// See support.hpp. The double's launch reports through the product's raise(), which this program defines for itself.
#include "cuda_double/support.hpp"

#include <stdexcept>

#include "cuda_double/planted_kernels.hpp"

namespace trainmark::cuda {

void raise(cudaError_t code, const char* call) {
  throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(code));
}

}  // namespace trainmark::cuda

namespace trainmark::cuda_double {

cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  return stream;
}

cudaEvent_t new_event() {
  cudaEvent_t event = nullptr;
  EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  return event;
}

::testing::AssertionResult found(std::initializer_list<std::string_view> words) {
  const auto all = findings();
  for (const std::string& text : all)
    if (std::ranges::all_of(words, [&](auto word) { return text.find(word) != std::string::npos; }))
      return ::testing::AssertionSuccess();
  auto result = ::testing::AssertionFailure() << "not found; findings:";
  for (const std::string& text : all)
    result << "\n  " << text;
  return result;
}

::testing::AssertionResult found_if(bool expected, std::initializer_list<std::string_view> words) {
  return expected ? found(words) : ::testing::AssertionSuccess();
}

::testing::AssertionResult nothing_found_unless(bool allowed) {
  return allowed ? ::testing::AssertionSuccess() : nothing_found();
}

::testing::AssertionResult nothing_found() {
  const auto all = findings();
  if (all.empty()) return ::testing::AssertionSuccess();
  auto result = ::testing::AssertionFailure() << "findings:";
  for (const std::string& text : all)
    result << "\n  " << text;
  return result;
}

}  // namespace trainmark::cuda_double
