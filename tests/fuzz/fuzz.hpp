// What a fuzz target is: a function of bytes that must come back, or raise nothing but what its module documents. The
// same targets serve the driver of this folder (any compiler, seeds fixed) and clang's libFuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/core.hpp"

/// libFuzzer's entry. Whatever leaves it other than by returning 0 is a fault: an exception, a signal, fail().
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace trainmark::fuzz {

struct Seed {
  std::string bytes;
  /// Ranges whose last four bytes are HDF5's checksum of the others: made right again after bytes in them changed.
  std::vector<Range> sealed = {};
};

/// What the driver must know of the target it is linked with.
struct Target {
  std::string_view name;
  bool text = true;  ///< lines and JSON tokens are moved about, too
  std::vector<Seed> (*seeds)() = nullptr;
  /// The same input given to a library alone: where that ends the process, the fault is not this project's.
  void (*library)(std::string_view input) = nullptr;
};
[[nodiscard]] const Target& target();

/// Says what was promised and not kept, and aborts.
[[noreturn]] void fail(std::string_view promise, std::string_view found);
inline void require(bool kept, std::string_view promise, std::string_view found) {
  if (!kept) fail(promise, found);
}

/// A folder of this process, made when it is first asked for.
[[nodiscard]] const std::filesystem::path& scratch();
void write_file(const std::filesystem::path& path, std::string_view bytes);
[[nodiscard]] std::string read_file(const std::filesystem::path& path);
/// Files of one of the project's own folders, e.g. "tests/golden/logs", in name order.
[[nodiscard]] std::vector<Seed> seeds_in(std::string_view folder);

/// A part of an input that stands for several files: what follows the line "\n=== NAME\n" up to the next one. The first
/// part has no line before it and no name.
[[nodiscard]] std::string_view part_of(std::string_view input, std::string_view name);

}  // namespace trainmark::fuzz
