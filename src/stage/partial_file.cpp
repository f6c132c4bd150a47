// Files that are not there until they are whole, and the table by which a signal thread finds the unfinished ones.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

#include "stage/files.hpp"

namespace trainmark {
namespace {

constexpr std::string_view prefix = ".trainmark-";

enum class SlotState : int { free, writing, live, taken };
struct Registered {
  std::atomic<SlotState> state{SlotState::free};
  std::array<char, PATH_MAX> path{};
};
std::array<Registered, 192> registry;  // a commit has up to 128 of them

int register_path(const std::string& path) {
  if (path.size() >= PATH_MAX) return -1;
  for (std::size_t i = 0; i < registry.size(); ++i) {
    SlotState expected = SlotState::free;
    if (!registry[i].state.compare_exchange_strong(expected, SlotState::writing)) continue;
    std::memcpy(registry[i].path.data(), path.c_str(), path.size() + 1);
    registry[i].state.store(SlotState::live);
    return static_cast<int>(i);
  }
  return -1;  // more files at once than the table has room for: those are leftovers if a signal comes
}

void unregister(int slot) noexcept {
  if (slot < 0) return;
  // A slot that remove_temporaries has taken is never used again: its path must stay whole.
  SlotState expected = SlotState::live;
  registry[static_cast<std::size_t>(slot)].state.compare_exchange_strong(expected, SlotState::free);
}

std::string temporary_leaf() {
  static std::atomic<unsigned> number{0};
  std::array<char, 65> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  return fmt::format("{}{}-{}-{}", prefix, host.data(), getpid(), number++);
}

}  // namespace

PartialFile::PartialFile(std::filesystem::path final_path, unsigned mode) : final_(std::move(final_path)) {
  const std::filesystem::path beside = folder();
  do {
    path_ = beside / temporary_leaf();
    slot_ = register_path(path_.string());
    descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (descriptor_ >= 0) break;
    unregister(slot_);
  } while (errno == EEXIST);
  if (descriptor_ < 0) file_error(final_, "cannot be written", errno);
  // While the lock is held the file belongs to a living process: remove_leftovers asks for it.
  flock(descriptor_, LOCK_EX | LOCK_NB);
}

PartialFile::~PartialFile() {
  if (descriptor_ >= 0) {
    unlink(path_.c_str());
    close(descriptor_);
  }
  unregister(slot_);
}

std::filesystem::path PartialFile::folder() const { return final_.parent_path().empty() ? "." : final_.parent_path(); }

void PartialFile::start_writing_back() const noexcept {
  sync_file_range(descriptor_, 0, 0, SYNC_FILE_RANGE_WRITE);  // a hint: sync() is what counts
}

void PartialFile::sync() const {
  if (fsync(descriptor_) != 0) file_error(final_, "cannot be flushed", errno);
}

void PartialFile::take_place() {
  if (rename(path_.c_str(), final_.c_str()) != 0) file_error(final_, "cannot be renamed into place", errno);
  close(descriptor_);
  descriptor_ = -1;
  unregister(slot_);
  slot_ = -1;
}

void PartialFile::sync_folder(const std::filesystem::path& folder) noexcept {
  const FileDescriptor opened(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened) fsync(opened.get());  // some file systems have no fsync of folders: nothing more can be done there
}

void PartialFile::publish() {
  sync();
  take_place();
  sync_folder(folder());
}

void remove_temporaries() noexcept {
  for (Registered& entry : registry) {
    SlotState expected = SlotState::live;
    if (entry.state.compare_exchange_strong(expected, SlotState::taken)) unlink(entry.path.data());
  }
}

void remove_leftovers(const std::filesystem::path& folder) {
  std::error_code status;
  for (const auto& entry : std::filesystem::directory_iterator(folder, status)) {
    if (!entry.path().filename().string().starts_with(prefix) || !facts_of(entry.path())) continue;
    const FileDescriptor file(open(entry.path().c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (file && flock(file.get(), LOCK_EX | LOCK_NB) == 0) unlink(entry.path().c_str());
  }
}

}  // namespace trainmark
