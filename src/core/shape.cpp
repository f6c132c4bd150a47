// Element types, shapes and schemas.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "trainmark/core.hpp"

namespace trainmark {

std::size_t size_of(DType type) noexcept {
  switch (type) {
    case DType::u8:
      return 1;
    case DType::bf16:
    case DType::f16:
    case DType::i16:
      return 2;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f64:
    case DType::i64:
      return 8;
  }
  return 0;
}

std::string_view name_of(DType type) noexcept {
  switch (type) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "f16";
    case DType::f64:
      return "f64";
    case DType::i16:
      return "i16";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::u8:
      return "u8";
  }
  return "?";
}

std::int64_t Shape::elements() const noexcept {
  std::int64_t product = 1;
  for (const std::int64_t extent : extents_)
    product *= extent;
  return product;
}

std::string to_string(const Shape& shape) { return fmt::format("{}", fmt::join(shape.extents(), "x")); }

std::size_t DataSchema::sample_bytes() const noexcept {
  std::size_t total = 0;
  for (const Field& field : fields)
    total += field.bytes();
  return total;
}

Range slice_of(std::int64_t total, std::int64_t parts, std::int64_t index) noexcept {
  const std::int64_t base = total / parts;
  const std::int64_t longer = total % parts;  // the first `longer` parts have one item more
  const std::int64_t begin = index * base + std::min(index, longer);
  return {begin, begin + base + (index < longer ? 1 : 0)};
}

}  // namespace trainmark
