#include "load/image_cache.hpp"

#include <mutex>

#include "load/kept_memory.hpp"

namespace trainmark {
namespace {

/// What an entry of the table costs beside its pixels, in bytes: rounded up from a node and its share of buckets.
constexpr std::size_t entry_bytes = 128;

}  // namespace

ImageCache::ImageCache(std::int64_t most_bytes)
    : most_bytes_(static_cast<std::size_t>(most_bytes)), memory_(memory_to_keep(most_bytes_)) {}

std::optional<ImageCache::Kept> ImageCache::find(std::int64_t sample) const {
  const std::shared_lock lock(mutex_);
  const auto found = entries_.find(sample);
  if (found == entries_.end()) return std::nullopt;
  return found->second.kept;
}

std::span<std::byte> ImageCache::claim(std::int64_t sample, ImageExtent image, int reduction, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(sample);
  const std::size_t place = place_of(reduction), is_new = found == entries_.end() ? 1 : 0;
  if (is_new == 0 && found->second.claimed[place]) return {};
  if (filled_ + bytes + entry_bytes * (entries_.size() + is_new) > most_bytes_) return {};
  Entry& entry = entries_[sample];
  entry.kept.image = image;
  entry.claimed[place] = true;
  const std::span<std::byte> room(memory_.get() + filled_, bytes);
  filled_ += bytes;
  return room;
}

void ImageCache::keep(std::int64_t sample, int reduction, std::span<const std::byte> filled) {
  const std::lock_guard lock(mutex_);
  entries_.at(sample).kept.pixels[place_of(reduction)] = filled.data();
}

KeptStats ImageCache::stats() const {
  const std::shared_lock lock(mutex_);
  return {.bytes = static_cast<std::int64_t>(filled_ + entry_bytes * entries_.size()), .samples = std::ssize(entries_)};
}

}  // namespace trainmark
