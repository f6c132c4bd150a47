// Opening HDF5 files, and telling users what is wrong with those that do not open.
#include "load/hdf5_file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace trainmark {
namespace {

std::recursive_mutex& hdf5_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

herr_t take_first(unsigned, const H5E_error2_t* error, void* text) {
  auto& found = *static_cast<std::string*>(text);
  if (found.empty() && error->desc != nullptr) found = error->desc;
  return 0;
}

herr_t collect_name(hid_t, const char* name, const H5L_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

/// HDF5 reports a missing file, a folder and a lack of rights all in one way; the system knows better.
void require_readable(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    throw Error(ExitCode::data, Complaint{path.string(), fmt::format("cannot be opened: {}", std::strerror(errno)), "",
                                          "check the path and that this user may read it"});
  }
  close(descriptor);
}

}  // namespace

Hdf5Lock::Hdf5Lock() : lock_(hdf5_mutex()) {
  H5Eget_auto2(H5E_DEFAULT, &print_, &print_data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Lock::~Hdf5Lock() { H5Eset_auto2(H5E_DEFAULT, print_, print_data_); }

FileHandle open_file(const std::filesystem::path& path) {
  require_readable(path);
  const htri_t is_hdf5 = H5Fis_hdf5(path.c_str());
  if (is_hdf5 <= 0) {
    throw Error(
        ExitCode::data,
        Complaint{path.string(), fmt::format("is not an HDF5 file ({} bytes)", std::filesystem::file_size(path)), "",
                  "remove it from the folder, or copy or generate it again"});
  }
  const PropertyHandle access(H5Pcreate(H5P_FILE_ACCESS));
  H5Pset_file_locking(access.get(), 0, 1);
  FileHandle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()));
  if (!file) {
    throw Error(ExitCode::data, Complaint{path.string(), fmt::format("is cut short or damaged: {}", last_complaint()),
                                          fmt::format("it has {} bytes", std::filesystem::file_size(path)),
                                          "copy or generate it again"});
  }
  return file;
}

std::vector<std::string> dataset_names(hid_t file) {
  std::vector<std::string> links;
  H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, collect_name, &links);
  std::erase_if(links,
                [&](const std::string& name) { return !DatasetHandle(H5Dopen2(file, name.c_str(), H5P_DEFAULT)); });
  std::sort(links.begin(), links.end());
  return links;
}

std::string last_complaint() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, &text);
  return text;
}

}  // namespace trainmark
