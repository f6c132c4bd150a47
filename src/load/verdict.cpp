// The library's errors are texts; the phrases looked for here are those of HDF5 1.10 to 2.0.
#include "load/verdict.hpp"

#include <fmt/core.h>
#include <hdf5.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "load/hdf5_file.hpp"

namespace trainmark {
namespace {

using Frames = std::vector<std::string>;

std::string frame_with(const Frames& frames, std::string_view phrase) {
  const auto found =
      std::ranges::find_if(frames, [&](const std::string& frame) { return frame.find(phrase) != std::string::npos; });
  return found == frames.end() ? "" : *found;
}

/// The number behind a phrase ("errno = 24").
std::optional<long long> number_after(const std::string& text, std::string_view phrase) {
  const std::size_t at = text.find(phrase);
  if (at == std::string::npos) return std::nullopt;
  const char* begin = text.data() + at + phrase.size();
  long long number = 0;
  const auto [end, status] = std::from_chars(begin, text.data() + text.size(), number);
  return status == std::errc() && end != begin ? std::optional(number) : std::nullopt;
}

std::string own_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

/// The first release that knows a newer form of the part that this one does not. Sources: HDF5's file format
/// specification and the release notes of 1.10, 1.12 and 2.0.
std::string who_could(const std::string& frame) {
  const bool before_1_12 = H5_VERS_MAJOR == 1 && H5_VERS_MINOR < 12;
  if (frame.find("layout") != std::string::npos) return H5_VERS_MINOR < 10 ? "1.10 or newer" : "2.0 or newer";
  if (frame.find("datatype") != std::string::npos)
    return before_1_12 ? "1.12 or newer (2.0 for complex numbers)" : "2.0 or newer";
  return fmt::format("a newer release than {}", own_version());
}

Complaint too_new(const std::string& where, const std::string& doing, const std::string& frame) {
  return {where, fmt::format("{}: {}", doing, frame),
          fmt::format("it was written in a format that HDF5 {}, which this program uses, does not know: HDF5 {} could "
                      "read it, unless it is damaged",
                      own_version(), who_could(frame)),
          "write it again in an older format (in h5py libver=('earliest', 'v110'); with a newer HDF5 h5repack --low=0 "
          "--high=2)"};
}

Complaint refused_lock(const std::string& where, const std::string& frame) {
  return {where, fmt::format("its lock is refused: {}", frame),
          "another program has it open for writing, or its file system has no locks",
          "wait until it is closed; where there are no locks set HDF5_USE_FILE_LOCKING=FALSE"};
}

Complaint cut_short(const std::string& where, const std::string& frame) {
  const auto is = number_after(frame, "eof = "), promised = number_after(frame, "stored_eof = ");
  const std::string what = is && promised
                               ? fmt::format("is cut short: it has {} bytes, its header promises {}", *is, *promised)
                               : fmt::format("is cut short: {}", frame);
  return {where, what, "a copy did not end, it is still being written, or it is one of several parts of a file",
          "copy or generate it again"};
}

/// What is true of the file whatever was to be done with it.
std::optional<Complaint> of_the_file(const std::string& where, const Frames& frames) {
  if (const std::string lock = frame_with(frames, "unable to lock file"); !lock.empty())
    return refused_lock(where, lock);
  if (!frame_with(frames, "already open for").empty() || !frame_with(frames, "consistency flags").empty()) {
    return Complaint{where, "is marked as open for writing",
                     "a program writes it at this moment, or one that did died before it closed it",
                     "wait until it is written; if nobody does, h5clear --status FILE takes the mark off, and "
                     "`trainmark data verify` then tells whether its content is sound"};
  }
  if (const std::string short_of = frame_with(frames, "truncated file"); !short_of.empty())
    return cut_short(where, short_of);
  for (const char* phrase : {"multi driver", "family driver", "driver info", "driver information"}) {
    const std::string driver = frame_with(frames, phrase);
    if (driver.empty()) continue;
    return Complaint{where, fmt::format("is one of several parts of a file: {}", driver), "",
                     "make one file of the parts (h5repack or h5py with the driver that wrote them)"};
  }
  return std::nullopt;
}

}  // namespace

Complaint verdict(const std::filesystem::path& path, const std::string& doing, const Frames& frames) {
  const std::string where = path.string();
  if (auto found = of_the_file(where, frames)) return *found;
  for (const std::string& frame : frames) {
    if (const auto error_number = number_after(frame, "errno = "); error_number && *error_number > 0)
      return system_complaint(where, doing, static_cast<int>(*error_number));
  }
  const std::string innermost = frames.empty() ? "the HDF5 library gives no reason" : frames.front();
  for (const char* phrase :
       {"bad version number", "unknown version", "bad superblock version", "incorrect metadata version"}) {
    if (const std::string frame = frame_with(frames, phrase); !frame.empty()) return too_new(where, doing, frame);
  }
  if (const std::string filter = frame_with(frames, "is not registered"); !filter.empty()) {
    return {where, fmt::format("{}: {}", doing, filter), "the HDF5 library has no plugin for this filter",
            "install the plugin and name its folder in HDF5_PLUGIN_PATH, or write the file again with gzip"};
  }
  if (!frame_with(frames, "conversion exception").empty()) {
    return {where, fmt::format("{}: a value does not fit the type that it is read as", doing),
            "it is NaN, beyond the range of that type, or, in a virtual dataset, of a source with a wider type",
            "mend the values, or write them as float32 or float64; give a virtual dataset the type of its sources"};
  }
  return {where, fmt::format("{}: {}", doing, innermost), "it is damaged, or holds what HDF5 cannot read",
          "copy or generate it again"};
}

Complaint verdict(const std::filesystem::path& path, const std::string& doing) {
  return verdict(path, doing, error_frames());
}

}  // namespace trainmark
