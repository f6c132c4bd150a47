// TFRecord files: one length-framed record behind another, plain or as gzip, each length and each record with a CRC. A
// record is a little-endian 64-bit length, its masked CRC-32C, the data, and their masked CRC-32C.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "load/descriptors.hpp"

namespace trainmark {

/// Whether a file of this name is taken for records: ".tfrecord" in it, in letters of any case; but no index (".idx").
[[nodiscard]] bool looks_like_records(std::string_view name);

struct Record {
  std::int64_t number = 0;          ///< in its file, from 0
  std::uint64_t offset = 0;         ///< of its length, in the file or in what it inflates to
  std::string where;                ///< both, for people; empty where the whole file is at fault
  std::span<const std::byte> data;  ///< valid until the next call; empty where there is a fault
  std::string fault;                ///< for people: why the record, or all that is left of the file, cannot be had
};

class RecordFile {
 public:
  /// A record, and all that a gzip file inflates to, is held in memory: this is the most.
  static constexpr std::uint64_t most_bytes = std::uint64_t{1} << 32;

  /// Raises Error{data}: cannot be opened or read. Whether it holds records, next() says.
  explicit RecordFile(std::filesystem::path path);

  /// The next record, nothing behind the last. Behind one whose data are wrong others may follow; behind a wrong length
  /// there is nothing to go by.
  [[nodiscard]] std::optional<Record> next();

 private:
  [[nodiscard]] std::string inflate_if_gzip();
  [[nodiscard]] std::string other_kind();
  [[nodiscard]] std::span<const std::byte> bytes_at(std::uint64_t offset, std::size_t count);
  [[nodiscard]] Record here() const;

  std::filesystem::path path_;
  Descriptor descriptor_;
  std::uint64_t size_ = 0, at_ = 0;  ///< of the file or what it inflates to
  std::int64_t number_ = 0;
  bool inflated_ = false, ended_ = false;
  std::vector<std::byte> bytes_;  ///< inflated: all of them; else what was read last
};

}  // namespace trainmark
