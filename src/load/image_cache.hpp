// Decoded images that stay in a process's memory, up to so many bytes: what a later visit of a sample takes instead of
// reading and decoding it again. Nothing leaves once it is in, because an epoch visits each sample once: whatever would
// make room would be wanted again before what it made room for.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <span>
#include <unordered_map>

#include "load/crop.hpp"

namespace trainmark {

/// Safe to use from several threads.
class ImageCache {
 public:
  /// Memory is taken from the system as it is filled. Raises Error{environment}: there is no address space for so much.
  explicit ImageCache(std::int64_t most_bytes);

  /// What is kept of a sample: pixels of the whole image, [height][width][3], reduced by 1, 2, 4 and 8; null where that
  /// reduction is not kept.
  struct Kept {
    ImageExtent image;  ///< unreduced
    std::array<const std::byte*, 4> pixels{};
    [[nodiscard]] const std::byte* reduced_by(int reduction) const noexcept { return pixels[place_of(reduction)]; }
  };
  [[nodiscard]] std::optional<Kept> find(std::int64_t sample) const;

  /// Room for a sample's pixels at a reduction, for the caller to fill and then to hand to keep(). Empty: nothing is
  /// left, or somebody else has claimed it.
  [[nodiscard]] std::span<std::byte> claim(std::int64_t sample, ImageExtent image, int reduction, std::size_t bytes);
  void keep(std::int64_t sample, int reduction, std::span<const std::byte> filled);

  [[nodiscard]] KeptStats stats() const;

 private:
  struct Entry {
    Kept kept;
    std::array<bool, 4> claimed{};
  };
  static std::size_t place_of(int reduction) noexcept {
    return static_cast<std::size_t>(std::countr_zero(static_cast<unsigned>(reduction)));
  }

  std::size_t most_bytes_;
  std::unique_ptr<std::byte[]> memory_;  // never touched before it is claimed
  mutable std::shared_mutex mutex_;
  std::size_t filled_ = 0;  // bytes of it that were claimed
  std::unordered_map<std::int64_t, Entry> entries_;
};

}  // namespace trainmark
