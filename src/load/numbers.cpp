// One loop for each pair of types, in its plainest form, so that compilers make vectors of it.
#include "load/numbers.hpp"

#include <fmt/core.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

namespace trainmark {
namespace {

template <class Visit>
auto with_number(Number number, Visit&& visit) {
  switch (number) {
    case Number::i8:
      return visit.template operator()<std::int8_t>();
    case Number::u8:
      return visit.template operator()<std::uint8_t>();
    case Number::i16:
      return visit.template operator()<std::int16_t>();
    case Number::u16:
      return visit.template operator()<std::uint16_t>();
    case Number::i32:
      return visit.template operator()<std::int32_t>();
    case Number::u32:
      return visit.template operator()<std::uint32_t>();
    case Number::i64:
      return visit.template operator()<std::int64_t>();
    case Number::u64:
      return visit.template operator()<std::uint64_t>();
    case Number::f32:
      return visit.template operator()<float>();
    default:
      return visit.template operator()<double>();
  }
}

template <class To, class From>
bool has_room(From value) {
  if constexpr (std::is_integral_v<To>) {
    return std::in_range<To>(value);
  } else if constexpr (sizeof(To) >= sizeof(From)) {
    return true;
  } else {
    return !std::isfinite(value) || std::abs(value) <= static_cast<From>(std::numeric_limits<To>::max());
  }
}

template <class From, class To>
std::optional<std::size_t> convert_all(std::span<const std::byte> values, std::span<std::byte> result) {
  const std::size_t count = values.size() / sizeof(From);
  bool all = true;
  for (std::size_t i = 0; i < count; ++i) {
    const From value = element<From>(values, i);
    const bool fits = has_room<To>(value);
    const To converted = fits ? static_cast<To>(value) : To{};
    std::memcpy(result.data() + i * sizeof(To), &converted, sizeof(To));
    all &= fits;
  }
  for (std::size_t i = 0; !all && i < count; ++i) {
    if (!has_room<To>(element<From>(values, i))) return i;
  }
  return std::nullopt;
}

}  // namespace

std::size_t size_of(Number number) noexcept {
  return with_number(number, []<class T>() { return sizeof(T); });
}
bool is_whole(Number number) noexcept { return number != Number::f32 && number != Number::f64; }
bool is_whole(DType dtype) noexcept {
  return dtype == DType::i16 || dtype == DType::i32 || dtype == DType::i64 || dtype == DType::u8;
}

bool becomes(Number from, DType to) noexcept {
  return is_whole(from) ? is_whole(to) : to == DType::f32 || to == DType::f64;
}

bool same_bytes(Number from, DType to) noexcept {
  return with_number(from,
                     [&]<class From>() { return with_type(to, []<class To>() { return std::is_same_v<From, To>; }); });
}

std::optional<std::size_t> convert(Number from, std::span<const std::byte> values, DType to,
                                   std::span<std::byte> result) {
  TRAINMARK_CHECK(becomes(from, to), name_of(to));
  return with_number(from, [&]<class From>() {
    return with_type(to, [&]<class To>() -> std::optional<std::size_t> {
      if constexpr (std::is_integral_v<From> == std::is_integral_v<To>) {
        return convert_all<From, To>(values, result);
      } else {
        return std::nullopt;
      }
    });
  });
}

std::string text_of(Number number, std::span<const std::byte> values, std::size_t index) {
  return with_number(number, [&]<class T>() { return fmt::format("{}", element<T>(values, index)); });
}

}  // namespace trainmark
