// A small CosmoFlow and its batches, for tests that train on the device double.
#pragma once

#include <cstring>

#include "trainmark/exec.hpp"
#include "trainmark/models.hpp"

namespace trainmark::test {

constexpr std::int64_t batch = 2;

inline CosmoflowOptions small() {
  CosmoflowOptions model;
  model.extent = 32;
  model.width = 0.125;
  model.dropout = 0.5;
  return model;
}

/// Counts and targets of one step, as the loader packs them.
struct Packed {
  explicit Packed(int step) {
    const DataSchema schema = data_schema(small());
    for (const Field& field : schema.fields)
      memory.emplace_back(field.bytes() * batch);
    Rng rng(3, Purpose::test, static_cast<std::uint64_t>(step));
    for (std::size_t i = 0; i + 1 < memory[0].size(); i += 2)
      memory[0][i] = static_cast<std::byte>(rng.below(5));
    for (std::size_t i = 0; i < memory[1].size(); i += sizeof(float)) {
      const auto value = static_cast<float>(rng.uniform());
      std::memcpy(&memory[1][i], &value, sizeof(value));
    }
    StepState state{.rate = 0.01F, .valid = batch, .epoch = 0};
    memory.emplace_back(step_state_bytes(batch));
    std::memcpy(memory[2].data(), &state, sizeof(state));
    for (std::int64_t sample = 0; sample < batch; ++sample) {
      const std::int64_t id = step * batch + sample;
      std::memcpy(memory[2].data() + sizeof(state) + static_cast<std::size_t>(sample) * sizeof(id), &id, sizeof(id));
    }
    inputs.assign(memory.begin(), memory.end());
  }
  std::vector<std::vector<std::byte>> memory;
  std::vector<std::span<const std::byte>> inputs;
};

}  // namespace trainmark::test
