// Opening HDF5 files, and telling users what is wrong with those that do not open.
#include "load/hdf5_file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/reading.hpp"
#include "load/links.hpp"
#include "load/places.hpp"
#include "load/verdict.hpp"

namespace trainmark {
namespace {

std::recursive_mutex& hdf5_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

herr_t collect_name(hid_t, const char* name, const H5L_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

/// HDF5 reports a missing file, a folder and a lack of rights all in one way; the system knows better.
std::int64_t require_readable(const std::filesystem::path& path) {
  struct stat info {};
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not make it wait
  if (descriptor < 0 || fstat(descriptor, &info) != 0) {
    const int error_number = errno;
    if (descriptor >= 0) close(descriptor);
    throw Error(ExitCode::data, system_complaint(path.string(), "cannot be opened", error_number,
                                                 "check the path and that this user may read it"));
  }
  close(descriptor);
  if (!S_ISREG(info.st_mode)) {
    throw Error(ExitCode::data,
                Complaint{path.string(), fmt::format("is not a regular file: it {}", what_is(info.st_mode)), "",
                          "name an HDF5 file"});
  }
  return info.st_size;
}

/// Its first bytes, fewer where it cannot be read.
std::string head_of(const std::filesystem::path& path) {
  std::string head(kind_head_bytes, '\0');
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const ssize_t got = descriptor < 0 ? 0 : pread(descriptor, head.data(), head.size(), 0);
  if (descriptor >= 0) close(descriptor);
  head.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return head;
}

/// Opening a pipe waits for who writes to it, and a device may do anything: external links lead to files only.
herr_t only_files(const char* holder, const char*, const char* target, const char*, unsigned*, hid_t, void*) {
  try {
    std::error_code status;
    for (const std::filesystem::path& place : places_of(Reference::external_link, holder, target)) {
      const std::filesystem::file_type type = std::filesystem::status(place, status).type();
      using enum std::filesystem::file_type;
      if (type == fifo || type == socket || type == character || type == block) return -1;
    }
    return 0;
  } catch (const std::exception&) {
    return -1;  // out of memory: nothing may be thrown through the library
  }
}

/// A property list that was made once: the library takes longer to make one than to open a small file. (And anew where
/// the library was closed since.)
hid_t kept_list(hid_t& kept, hid_t class_of_list, hid_t (*make)()) {
  if (H5Iis_valid(kept) <= 0 || H5Pisa_class(kept, class_of_list) <= 0) kept = make();
  return kept;
}

hid_t without_locks() {
  static hid_t kept = H5I_INVALID_HID;
  return kept_list(kept, H5P_FILE_ACCESS, [] {
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_file_locking(access, 0, 1);
    return access;
  });
}

herr_t take_frame(unsigned, const H5E_error2_t* error, void* frames) {
  if (error->desc != nullptr && error->desc[0] != '\0')
    static_cast<std::vector<std::string>*>(frames)->emplace_back(error->desc);
  return 0;
}

/// Whatever the link of that name leads to; null where it leads nowhere. Not H5Dopen2, which leaks its property list
/// where it fails (1.10): the library crashes over it when the process ends.
hid_t open_object(hid_t file, const std::string& name, std::vector<std::string>* frames) {
  const hid_t object = H5Oopen(file, name.c_str(), link_access());
  if (object < 0 && frames != nullptr) *frames = error_frames();
  return object;
}

bool is_group_or_type(hid_t file, const std::string& name) {
  const hid_t object = open_object(file, name, nullptr);
  if (object < 0) return false;
  const H5I_type_t kind = H5Iget_type(object);
  H5Oclose(object);
  return kind == H5I_GROUP || kind == H5I_DATATYPE;
}

}  // namespace

Hdf5Lock::Hdf5Lock() : lock_(hdf5_mutex()) {
  H5Eget_auto2(H5E_DEFAULT, &print_, &print_data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Lock::~Hdf5Lock() { H5Eset_auto2(H5E_DEFAULT, print_, print_data_); }

namespace {

FileHandle open_with(hid_t access, const std::filesystem::path& path, const std::string& doing) {
  const std::int64_t bytes = require_readable(path);
  FileHandle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access));
  if (file) return file;
  const Complaint said = verdict(path, doing);  // before the next call changes the library's reasons
  if (H5Fis_hdf5(path.c_str()) != 0) throw Error(ExitCode::data, said);
  constexpr std::string_view remedy = "remove it from the folder, or copy or generate it again";
  const std::string head = head_of(path);
  if (const FileKind* kind = kind_of(head)) {
    throw Error(ExitCode::data,
                Complaint{path.string(), fmt::format("is {}, not an HDF5 file ({} bytes)", kind->name, bytes),
                          "its name ends as those of HDF5 files do", remedy_for(*kind, remedy)});
  }
  throw Error(ExitCode::data, Complaint{path.string(), fmt::format("is not an HDF5 file ({} bytes)", bytes),
                                        bytes == 0 ? "a copy of it did not begin, or it is still being written" : "",
                                        std::string(remedy)});
}

}  // namespace

FileHandle open_file(const std::filesystem::path& path) { return open_with(without_locks(), path, "cannot be opened"); }

FileHandle open_as_source(const std::filesystem::path& path) {
  return open_with(H5P_DEFAULT, path, "cannot be opened as the source of a virtual dataset");
}

FileHandle open_image(std::span<std::byte> content, const std::filesystem::path& name) {
  constexpr std::size_t grows_by = 64 << 10;  // not used: it is only read
  const PropertyHandle access(H5Pcreate(H5P_FILE_ACCESS));
  FileHandle file;
  if (!content.empty() && H5Pset_fapl_core(access.get(), grows_by, 0) >= 0 &&
      H5Pset_file_image(access.get(), content.data(), content.size()) >= 0)
    file = FileHandle(H5Fopen(name.c_str(), H5F_ACC_RDONLY, access.get()));
  if (!file) throw Error(ExitCode::data, verdict(name, "cannot be opened"));
  return file;
}

hid_t link_access() {
  static hid_t kept = H5I_INVALID_HID;
  return kept_list(kept, H5P_LINK_ACCESS, [] {
    const hid_t access = H5Pcreate(H5P_LINK_ACCESS);
    H5Pset_elink_fapl(access, without_locks());
    H5Pset_elink_acc_flags(access, H5F_ACC_RDONLY);
    H5Pset_elink_cb(access, only_files, nullptr);
    return access;
  });
}

DatasetHandle open_by_name(hid_t file, const std::string& name, std::vector<std::string>* frames) {
  const hid_t object = open_object(file, name, frames);
  if (object < 0) return {};
  if (H5Iget_type(object) == H5I_DATASET) return DatasetHandle(object);
  H5Oclose(object);
  return {};
}

DatasetHandle require_dataset(hid_t file, const std::string& name, const std::filesystem::path& path) {
  std::vector<std::string> frames;
  DatasetHandle dataset = open_by_name(file, name, &frames);
  if (dataset) return dataset;
  const Complaint said = verdict(path, fmt::format("dataset '{}' cannot be opened", name), frames);
  if (!link_exists(file, name)) {
    throw Error(ExitCode::data, Complaint{path.string(), fmt::format("has no dataset '{}'", name), "", said.remedy});
  }
  if (is_group_or_type(file, name)) {
    throw Error(ExitCode::data, Complaint{path.string(), fmt::format("'{}' is a group or a type, not a dataset", name),
                                          "", "name the dataset in data.format"});
  }
  const std::string link = broken_link(file, name, path);
  if (link.empty()) throw Error(ExitCode::data, said);
  throw Error(ExitCode::data, Complaint{path.string(), fmt::format("dataset '{}' cannot be opened: {}", name, link),
                                        "its values are not in this file",
                                        "copy that file to where it is looked for, or mend the link"});
}

std::vector<std::string> dataset_names(hid_t file) {
  std::vector<std::string> links;
  H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, collect_name, &links);
  std::erase_if(links, [&](const std::string& name) { return is_group_or_type(file, name); });
  std::sort(links.begin(), links.end());
  return links;
}

std::vector<std::string> error_frames() {
  std::vector<std::string> frames;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_frame, &frames);
  return frames;
}

}  // namespace trainmark
