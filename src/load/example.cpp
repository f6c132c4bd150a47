// Example { Features features = 1; }  Features { map<string, Feature> feature = 1; }
// Feature { one of: BytesList bytes_list = 1; FloatList float_list = 2; Int64List int64_list = 3; }
// BytesList { repeated bytes value = 1; }  FloatList { repeated float value = 1, packed or not; }
// A map's entry is a message with key = 1 and value = 2 (tensorflow/core/example; protobuf's encoding).
#include "load/example.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "load/chunk_codec.hpp"

namespace trainmark {
namespace {

using Bytes = std::span<const std::byte>;

enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, length = 2, fixed32 = 5 };

struct Item {
  std::uint64_t field = 0;
  Wire wire = Wire::varint;
  Bytes payload;
  [[nodiscard]] bool is(std::uint64_t number, Wire type) const noexcept { return field == number && wire == type; }
};

[[noreturn]] void refuse(const std::string& what) { throw ExampleError(what); }

/// Takes one field after another off a message.
class Message {
 public:
  explicit Message(Bytes bytes) : left_(bytes) {}

  std::optional<Item> next() {
    if (left_.empty()) return std::nullopt;
    const std::uint64_t key = varint();
    Item item{key >> 3, static_cast<Wire>(key & 7U), {}};
    if (item.field == 0) refuse("is no tf.train.Example: a field has the number 0");
    switch (item.wire) {
      case Wire::varint: {
        const Bytes before = left_;
        (void)varint();
        item.payload = before.first(before.size() - left_.size());
        return item;
      }
      case Wire::fixed64:
        item.payload = take(8);
        return item;
      case Wire::fixed32:
        item.payload = take(4);
        return item;
      case Wire::length:
        item.payload = take(varint());
        return item;
    }
    refuse(fmt::format("is no tf.train.Example: a field is of wire type {}", key & 7U));
  }

 private:
  Bytes take(std::uint64_t count) {
    if (count > left_.size())
      refuse(fmt::format("is no tf.train.Example: a field of {} bytes where {} are left", count, left_.size()));
    const Bytes taken = left_.first(static_cast<std::size_t>(count));
    left_ = left_.subspan(taken.size());
    return taken;
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<std::uint64_t>(take(1).front());
      if (shift == 63 && byte > 1) break;
      value |= (byte & 0x7FU) << shift;
      if (byte < 0x80) return value;
    }
    refuse("is no tf.train.Example: a number has more than 64 bits");
  }

  Bytes left_;
};

enum class Kind : std::uint8_t { bytes = 1, floats = 2, integers = 3 };

struct Feature {
  std::optional<Kind> kind;
  Bytes list;  ///< the message of that kind
};

Feature feature_in(Bytes message, const std::string& name) {
  Feature feature;
  Message items(message);
  while (const auto item = items.next()) {
    if (item->field > 3 || item->wire != Wire::length) continue;
    if (feature.kind) refuse(fmt::format("has two lists in its feature '{}'", name));
    feature = {static_cast<Kind>(item->field), item->payload};
  }
  return feature;
}

/// A name as it may stand in a line of text.
std::string shown(std::string_view name) {
  constexpr std::size_t longest = 40;
  std::string text(name.substr(0, longest));
  std::ranges::replace_if(
      text, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

/// The features that fields are named after, and names of others.
struct Features {
  std::vector<std::optional<Feature>> of_fields;
  std::vector<std::string> others;
};

void add_entry(Bytes entry, const DataSchema& schema, Features& features) {
  Bytes key, value;
  Message items(entry);
  while (const auto item = items.next()) {
    if (item->is(1, Wire::length)) key = item->payload;
    if (item->is(2, Wire::length)) value = item->payload;
  }
  const std::string_view name(reinterpret_cast<const char*>(key.data()), key.size());
  const auto field = std::ranges::find(schema.fields, name, &Field::name);
  if (field == schema.fields.end()) {
    constexpr std::size_t most_told = 8;
    if (features.others.size() < most_told) features.others.push_back(shown(name));
    return;
  }
  std::optional<Feature>& mine = features.of_fields[static_cast<std::size_t>(field - schema.fields.begin())];
  if (mine) refuse(fmt::format("has two features '{}'", field->name));
  mine = feature_in(value, field->name);
}

Features features_of(Bytes message, const DataSchema& schema) {
  Features features{std::vector<std::optional<Feature>>(schema.fields.size()), {}};
  Message example(message);
  while (const auto item = example.next()) {
    if (!item->is(1, Wire::length)) continue;
    Message entries(item->payload);
    while (const auto entry = entries.next()) {
      if (entry->is(1, Wire::length)) add_entry(entry->payload, schema, features);
    }
  }
  return features;
}

/// " (those of an extent of 64)", where a cube of some extent has so many bytes.
std::string extent_of(const Field& field, std::size_t bytes) {
  const Shape& shape = field.shape;
  if (shape.rank() != 4) return "";
  for (std::int64_t extent = 1; extent <= 4096; ++extent) {
    const Field cube{field.name, Shape{extent, extent, extent, shape[3]}, field.dtype, {}, {}};
    if (cube.bytes() == bytes) return fmt::format(" (those of an extent of {})", extent);
  }
  return "";
}

void require_bytes(const Field& field, std::size_t found) {
  if (found == field.bytes()) return;
  refuse(fmt::format("has {} bytes in '{}'{}, not the {} of {} {}", found, field.name, extent_of(field, found),
                     field.bytes(), to_string(field.shape), name_of(field.dtype)));
}

void read_bytes(const Field& field, Bytes list, std::span<std::byte> to) {
  std::optional<Bytes> value;
  Message items(list);
  while (const auto item = items.next()) {
    if (!item->is(1, Wire::length)) continue;
    if (value) refuse(fmt::format("has several byte strings in '{}'", field.name));
    value = item->payload;
  }
  if (!value) refuse(fmt::format("has nothing in its feature '{}'", field.name));
  require_bytes(field, value->size());
  std::ranges::copy(*value, to.begin());
}

void read_floats(const Field& field, Bytes list, std::span<std::byte> to) {
  std::size_t found = 0;
  Message items(list);
  while (const auto item = items.next()) {
    if (item->field != 1 || (item->wire != Wire::length && item->wire != Wire::fixed32)) continue;
    const Bytes values = item->payload;
    if (values.size() % sizeof(float) != 0) refuse(fmt::format("has half a float in '{}'", field.name));
    if (found + values.size() <= to.size()) std::ranges::copy(values, to.begin() + static_cast<std::ptrdiff_t>(found));
    found += values.size();
  }
  require_bytes(field, found);
}

void read_field(const Field& field, const Feature& feature, std::span<std::byte> to) {
  const bool floats = field.dtype == DType::f32;
  if (!feature.kind) refuse(fmt::format("has nothing in its feature '{}'", field.name));
  if (*feature.kind == Kind::bytes) {
    read_bytes(field, feature.list, to);
  } else if (*feature.kind == Kind::floats && floats) {
    read_floats(field, feature.list, to);
  } else {
    refuse(fmt::format("has {} in '{}', expected {}", *feature.kind == Kind::floats ? "floats" : "64-bit integers",
                       field.name, floats ? "floats" : fmt::format("bytes of {}", name_of(field.dtype))));
  }
  if constexpr (std::endian::native == std::endian::big) swap_bytes(to, size_of(field.dtype));
}

}  // namespace

void read_example(std::span<const std::byte> message, const DataSchema& schema, const SampleView& to) {
  const Features features = features_of(message, schema);
  for (std::size_t at = 0; at < schema.fields.size(); ++at) {
    const Field& field = schema.fields[at];
    TRAINMARK_CHECK(to.at(at).size() == field.bytes(), field.name);
    if (!features.of_fields[at]) {
      refuse(features.others.empty()
                 ? fmt::format("has no feature '{}'", field.name)
                 : fmt::format("has no feature '{}', but '{}'", field.name, fmt::join(features.others, "', '")));
    }
    read_field(field, *features.of_fields[at], to[at]);
  }
}

}  // namespace trainmark
