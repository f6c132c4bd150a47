// The exchange of files between nodes that all want them: each byte is read off the source once for all of them.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "stage/files.hpp"

namespace trainmark {

/// Bytes of one file within a block.
struct Piece {
  std::size_t entry = 0;  ///< of the manifest
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
};

/// Files one after the other, cut into blocks: small ones share one, a large one has many. The same on all ranks that
/// are given the same files.
class BlockStream {
 public:
  BlockStream(const Manifest& manifest, const std::vector<std::size_t>& entries, std::int64_t block_bytes);
  [[nodiscard]] std::int64_t blocks() const noexcept { return std::ssize(first_) - 1; }
  [[nodiscard]] std::span<const Piece> pieces_of(std::int64_t block) const;
  [[nodiscard]] std::int64_t most_pieces() const noexcept { return most_pieces_; }  ///< of a block

 private:
  std::vector<Piece> pieces_;
  std::vector<std::size_t> first_;  // piece of each block; and the end
  std::int64_t most_pieces_ = 0;
};

struct ExchangeStats {
  std::int64_t bytes_read = 0;  ///< off the source, by this rank
  std::int64_t retries = 0;
  double wait_seconds = 0.0;  ///< for blocks that others send
};

/// What one rank does with the files that are exchanged. Refers to what it is made of.
struct ExchangeJob {
  const Manifest& manifest;
  const BlockStream& stream;
  const std::filesystem::path& source;
  bool hashed = true;
  std::function<bool(std::size_t entry)> wanted;         ///< whether it lands here; others want it if not
  std::function<LandingPlace(std::size_t entry)> place;  ///< where; asked once, when its first byte is there
  std::function<void(std::unique_ptr<Landing> finished, std::string xxh3)> landed;
  ByteProgress progress;  ///< may raise Pulse::Cancelled
};

/// Whether nodes that hold the same part of a set send it to each other: where there are such, and not beside training.
[[nodiscard]] bool exchanges(const StageOptions& options, const StagingPlan& plan, int nodes) noexcept;

inline constexpr std::int64_t exchange_block_bytes = 4 << 20;
/// A rank's memory for blocks, those under way and the one that it reads.
[[nodiscard]] inline std::int64_t exchange_buffer_bytes(const StageOptions& options) {
  return (std::int64_t{options.inflight_mib} << 20) + exchange_block_bytes;
}

/// One rank's side of an exchange over `lane`, a rank of each node that takes part. Block b is read by rank b modulo
/// their number, ahead of need by a thread of its own, and broadcast; all write and hash what they receive. Bounded
/// memory: `memory_bytes` for blocks under way and one block more. A failure of one ends it on all, at the same block.
class Exchange {
 public:
  /// Collective over `lane`. Raises std::bad_alloc, which is to be agreed upon before run().
  Exchange(const Group& lane, const ExchangeJob& job, std::int64_t memory_bytes);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  /// Collective over `lane`. Raises what failed here, or Pulse::Cancelled where another rank failed.
  ExchangeStats run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The first of some of the entries of which the lane's ranks read different bytes, a few kB in the midst of each.
/// Collective over the world; the entries are the same on all ranks of a lane. Raises Error{data} where one cannot be
/// read.
[[nodiscard]] std::optional<std::size_t> seen_differently(const World& world, const Group& lane,
                                                          const Manifest& manifest,
                                                          std::span<const std::size_t> entries,
                                                          const std::filesystem::path& source);

}  // namespace trainmark
