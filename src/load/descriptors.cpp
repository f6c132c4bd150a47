// Open files, least recently used first out.
#include "load/descriptors.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace trainmark {

void DescriptorTraits::release(type raw) noexcept { close(raw); }

Descriptor open_to_read(const std::filesystem::path& path) {
  Descriptor descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor) return descriptor;
  throw Error(ExitCode::data, system_complaint(path.string(), "cannot be opened", errno,
                                               "check the path and that this user may read it"));
}

std::shared_ptr<const Descriptor> DescriptorCache::find(std::size_t number) {
  for (Entry& entry : entries_) {
    if (entry.number != number) continue;
    entry.used = ++time_;
    return entry.descriptor;
  }
  return nullptr;
}

std::shared_ptr<const Descriptor> DescriptorCache::get(std::size_t number, const std::filesystem::path& path,
                                                       const std::function<void(int descriptor)>& inspect) {
  {
    const std::lock_guard lock(mutex_);
    if (auto found = find(number)) return found;
  }
  // Opened without the lock: on a parallel file system this takes a round trip.
  auto opened = std::make_shared<const Descriptor>(open_again(path));
  if (inspect) inspect(opened->get());
  const std::lock_guard lock(mutex_);
  if (auto found = find(number)) return found;
  if (entries_.size() >= capacity_) drop_oldest();
  entries_.push_back({number, ++time_, opened});
  return opened;
}

/// Gives up older files as long as the process, or the node, has no descriptor left.
Descriptor DescriptorCache::open_again(const std::filesystem::path& path) {
  for (;;) {
    Descriptor descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (descriptor) return descriptor;
    const int error_number = errno;
    const std::lock_guard lock(mutex_);
    const bool none_left = error_number == EMFILE || error_number == ENFILE;
    if (none_left && !entries_.empty()) {
      drop_oldest();
      continue;
    }
    Complaint complaint = system_complaint(path.string(), "cannot be opened", error_number, "stage the data again");
    if (complaint.why.empty()) complaint.why = "it was there when the dataset was scanned or staged";
    throw Error(ExitCode::data, complaint);
  }
}

void DescriptorCache::drop_oldest() { entries_.erase(std::ranges::min_element(entries_, {}, &Entry::used)); }

}  // namespace trainmark
