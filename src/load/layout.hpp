// How one file holds samples: which datasets, which of the layouts, how many samples, and which box of which
// dataset a sample is. Everything a wrong file can be wrong in is found here.
#pragma once

#include <string>

#include "load/stored.hpp"
#include "trainmark/load.hpp"

namespace trainmark {

struct FileLayout {
  DatasetLayout layout = DatasetLayout::block;  ///< as found: not automatic
  std::int64_t samples = 0;
  std::vector<Stored> fields;                   ///< in the schema's order
  Extents blocks{};                             ///< universe: blocks along each axis of the first field
  std::vector<std::int64_t> offsets;            ///< jpeg: where each image's bytes begin, and where the last one's end
  [[nodiscard]] std::string companion() const;  ///< a file besides this one that samples are in; empty: none
};

/// Reads the headers of an open file. Raises Error{data} naming file, dataset, what was found and what was expected.
[[nodiscard]] FileLayout resolve_layout(hid_t file, const std::filesystem::path& path, const FormatOptions& format,
                                        const DataSchema& schema);
/// The same from a path, for one look at a file.
[[nodiscard]] FileLayout resolve_layout(const std::filesystem::path& path, const FormatOptions& format,
                                        const DataSchema& schema);

/// The layout of datasets that are described, one for each of the schema's fields; not of coded images. Raises
/// Error{data} as resolve_layout() does: shapes or types that do not fit.
[[nodiscard]] FileLayout judged_layout(std::vector<Stored> fields, const std::filesystem::path& path,
                                       const FormatOptions& format, const DataSchema& schema);
/// The names under which the dataset of a field is looked for; the first that is there is taken.
[[nodiscard]] std::vector<std::string> names_asked_for(const FormatOptions& format, const DataSchema& schema,
                                                       std::size_t at);

/// In words, what the file alone tells of it (see FileForms); empty where the config names the layout.
[[nodiscard]] std::string form_of(const FileLayout& layout, const FormatOptions& format);

/// Where sample `index` of the file lies. Universes are cut in nested order: the last axis varies fastest.
[[nodiscard]] Box box_of(const FileLayout& layout, const DataSchema& schema, std::size_t field, std::int64_t index);

/// The schema asked for. If it leaves extents open (0), those and the first field's kind of numbers are as found in the
/// file: what a caller may ask for that knows a model's values, but not the extent of its samples.
[[nodiscard]] DataSchema schema_of_file(const std::filesystem::path& path, const FormatOptions& format,
                                        const DataSchema& asked);

}  // namespace trainmark
