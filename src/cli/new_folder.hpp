// A folder of files that comes into being whole: what is written stands beside it until it has its name.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "trainmark/core.hpp"

namespace trainmark::cli {

class NewFolder {
 public:
  /// Raises Error{usage} where `path` exists already, Error{environment} with `unwritten` where nothing can be made
  /// there.
  NewFolder(const std::filesystem::path& path, const Unwritten& unwritten);
  ~NewFolder();  ///< without finish() nothing is left
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  /// `name` may lie in folders, which are made.
  void write(const std::string& name, std::string_view text);
  void finish();

 private:
  void make(const std::filesystem::path& folder) const;
  [[noreturn]] void fail(const std::filesystem::path& path, const std::error_code& error) const;

  std::filesystem::path path_, temporary_;
  Unwritten unwritten_;
};

}  // namespace trainmark::cli
