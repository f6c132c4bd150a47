// Filling containers. What an index lists is on the disk: the container is flushed before its lines are written.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <utility>

#include "stage/container.hpp"

namespace trainmark {
namespace {

/// After how much the files that wait are listed: what a kill may cost.
constexpr std::int64_t bytes_a_commit = 64 << 20;
/// So much at a time the disk is told to begin with, while more is read.
constexpr std::int64_t hurry_bytes = 8 << 20;

FileDescriptor make_file(const std::filesystem::path& path) {
  // For its owner alone, whatever the sources' permissions: what may be read by fewer lies beside it.
  FileDescriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file && errno != EEXIST) file_error(path, "cannot be written", errno);
  return file;
}

std::uint64_t any_number() {
  std::random_device device;
  return ((std::uint64_t{device()} << 32U) + device()) | 1U;  // 0 is none
}

}  // namespace

ContainerWriter::ContainerWriter(std::filesystem::path folder, std::string source, Commit::Published published,
                                 ByteProgress beat)
    : folder_(std::move(folder)), published_(std::move(published)), beat_(std::move(beat)) {
  now_.source = std::move(source);
}

/// A number that no rank has taken, of this node or of another one that shares the folder.
void ContainerWriter::open_next() {
  const std::vector<int> taken = container_numbers(folder_);
  now_.id = any_number();
  for (now_.number = taken.empty() ? 0 : taken.back() + 1; !container_; ++now_.number) {
    index_ = make_file(index_path(folder_, now_.number));
    if (!index_) continue;
    container_ = make_file(container_path(folder_, now_.number));
    if (container_) break;
    unlink(index_path(folder_, now_.number).c_str());
  }
  const std::string head = container_head(now_.id), index = index_text(now_);
  const std::filesystem::path path = container_path(folder_, now_.number), beside = index_path(folder_, now_.number);
  try {
    write_all(container_.get(), std::as_bytes(std::span(head)), path);
    write_all(index_.get(), std::as_bytes(std::span(index)), beside);
  } catch (const Error&) {  // a head that was cut short would be nobody's
    container_ = {};
    unlink(path.c_str());
    unlink(beside.c_str());
    throw;
  }
  PartialFile::sync_folder(folder_);
  end_ = hurried_ = whole_ = container_block_bytes;
}

LandingPlace ContainerWriter::next(std::int64_t bytes) {
  if (container_ && end_ + in_blocks(bytes) > container_bytes) {
    flush();
    container_ = {};
  }
  if (!container_) open_next();
  const std::int64_t offset = std::exchange(end_, end_ + in_blocks(bytes));
  return {container_path(folder_, now_.number), container_.get(), {now_.number, offset}};
}

void ContainerWriter::add(std::unique_ptr<Landing> finished, std::string xxh3) {
  const ManifestEntry& entry = finished->entry();
  ManifestEntry listed = entry;
  if (!xxh3.empty()) listed.xxh3 = std::move(xxh3);
  listed.modified_ns = finished->modified_ns();
  const std::int64_t finished_at = finished->place().offset;
  waiting_.push_back({entry, std::move(listed), finished_at});
  waiting_bytes_ += in_blocks(entry.bytes);
  whole_ = finished_at + entry.bytes;
  if (end_ - hurried_ >= hurry_bytes) {
    sync_file_range(container_.get(), hurried_, end_ - hurried_, SYNC_FILE_RANGE_WRITE);  // flush() is what counts
    hurried_ = end_;
  }
  if (waiting_bytes_ >= bytes_a_commit) flush();
}

void ContainerWriter::flush() {
  if (waiting_.empty()) return;
  beat_(0);
  const int failure = fsync(container_.get()) == 0 ? 0 : errno;
  const std::vector<Waiting> waiting = std::exchange(waiting_, {});
  waiting_bytes_ = 0;
  try {
    if (failure != 0) file_error(container_path(folder_, now_.number), "cannot be flushed", failure);
    std::string lines;
    for (const Waiting& each : waiting)
      lines += index_line(now_.id, {each.listed, each.offset});
    const std::filesystem::path index = index_path(folder_, now_.number);
    write_all(index_.get(), std::as_bytes(std::span(lines)), index);
    if (fsync(index_.get()) != 0) file_error(index, "cannot be flushed", errno);
  } catch (...) {
    container_ = {};  // a second fsync would succeed, whatever became of the bytes; a torn line must stay the last one
    throw;
  }
  for (const Waiting& each : waiting)
    published_(each.entry, each.listed.xxh3);
  beat_(0);
}

void ContainerWriter::keep() noexcept {
  try {
    beat_ = [](std::int64_t) {};
    // A file that was not finished gives its space back: where none is left, the lines of those before it need it.
    if (container_ && ftruncate(container_.get(), whole_) != 0)
      diagnose(LogLevel::debug, [&] { return fmt::format("container {} cannot be cut", now_.number); });
    flush();
  } catch (const std::exception&) {
  }
  waiting_.clear();
}

}  // namespace trainmark
