// Numbers as files hold them, and how they become those of a field: labels come in integers of any width, and a value
// that the field's type has no room for is found, never wrapped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>

#include "trainmark/core.hpp"

namespace trainmark {

template <class T>
T element(std::span<const std::byte> values, std::size_t index) {
  T value{};
  std::memcpy(&value, values.data() + index * sizeof(T), sizeof(T));
  return value;
}

/// Calls visit<T>() for the type that a field's elements have in memory.
template <class Visit>
auto with_type(DType dtype, Visit&& visit) {
  switch (dtype) {
    case DType::i16:
      return visit.template operator()<std::int16_t>();
    case DType::i32:
      return visit.template operator()<std::int32_t>();
    case DType::i64:
      return visit.template operator()<std::int64_t>();
    case DType::u8:
      return visit.template operator()<std::uint8_t>();
    case DType::f64:
      return visit.template operator()<double>();
    default:
      TRAINMARK_CHECK(dtype == DType::f32, name_of(dtype));
      return visit.template operator()<float>();
  }
}

enum class Number : std::uint8_t { i8, u8, i16, u16, i32, u32, i64, u64, f32, f64 };
[[nodiscard]] std::size_t size_of(Number number) noexcept;
[[nodiscard]] bool is_whole(Number number) noexcept;
[[nodiscard]] bool is_whole(DType dtype) noexcept;

/// Whether a field of type `to` takes such numbers: whole ones of any width, or floats of either.
[[nodiscard]] bool becomes(Number from, DType to) noexcept;
/// Whether they are the same bytes in memory.
[[nodiscard]] bool same_bytes(Number from, DType to) noexcept;

/// Native numbers `from` into elements of type `to`; floats are rounded to nearest. Returns the index of the first
/// finite value that the type has no room for; what stands in its place is not specified. Contract: becomes(from, to).
[[nodiscard]] std::optional<std::size_t> convert(Number from, std::span<const std::byte> values, DType to,
                                                 std::span<std::byte> result);
/// One of the numbers as text.
[[nodiscard]] std::string text_of(Number number, std::span<const std::byte> values, std::size_t index);

}  // namespace trainmark
