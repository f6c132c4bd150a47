#include "load/record_file.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "core/reading.hpp"
#include "load/crc32c.hpp"
#include "load/file_reads.hpp"
#include "load/inflate.hpp"

namespace trainmark {
namespace {

constexpr std::size_t length_bytes = 8, crc_bytes = 4, head_bytes = length_bytes + crc_bytes;

std::uint64_t little_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;)
    value = value << 8 | static_cast<std::uint64_t>(bytes[i]);
  return value;
}

/// Whether a CRC that stands in the file is that of its bytes.
bool is_crc_of(std::span<const std::byte> stored, std::span<const std::byte> bytes) {
  return little_endian(stored) == masked_crc32c(bytes);
}

std::string crc_fault(std::string_view whose, std::span<const std::byte> stored, std::span<const std::byte> bytes) {
  return fmt::format("is damaged: the CRC of its {} is {:08x} by the file and {:08x} by what is there", whose,
                     little_endian(stored), masked_crc32c(bytes));
}

}  // namespace

bool looks_like_records(std::string_view name) {
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower.find(".tfrecord") != std::string::npos && !lower.ends_with(".idx");
}

RecordFile::RecordFile(std::filesystem::path path)
    : path_(std::move(path)), descriptor_(open_to_read(path_)), size_(std::filesystem::file_size(path_)) {}

std::optional<Record> RecordFile::next() {
  if (ended_) return std::nullopt;
  const auto last = [&](Record record, std::string fault) {
    ended_ = true;
    record.fault = std::move(fault);
    return record;
  };
  if (number_ == 0) {
    if (size_ == 0) return last({}, "is empty");
    if (std::string fault = inflate_if_gzip(); !fault.empty()) return last({}, std::move(fault));
    if (size_ == 0) return last({}, "is empty: it inflates to nothing");
  }
  const std::uint64_t left = size_ - at_;
  if (left == 0) {
    ended_ = true;
    return std::nullopt;
  }
  Record record = here();
  if (left < head_bytes) return last(record, fmt::format("is cut short: {} bytes are left for its length", left));
  const std::span<const std::byte> head = bytes_at(at_, head_bytes);
  const std::uint64_t length = little_endian(head.first(length_bytes));
  if (!is_crc_of(head.subspan(length_bytes), head.first(length_bytes))) {
    std::string fault = crc_fault("length", head.subspan(length_bytes), head.first(length_bytes));
    if (number_ > 0) return last(record, std::move(fault));
    if (const std::string kind = other_kind(); !kind.empty())
      return last({}, fmt::format("is {}, and holds no records", kind));
    return last(record, fault + " (or the file holds no records at all)");
  }
  const std::uint64_t room = left - head_bytes;
  if (room < crc_bytes || length > room - crc_bytes)
    return last(record, fmt::format("is cut short: it has {} bytes and a CRC, but {} bytes are left", length, room));
  if (length > most_bytes) return last(record, fmt::format("has {} bytes, more than {}", length, most_bytes));

  const auto count = static_cast<std::size_t>(length);
  const std::span<const std::byte> rest = bytes_at(at_ + head_bytes, count + crc_bytes);
  at_ += head_bytes + length + crc_bytes;
  ++number_;
  if (is_crc_of(rest.subspan(count), rest.first(count))) {
    record.data = rest.first(count);
  } else {
    record.fault = crc_fault("data", rest.subspan(count), rest.first(count));
  }
  return record;
}

/// A record's length may look like gzip's first bytes, but then its CRC fits.
std::string RecordFile::inflate_if_gzip() {
  const std::span<const std::byte> head =
      bytes_at(0, static_cast<std::size_t>(std::min<std::uint64_t>(size_, head_bytes)));
  const bool plain = head.size() == head_bytes && is_crc_of(head.subspan(length_bytes), head.first(length_bytes));
  if (plain || !looks_like_gzip(head)) return "";
  if (size_ > most_bytes) return fmt::format("has {} bytes as gzip, more than {}", size_, most_bytes);
  std::vector<std::byte> coded(static_cast<std::size_t>(size_));
  read_fully({path_, descriptor_.get()}, 0, coded);
  std::string fault = inflate_gzip(coded, most_bytes, bytes_);
  inflated_ = true;
  size_ = bytes_.size();
  return fault;
}

/// What a file is by its first bytes, of which a record's would be others; empty: not known.
std::string RecordFile::other_kind() {
  const std::span<const std::byte> head =
      bytes_at(0, static_cast<std::size_t>(std::min<std::uint64_t>(size_, kind_head_bytes)));
  const FileKind* kind = kind_of({reinterpret_cast<const char*>(head.data()), head.size()});
  return kind == nullptr ? "" : std::string(kind->name);
}

std::span<const std::byte> RecordFile::bytes_at(std::uint64_t offset, std::size_t count) {
  if (inflated_) return std::span<const std::byte>(bytes_).subspan(static_cast<std::size_t>(offset), count);
  if (bytes_.size() < count) bytes_.resize(count);
  const std::span<std::byte> to = std::span(bytes_).first(count);
  read_fully({path_, descriptor_.get()}, offset, to);
  return to;
}

Record RecordFile::here() const {
  const char* in = inflated_ ? " of what it inflates to" : "";
  return {number_, at_, fmt::format("record {} at byte {}{}", number_, at_, in), {}, {}};
}

}  // namespace trainmark
