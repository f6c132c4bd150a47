// Collectives as state machines: each call moves what can be moved and never blocks, so that a stream's queue can ask
// again. Sums go in rank order, the same on all ranks.
#include "cuda_double/communicator.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>

namespace trainmark::cuda_double {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Calls body with a null pointer of the type's own kind.
template <class Body>
void with_type(ncclDataType_t type, Body&& body) {
  switch (type) {
    case ncclInt8:
      return body(static_cast<std::int8_t*>(nullptr));
    case ncclUint8:
      return body(static_cast<std::uint8_t*>(nullptr));
    case ncclInt32:
      return body(static_cast<std::int32_t*>(nullptr));
    case ncclUint32:
      return body(static_cast<std::uint32_t*>(nullptr));
    case ncclInt64:
      return body(static_cast<std::int64_t*>(nullptr));
    case ncclUint64:
      return body(static_cast<std::uint64_t*>(nullptr));
    case ncclFloat16:
      return body(static_cast<__half*>(nullptr));
    case ncclFloat32:
      return body(static_cast<float*>(nullptr));
    case ncclFloat64:
      return body(static_cast<double*>(nullptr));
    case ncclBfloat16:
      return body(static_cast<__nv_bfloat16*>(nullptr));
    default:
      throw std::invalid_argument("a type that the NCCL double does not know");
  }
}

template <class T>
T combined(T a, T b, ncclRedOp_t reduction) {
  switch (reduction) {
    case ncclSum:
    case ncclAvg:
      return static_cast<T>(a + b);
    case ncclProd:
      return static_cast<T>(a * b);
    case ncclMax:
      return std::max(a, b);
    case ncclMin:
      return std::min(a, b);
    default:
      throw std::invalid_argument("a reduction that the NCCL double does not know");
  }
}
__half combined(__half a, __half b, ncclRedOp_t reduction) {
  return __float2half_rn(combined(__half2float(a), __half2float(b), reduction));
}
__nv_bfloat16 combined(__nv_bfloat16 a, __nv_bfloat16 b, ncclRedOp_t reduction) {
  return __float2bfloat16_rn(combined(__bfloat162float(a), __bfloat162float(b), reduction));
}

template <class T>
T divided(T value, int by) {
  return static_cast<T>(value / static_cast<T>(by));
}
__half divided(__half value, int by) { return __float2half_rn(__half2float(value) / static_cast<float>(by)); }
__nv_bfloat16 divided(__nv_bfloat16 value, int by) {
  return __float2bfloat16_rn(__bfloat162float(value) / static_cast<float>(by));
}

}  // namespace

std::size_t size_of(ncclDataType_t type) {
  std::size_t bytes = 0;
  with_type(type, [&](auto* null) { bytes = sizeof(*null); });
  return bytes;
}

std::string describe(const Collective& collective) {
  constexpr const char* names[] = {"all-reduce", "broadcast", "all-gather"};
  return fmt::format("{} of {} elements (type {}, reduction {}, root {})", names[static_cast<int>(collective.kind)],
                     collective.count, static_cast<int>(collective.type), static_cast<int>(collective.reduction),
                     collective.root);
}

void combine(void* into, const void* from, std::size_t count, ncclDataType_t type, ncclRedOp_t reduction) {
  with_type(type, [&](auto* null) {
    auto* a = static_cast<decltype(null)>(into);
    const auto* b = static_cast<decltype(null)>(const_cast<void*>(from));
    for (std::size_t i = 0; i < count; ++i)
      a[i] = combined(a[i], b[i], reduction);
  });
}

void divide(void* values, std::size_t count, ncclDataType_t type, int by) {
  with_type(type, [&](auto* null) {
    auto* a = static_cast<decltype(null)>(values);
    for (std::size_t i = 0; i < count; ++i)
      a[i] = divided(a[i], by);
  });
}

bool Communicator::give_up_after_limit(const Collective& collective) {
  if (since == 0.0) since = now();
  const double limit = device().options.time_limit_seconds;
  if (now() - since < limit) return false;
  add_finding(fmt::format("rank {} of {} waited {} s in its collective {} ({}) for ranks {}", rank, size, limit, ended,
                          describe(collective), segment.missing(round)));
  error = ncclRemoteError;
  aborted = true;
  return true;
}

bool Communicator::intents_agree(const Collective& collective, const Intent& own) {
  for (int other = 0; other < size; ++other) {
    const Intent& intent = segment.intent(round, other);
    if (intent == own) continue;
    const Collective theirs{static_cast<Kind>(intent.collective),
                            nullptr,
                            nullptr,
                            intent.count,
                            static_cast<ncclDataType_t>(intent.type),
                            static_cast<ncclRedOp_t>(intent.reduction),
                            intent.root};
    add_finding(fmt::format("collectives disagree: rank {} comes with {}, rank {} with {}", rank, describe(collective),
                            other, describe(theirs)));
    error = ncclInvalidUsage;
    return false;
  }
  return true;
}

/// Brings one chunk of every rank's part to where it belongs.
void Communicator::take(const Collective& collective, std::size_t bytes) {
  const std::size_t count = bytes / size_of(collective.type), part = collective.count * size_of(collective.type);
  char* to = collective.receive + offset;
  switch (collective.kind) {
    case Kind::broadcast:
      std::memcpy(to, segment.chunk(round, collective.root), bytes);
      return;
    case Kind::all_gather:
      for (int other = 0; other < size; ++other)
        std::memcpy(to + static_cast<std::size_t>(other) * part, segment.chunk(round, other), bytes);
      return;
    case Kind::all_reduce:
      std::memcpy(to, segment.chunk(round, 0), bytes);
      for (int other = 1; other < size; ++other)
        combine(to, segment.chunk(round, other), count, collective.type, collective.reduction);
      if (collective.reduction == ncclAvg) divide(to, count, collective.type, size);
  }
}

bool Communicator::advance(const Collective& collective, bool absent) {
  const Intent own{static_cast<std::int32_t>(collective.kind), collective.type, collective.reduction, collective.root,
                   collective.count};
  const std::size_t part = collective.count * size_of(collective.type);
  for (;;) {
    if (aborted) return true;
    const std::size_t bytes = std::min(part - offset, Segment::chunk_bytes);
    if (!posted && !absent && error == ncclSuccess) {
      std::memcpy(segment.chunk(round, rank), collective.send + offset, bytes);
      segment.arrive(round, rank, own);
      posted = true;
    }
    if (error != ncclSuccess) return false;  // hangs until somebody aborts it
    if (!posted || !segment.all_arrived(round)) return give_up_after_limit(collective);
    const bool agree = intents_agree(collective, own);
    if (agree) take(collective, bytes);
    since = 0.0;
    posted = false;
    ++round;
    offset += bytes;
    if (!agree || offset == part) break;
  }
  offset = 0;
  return true;
}

}  // namespace trainmark::cuda_double
