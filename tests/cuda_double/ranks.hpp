// Where ranks meet: a POSIX shared-memory segment named by the communicator's id, so that ranks may be processes or
// threads. Data passes through it in rounds of one chunk a rank, in two halves used in turn.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace trainmark::cuda_double {

/// What a rank is about to do; all must agree.
struct Intent {
  std::int32_t collective = 0, type = 0, reduction = 0, root = 0;
  std::uint64_t count = 0;
  bool operator==(const Intent&) const = default;
};

class Segment {
 public:
  static constexpr std::size_t chunk_bytes = std::size_t{1} << 18;
  static constexpr int most_ranks = 32;

  Segment(const std::string& name, int ranks);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  [[nodiscard]] bool all_joined() const { return shared_->joined >= ranks_; }
  [[nodiscard]] char* chunk(std::uint64_t round, int rank) const;
  void arrive(std::uint64_t round, int rank, const Intent& intent);
  [[nodiscard]] bool all_arrived(std::uint64_t round) const;
  [[nodiscard]] bool somebody_arrived(std::uint64_t round) const;
  /// "1 3": who is missing in this round.
  [[nodiscard]] std::string missing(std::uint64_t round) const;
  [[nodiscard]] const Intent& intent(std::uint64_t round, int rank) const;

 private:
  struct alignas(64) Rank {
    std::atomic<std::uint64_t> rounds;  // that it has come to
    Intent intents[2];
  };
  struct Shared {
    std::atomic<int> joined;
    Rank ranks[most_ranks];
  };
  std::string name_;
  int ranks_;
  std::size_t bytes_;
  Shared* shared_;
};

}  // namespace trainmark::cuda_double
