// pread and preadv, repeated until everything is there.
#include "load/file_reads.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace trainmark {
namespace {

constexpr std::size_t most_pieces = 1024;  // IOV_MAX of Linux

[[noreturn]] void fail(const OpenFile& file, std::uint64_t offset, ssize_t got) {
  if (got == 0) {
    throw Error(ExitCode::data,
                Complaint{file.path.string(), fmt::format("is cut short: it ends before byte {}", offset),
                          "its header promises more", "copy or generate it again"});
  }
  throw Error(ExitCode::data,
              system_complaint(file.path.string(), fmt::format("reading at byte {} failed", offset), errno));
}

/// Where in what the descriptor reads a range of the file begins.
off_t place_of(const OpenFile& file, std::uint64_t offset, std::uint64_t bytes) {
  if (offset > file.range.bytes || bytes > file.range.bytes - offset) fail(file, file.range.bytes, 0);
  return static_cast<off_t>(file.range.offset + offset);
}

/// Drops the first `count` bytes from the pieces; returns the first piece that is left.
std::size_t advance(std::span<iovec> pieces, std::size_t count) {
  std::size_t first = 0;
  while (first < pieces.size() && count >= pieces[first].iov_len)
    count -= pieces[first++].iov_len;
  if (count > 0) {
    pieces[first].iov_base = static_cast<std::byte*>(pieces[first].iov_base) + count;
    pieces[first].iov_len -= count;
  }
  return first;
}

/// Where gaps land. Never read, so all threads may write to one of their own without anyone looking.
std::byte* nowhere() {
  thread_local std::array<std::byte, GatheredRead::largest_gap> dropped;
  return dropped.data();
}

std::vector<iovec>& kept_pieces() {
  thread_local std::vector<iovec> pieces;
  pieces.clear();
  return pieces;
}

}  // namespace

GatheredRead::GatheredRead(const OpenFile& file) : file_(file), pieces_(kept_pieces()) {}

void read_fully(const OpenFile& file, std::uint64_t offset, std::span<std::byte> to) {
  while (!to.empty()) {
    const ssize_t got = pread(file.descriptor, to.data(), to.size(), place_of(file, offset, to.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail(file, offset, got);
    to = to.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

void GatheredRead::add(std::uint64_t offset, std::span<std::byte> to) {
  const bool near = !pieces_.empty() && offset >= end_ && offset - end_ <= largest_gap;
  if (!near || pieces_.size() + 2 > most_pieces) finish();
  if (pieces_.empty()) {
    begin_ = offset;
  } else if (offset > end_) {
    pieces_.push_back({nowhere(), offset - end_});
  }
  pieces_.push_back({to.data(), to.size()});
  end_ = offset + to.size();
}

void GatheredRead::finish() {
  std::span<iovec> left = pieces_;
  while (!left.empty()) {
    const ssize_t got =
        preadv(file_.descriptor, left.data(), static_cast<int>(left.size()), place_of(file_, begin_, end_ - begin_));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail(file_, begin_, got);
    begin_ += static_cast<std::uint64_t>(got);
    left = left.subspan(advance(left, static_cast<std::size_t>(got)));
  }
  pieces_.clear();
}

}  // namespace trainmark
