// What all imports have in common: whole files by ranks in rounds, files that are there already kept or refused,
// nothing replaced, one report. What a file is made of is the import's own business.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "load/hdf5_writer.hpp"
#include "trainmark/load.hpp"

namespace trainmark {

/// What came of one file.
struct Packed {
  std::int64_t samples = 0;          ///< in it; without any there is no file
  std::vector<std::string> skipped;  ///< what was left out, a line each
};

struct ImportPlan {
  std::filesystem::path target{};
  std::string importer{};  ///< "trainmark data import imagenet"
  std::string things{};    ///< what may be corrupt: "images"
  std::string origin{};    ///< what another file may have been packed from: "from other images"
  bool skip_corrupt = false;
  std::vector<std::filesystem::path> files{};  ///< below <target>/train and <target>/validation
  /// What file `i` is made of, as text: all that its bytes depend on, a version of their form too. Raises Error{data}.
  std::function<std::string(std::size_t i)> made_from{};
  /// Writes file `i`, with mark().
  std::function<Packed(std::size_t i, const std::string& fingerprint)> pack{};

  /// Attributes by which the file is known again.
  void mark(Hdf5Writer& file, const std::string& fingerprint, const Packed& packed) const;
};

/// Collective. Counts samples of files written now, and of kept files that say how many they hold. Raises Error{data}
/// alike on all ranks: what the plan's functions raise, other data in the way.
[[nodiscard]] ImportReport import_files(const Group& all, const ImportPlan& plan,
                                        const std::function<void(double fraction)>& progress);

/// An order in which neighbours are mixed, so that each file, and each node's part of a staged dataset, has something
/// of all. The same each time: a file is known again by what is in it.
[[nodiscard]] std::vector<std::size_t> mixed_order(std::size_t count, std::uint64_t split);

}  // namespace trainmark
