// CRC-32C (Castagnoli's polynomial, as in RFC 3720), which guards TFRecords.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace trainmark {

[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept;

/// As TFRecords store it: turned and moved, because a CRC of bytes that hold their own CRC says little.
[[nodiscard]] std::uint32_t masked_crc32c(std::span<const std::byte> bytes) noexcept;

}  // namespace trainmark
