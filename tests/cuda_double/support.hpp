// What the double's own tests share: the product's error check, memory and streams that clean up after themselves.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "cuda_double/double.hpp"

namespace trainmark::cuda_double {

/// Device memory of `count` elements, from the arena: reset() takes it back.
template <class T>
[[nodiscard]] T* device_array(std::size_t count) {
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, count * sizeof(T)), cudaSuccess);
  return static_cast<T*>(memory);
}
template <class T>
[[nodiscard]] T* pinned_array(std::size_t count) {
  void* memory = nullptr;
  EXPECT_EQ(cudaMallocHost(&memory, count * sizeof(T)), cudaSuccess);
  return static_cast<T*>(memory);
}
template <class T>
[[nodiscard]] T* on_device(const std::vector<T>& values) {
  T* memory = device_array<T>(values.size());
  EXPECT_EQ(cudaMemcpy(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  return memory;
}
template <class T>
[[nodiscard]] std::vector<T> on_host(const T* memory, std::size_t count) {
  std::vector<T> values(count);
  EXPECT_EQ(cudaMemcpy(values.data(), memory, count * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
  return values;
}
[[nodiscard]] cudaStream_t new_stream();
[[nodiscard]] cudaEvent_t new_event();
/// Whether one of the findings holds all the words; prints them all if not.
[[nodiscard]] ::testing::AssertionResult found(std::initializer_list<std::string_view> words);
[[nodiscard]] ::testing::AssertionResult found_if(bool expected, std::initializer_list<std::string_view> words);
[[nodiscard]] ::testing::AssertionResult nothing_found();
[[nodiscard]] ::testing::AssertionResult nothing_found_unless(bool allowed);

}  // namespace trainmark::cuda_double
