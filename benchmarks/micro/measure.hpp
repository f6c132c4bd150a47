// What micro-benchmarks measure with: medians, best times, and the copy bandwidth that bounds what only moves bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark::bench {

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// The best of a few repetitions: what the machine can do, not what it did on average.
template <class Work>
double best_seconds(int repetitions, Work&& work) {
  double best = 1e9;
  for (int i = 0; i < repetitions; ++i) {
    const Clock clock;
    work();
    best = std::min(best, clock.seconds());
  }
  return best;
}

/// Bytes read and written per second by threads copying memory that no cache holds.
inline double copy_bandwidth(int threads) {
  const std::size_t bytes = std::size_t{256} << 20;
  std::vector<std::byte> from(bytes, std::byte{1}), to(bytes);
  const double seconds = best_seconds(5, [&] {
#pragma omp parallel for num_threads(threads)
    for (int part = 0; part < threads; ++part) {
      const Range range = slice_of(static_cast<std::int64_t>(bytes), threads, part);
      std::memcpy(to.data() + range.begin, from.data() + range.begin, static_cast<std::size_t>(range.size()));
    }
  });
  return 2.0 * static_cast<double>(bytes) / seconds;
}

}  // namespace trainmark::bench
