#include "cli/new_folder.hpp"

#include <fmt/core.h>
#include <unistd.h>

namespace trainmark::cli {

NewFolder::NewFolder(const std::filesystem::path& path, const Unwritten& unwritten)
    : path_(path.filename().empty() ? path.parent_path() : path), unwritten_(unwritten) {
  std::error_code error;
  if (std::filesystem::exists(std::filesystem::symlink_status(path_, error)))
    throw Error(ExitCode::usage, Complaint{path.string(), "exists", "what is there would mix with what is new",
                                           "name a new folder, or remove it"});
  if (path_.has_parent_path()) make(path_.parent_path());
  // Another host may have a process of this number, and a killed one may have left its folder: neither is to mix in.
  for (int number = 0; temporary_.empty(); ++number) {
    const std::filesystem::path made = path_.parent_path() / fmt::format("{}{}-{}-{}", temporary_prefix,
                                                                         path_.filename().string(), ::getpid(), number);
    if (std::filesystem::create_directory(made, error)) temporary_ = made;
    if (error) fail(made, error);
  }
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) std::filesystem::remove_all(temporary_, ignored);
}

void NewFolder::write(const std::string& name, std::string_view text) {
  const std::filesystem::path file = temporary_ / name;
  make(file.parent_path());
  write_atomically(file, text, unwritten_);
}

void NewFolder::finish() {
  std::error_code error;
  std::filesystem::rename(temporary_, path_, error);
  if (error) fail(path_, error);
  temporary_.clear();
}

void NewFolder::make(const std::filesystem::path& folder) const {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(folder, error);
}

void NewFolder::fail(const std::filesystem::path& path, const std::error_code& error) const {
  throw Error(ExitCode::environment, Complaint{path.string(), fmt::format("cannot be made: {}", error.message()),
                                               std::string(unwritten_.why), std::string(unwritten_.remedy)});
}

}  // namespace trainmark::cli
