// Atomic operations of the host code beside the kernels (reference counts, guards of static variables), which
// -fsanitize=thread turns into calls as well. They do what was asked and check nothing.
#include <cstdint>

extern "C" {
std::uint8_t __tsan_atomic8_load(const volatile std::uint8_t* at, int) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }
void __tsan_atomic8_store(volatile std::uint8_t* at, std::uint8_t value, int) {
  __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}
std::uint8_t __tsan_atomic8_exchange(volatile std::uint8_t* at, std::uint8_t value, int) {
  return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);
}
std::uint8_t __tsan_atomic8_fetch_add(volatile std::uint8_t* at, std::uint8_t value, int) {
  return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
}
std::uint8_t __tsan_atomic8_fetch_sub(volatile std::uint8_t* at, std::uint8_t value, int) {
  return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST);
}
std::uint8_t __tsan_atomic8_fetch_or(volatile std::uint8_t* at, std::uint8_t value, int) {
  return __atomic_fetch_or(at, value, __ATOMIC_SEQ_CST);
}
std::uint8_t __tsan_atomic8_fetch_and(volatile std::uint8_t* at, std::uint8_t value, int) {
  return __atomic_fetch_and(at, value, __ATOMIC_SEQ_CST);
}
int __tsan_atomic8_compare_exchange_strong(volatile std::uint8_t* at, std::uint8_t* expected, std::uint8_t value, int,
                                           int) {
  return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0;
}
int __tsan_atomic8_compare_exchange_weak(volatile std::uint8_t* at, std::uint8_t* expected, std::uint8_t value, int,
                                         int) {
  return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0;
}
std::uint32_t __tsan_atomic32_load(const volatile std::uint32_t* at, int) {
  return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}
void __tsan_atomic32_store(volatile std::uint32_t* at, std::uint32_t value, int) {
  __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}
std::uint32_t __tsan_atomic32_exchange(volatile std::uint32_t* at, std::uint32_t value, int) {
  return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);
}
std::uint32_t __tsan_atomic32_fetch_add(volatile std::uint32_t* at, std::uint32_t value, int) {
  return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
}
std::uint32_t __tsan_atomic32_fetch_sub(volatile std::uint32_t* at, std::uint32_t value, int) {
  return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST);
}
std::uint32_t __tsan_atomic32_fetch_or(volatile std::uint32_t* at, std::uint32_t value, int) {
  return __atomic_fetch_or(at, value, __ATOMIC_SEQ_CST);
}
std::uint32_t __tsan_atomic32_fetch_and(volatile std::uint32_t* at, std::uint32_t value, int) {
  return __atomic_fetch_and(at, value, __ATOMIC_SEQ_CST);
}
int __tsan_atomic32_compare_exchange_strong(volatile std::uint32_t* at, std::uint32_t* expected, std::uint32_t value,
                                            int, int) {
  return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0;
}
int __tsan_atomic32_compare_exchange_weak(volatile std::uint32_t* at, std::uint32_t* expected, std::uint32_t value, int,
                                          int) {
  return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0;
}
std::uint64_t __tsan_atomic64_load(const volatile std::uint64_t* at, int) {
  return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}
void __tsan_atomic64_store(volatile std::uint64_t* at, std::uint64_t value, int) {
  __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}
std::uint64_t __tsan_atomic64_exchange(volatile std::uint64_t* at, std::uint64_t value, int) {
  return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);
}
std::uint64_t __tsan_atomic64_fetch_add(volatile std::uint64_t* at, std::uint64_t value, int) {
  return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
}
std::uint64_t __tsan_atomic64_fetch_sub(volatile std::uint64_t* at, std::uint64_t value, int) {
  return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST);
}
std::uint64_t __tsan_atomic64_fetch_or(volatile std::uint64_t* at, std::uint64_t value, int) {
  return __atomic_fetch_or(at, value, __ATOMIC_SEQ_CST);
}
std::uint64_t __tsan_atomic64_fetch_and(volatile std::uint64_t* at, std::uint64_t value, int) {
  return __atomic_fetch_and(at, value, __ATOMIC_SEQ_CST);
}
int __tsan_atomic64_compare_exchange_strong(volatile std::uint64_t* at, std::uint64_t* expected, std::uint64_t value,
                                            int, int) {
  return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0;
}
int __tsan_atomic64_compare_exchange_weak(volatile std::uint64_t* at, std::uint64_t* expected, std::uint64_t value, int,
                                          int) {
  return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0;
}
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}
}
