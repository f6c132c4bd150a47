// Samples in the form of TensorFlow's tf.train.Example: a protocol buffer that maps names to lists of byte strings,
// floats or integers. Read strictly, and without a library: each length is checked before it is believed.
#pragma once

#include <span>
#include <stdexcept>

#include "trainmark/core.hpp"

namespace trainmark {

/// What is wrong with an example, for people.
class ExampleError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Fills `to` with the fields of one sample, each from the feature of its name: of i16 a byte string of little-endian
/// numbers, of f32 floats or such a string. Features that the schema does not name are passed over. Values are not
/// judged. Raises ExampleError: no such message, no such feature, of another kind, of another length.
void read_example(std::span<const std::byte> message, const DataSchema& schema, const SampleView& to);

}  // namespace trainmark
