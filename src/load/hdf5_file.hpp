// The few HDF5 calls that open files and name what is in them, with this project's errors instead of the library's.
// Every HDF5 call of this module is made under Hdf5Lock: not every build of the library is thread-safe.
#pragma once

#include <hdf5.h>

#include <filesystem>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "trainmark/core.hpp"

namespace trainmark {

/// Holds the module's one lock around HDF5 and keeps the library from printing its error stack.
class [[nodiscard]] Hdf5Lock {
 public:
  Hdf5Lock();
  ~Hdf5Lock();
  Hdf5Lock(const Hdf5Lock&) = delete;
  Hdf5Lock& operator=(const Hdf5Lock&) = delete;

 private:
  std::unique_lock<std::recursive_mutex> lock_;
  H5E_auto2_t print_ = nullptr;
  void* print_data_ = nullptr;
};

template <herr_t (*Close)(hid_t)>
struct HidTraits {
  using type = hid_t;
  static type null() noexcept { return H5I_INVALID_HID; }
  /// Keeps the library's error stack, which every call clears: handles are closed on the way to the message.
  static void release(type raw) noexcept {
    const hid_t errors = H5Eget_num(H5E_DEFAULT) > 0 ? H5Eget_current_stack() : H5I_INVALID_HID;
    Close(raw);
    if (errors >= 0) H5Eset_current_stack(errors);
  }
};
using FileHandle = Handle<HidTraits<H5Fclose>>;
using DatasetHandle = Handle<HidTraits<H5Dclose>>;
using TypeHandle = Handle<HidTraits<H5Tclose>>;
using SpaceHandle = Handle<HidTraits<H5Sclose>>;
using PropertyHandle = Handle<HidTraits<H5Pclose>>;

/// Opens for reading, without file locks (some parallel file systems have none). Raises Error{data} that tells why not:
/// missing, no rights, no descriptors, not HDF5, cut short, open for writing, of a newer format ...
[[nodiscard]] FileHandle open_file(const std::filesystem::path& path);
/// The same with the properties that the library itself opens a virtual dataset's source with: one that it cannot open
/// it reads as fill values, without a word.
[[nodiscard]] FileHandle open_as_source(const std::filesystem::path& path);

/// The same for a file's content in memory, of which the library makes a copy. `name` is how messages and links see it:
/// no file of that name may be there.
[[nodiscard]] FileHandle open_image(std::span<std::byte> content, const std::filesystem::path& name);

/// The property list that says how links are followed: what they lead to is only read, and without file locks. To be
/// called under Hdf5Lock, and not to be closed.
[[nodiscard]] hid_t link_access();
/// Opens a dataset, wherever links lead. Null where it cannot be opened; then `frames` is the library's error stack.
[[nodiscard]] DatasetHandle open_by_name(hid_t file, const std::string& name,
                                         std::vector<std::string>* frames = nullptr);
/// The same, but raises Error{data}: which link leads nowhere, that it is a group, or what else the library says.
[[nodiscard]] DatasetHandle require_dataset(hid_t file, const std::string& name, const std::filesystem::path& path);

/// Paths of all links in the file that are no groups or types, in name order: datasets, and what cannot be opened.
[[nodiscard]] std::vector<std::string> dataset_names(hid_t file);

/// The library's error stack as it is now, innermost frame first. Every call to the library clears it.
[[nodiscard]] std::vector<std::string> error_frames();

}  // namespace trainmark
