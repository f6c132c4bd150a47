// What a dataset will consist of: its files, what each of them holds, and which of them are there already.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/synth.hpp"

namespace trainmark::synth {

/// The workload's name, e.g. "cosmoflow".
[[nodiscard]] std::string_view workload_of(const SynthOptions& options) noexcept;

/// Raised with every change of the bytes that equal options give.
[[nodiscard]] std::string_view generator_version(const SynthOptions& options) noexcept;

/// Raises Error{usage}: options that no dataset can have.
void require_sense(const SynthOptions& options);

/// Samples of a whole file: one for layout block, a universe's blocks for universe, as asked for else.
[[nodiscard]] std::int64_t samples_in_file(const SynthOptions& options);

/// One file, holding `samples` samples of its split from number `first` on.
struct FilePlan {
  std::string split;
  std::uint32_t stream = 0;  // training and validation never share a field
  std::string name;
  std::int64_t first = 0;
  std::int64_t samples = 0;
};
[[nodiscard]] std::vector<FilePlan> files_of(const SynthOptions& options);

/// Which of `total` files, dealt out in turn, are `rank`'s.
[[nodiscard]] std::vector<std::size_t> files_of_rank(std::size_t total, int rank, int size);

/// Everything that shapes a file's bytes, as one line of name=value.
[[nodiscard]] std::string fingerprint(const SynthOptions& options, const FilePlan& file);

/// Whether exactly this file is there. Raises Error{data} where another one is, saying what differs.
[[nodiscard]] bool present(const std::filesystem::path& path, const SynthOptions& options, const FilePlan& file);

/// Raises Error{data} where a split's folder holds data files that are not of this dataset: a run would read them too.
void refuse_strangers(const std::filesystem::path& target, const std::vector<FilePlan>& files);

}  // namespace trainmark::synth
