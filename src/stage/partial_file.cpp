// Files that are not there until they are whole.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "stage/files.hpp"

namespace trainmark {

PartialFile::PartialFile(std::filesystem::path final_path, unsigned mode)
    : final_(std::move(final_path)), descriptor_(name_.create(final_, mode)) {
  if (descriptor_ < 0) file_error(final_, "cannot be written", errno);
  // While the lock is held the file belongs to a living process: remove_leftovers asks for it.
  flock(descriptor_, LOCK_EX | LOCK_NB);
}

PartialFile::~PartialFile() {
  if (descriptor_ < 0) return;
  unlink(path().c_str());
  close(descriptor_);
}

std::filesystem::path PartialFile::folder() const { return final_.parent_path().empty() ? "." : final_.parent_path(); }

void PartialFile::start_writing_back() const noexcept {
  sync_file_range(descriptor_, 0, 0, SYNC_FILE_RANGE_WRITE);  // a hint: sync() is what counts
}

void PartialFile::sync() const {
  if (fsync(descriptor_) != 0) file_error(final_, "cannot be flushed", errno);
}

void PartialFile::take_place() {
  if (rename(path().c_str(), final_.c_str()) != 0) file_error(final_, "cannot be renamed into place", errno);
  close(descriptor_);
  descriptor_ = -1;
  name_.forget();
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

void remove_leftovers(const std::filesystem::path& folder) {
  std::error_code status;
  for (const auto& entry : std::filesystem::directory_iterator(folder, status)) {
    if (!entry.path().filename().string().starts_with(temporary_prefix) || !facts_of(entry.path())) continue;
    const FileDescriptor file(open(entry.path().c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (file && flock(file.get(), LOCK_EX | LOCK_NB) == 0) unlink(entry.path().c_str());
  }
}

}  // namespace trainmark
