// Whether the values of a sample are ones that its schema allows: a file can be whole, of the right shape and type, and
// hold what nothing can be trained on.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "load/hdf5_file.hpp"
#include "trainmark/core.hpp"

namespace trainmark {

/// What is wrong with a field's values, e.g. "x[0, 3, 1, 2] is -4, legal are 0 to 32767": the first value beyond the
/// limits, or else the mean; nothing where all is well. `values` hold one sample: i16, i32, i64, u8, f32 or f64.
[[nodiscard]] std::optional<std::string> fault_of(const Field& field, std::span<const std::byte> values);

/// How many of the values are beyond the limits.
[[nodiscard]] std::int64_t count_illegal(const Field& field, std::span<const std::byte> values);

/// Raises Error{data} naming file, sample, dataset and what fault_of says.
void require_legal(const Field& field, std::span<const std::byte> values, const std::filesystem::path& file,
                   std::int64_t sample, const std::string& dataset);

/// Raises Error{data}: element `index` of a sample's field is `value` in the file, which is not even of the field's
/// type.
[[noreturn]] void refuse_value(const Field& field, std::size_t index, const std::string& value,
                               const std::filesystem::path& file, std::int64_t sample, const std::string& dataset);

/// For H5Dread: the library clips integers that do not fit and makes infinities of floats, without a word. With this it
/// fails instead.
[[nodiscard]] PropertyHandle without_clipping();

}  // namespace trainmark
