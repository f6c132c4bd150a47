// Open files, least recently used first out.
#include "load/descriptors.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace trainmark {

void DescriptorTraits::release(type raw) noexcept { close(raw); }

Descriptor open_to_read(const std::filesystem::path& path) {
  Descriptor descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!descriptor) {
    throw Error(ExitCode::data,
                Complaint{path.string(), fmt::format("cannot be opened: {}", std::strerror(errno)),
                          "it was there when the dataset was scanned or staged", "stage the data again"});
  }
  return descriptor;
}

std::shared_ptr<const Descriptor> DescriptorCache::find(std::size_t number) {
  for (Entry& entry : entries_) {
    if (entry.number != number) continue;
    entry.used = ++time_;
    return entry.descriptor;
  }
  return nullptr;
}

std::shared_ptr<const Descriptor> DescriptorCache::get(std::size_t number, const std::filesystem::path& path) {
  {
    const std::lock_guard lock(mutex_);
    if (auto found = find(number)) return found;
  }
  // Opened without the lock: on a parallel file system this takes a round trip.
  auto opened = std::make_shared<const Descriptor>(open_to_read(path));
  const std::lock_guard lock(mutex_);
  if (auto found = find(number)) return found;
  if (entries_.size() >= capacity_) {
    const auto oldest = std::min_element(entries_.begin(), entries_.end(),
                                         [](const Entry& a, const Entry& b) { return a.used < b.used; });
    entries_.erase(oldest);
  }
  entries_.push_back({number, ++time_, opened});
  return opened;
}

}  // namespace trainmark
