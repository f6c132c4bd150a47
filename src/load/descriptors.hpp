// A bounded number of open files: thousands of files must not run into the limit of descriptors, and a file that is
// read often must not be opened each time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark {

struct DescriptorTraits {
  using type = int;
  static type null() noexcept { return -1; }
  static void release(type raw) noexcept;
};
using Descriptor = Handle<DescriptorTraits>;

/// A file that is opened once and read through. Raises Error{data}.
[[nodiscard]] Descriptor open_to_read(const std::filesystem::path& path);

/// The most recently used open files, by a number of the caller's. Safe to call from several threads; a descriptor that
/// is in use stays open after it left the cache.
class DescriptorCache {
 public:
  explicit DescriptorCache(std::size_t capacity) : capacity_(capacity) {}
  /// `inspect` sees the descriptor of a file that had to be opened, before anybody reads through it; it may raise.
  [[nodiscard]] std::shared_ptr<const Descriptor> get(std::size_t number, const std::filesystem::path& path,
                                                      const std::function<void(int descriptor)>& inspect = {});

 private:
  struct Entry {
    std::size_t number = 0;
    std::uint64_t used = 0;
    std::shared_ptr<const Descriptor> descriptor;
  };
  std::shared_ptr<const Descriptor> find(std::size_t number);  // with the mutex held, as drop_oldest
  void drop_oldest();
  Descriptor open_again(const std::filesystem::path& path);

  std::size_t capacity_;
  std::mutex mutex_;
  std::uint64_t time_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace trainmark
