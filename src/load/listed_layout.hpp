// Layouts as a manifest lists them, so that who trusts it opens no header again. Only what this module reads without
// the HDF5 library is listed, and places only where they are few. All else is for the header to tell.
#pragma once

#include <optional>

#include "load/layout.hpp"
#include "load/region_reader.hpp"

namespace trainmark {

/// Chunks of a file, of all fields together, whose places are listed at most: longer lists would be longer than
/// headers.
inline constexpr std::int64_t most_listed_chunks = 16;

/// What a manifest may say of a layout that resolve_layout() found in an open file; none where it cannot be listed.
[[nodiscard]] ListedLayout to_listed(hid_t file, const std::filesystem::path& path, const FileLayout& layout,
                                     const FormatOptions& format, const DataSchema& schema);

/// The fields that a form describes, without their places; nothing as of from_listed().
[[nodiscard]] std::optional<std::vector<Stored>> fields_of_form(const std::string& form, const FormatOptions& format,
                                                                const DataSchema& schema);
/// The layout of a file of so many bytes, judged as one that was found in its header: raises Error{data} as that does.
/// Nothing where the text is of no form that is known here, answers for other names of datasets than are asked for, or
/// points beyond the file: the header has to tell.
[[nodiscard]] std::optional<FileLayout> from_listed(const ListedLayout& listed, const std::filesystem::path& path,
                                                    std::int64_t bytes, const FormatOptions& format,
                                                    const DataSchema& schema);

/// from_listed() for one file after the other of a set: a form that they share is taken apart once.
class FormReader {
 public:
  /// Both must outlive it.
  FormReader(const FormatOptions& format, const DataSchema& schema) : format_(format), schema_(schema) {}
  [[nodiscard]] std::optional<FileLayout> layout(const ListedLayout& listed, const std::filesystem::path& path,
                                                 std::int64_t bytes);

 private:
  const FormatOptions& format_;
  const DataSchema& schema_;
  std::shared_ptr<const std::string> form_;
  std::optional<std::vector<Stored>> fields_;
};

/// Whether the file that is read is one at all: a few bytes that tell a layout's owner from what took its place, on a
/// damaged disk or at a wrong place of a container. Raises Error{data} where it cannot be read.
[[nodiscard]] bool begins_as_hdf5(const OpenFile& file);

}  // namespace trainmark
