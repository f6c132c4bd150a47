// Files of the results folder: whole or not at all.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace trainmark {

/// write_atomically() with a run's complaint.
void write_result(const std::filesystem::path& path, std::string_view content, bool hurry = false);

/// A table that grows row by row; each row is one write.
class CsvFile {
 public:
  CsvFile() = default;
  CsvFile(const std::filesystem::path& path, std::string_view header);
  ~CsvFile();
  CsvFile(CsvFile&& other) noexcept;
  CsvFile& operator=(CsvFile&& other) noexcept;
  CsvFile(const CsvFile&) = delete;
  CsvFile& operator=(const CsvFile&) = delete;
  void rows(std::string_view text);  ///< one or more complete lines; no-op where there is no file (ranks other than 0)
  /// Some file systems tell only now that rows were lost: raises Error{environment}. Nothing may follow.
  void close();

 private:
  int descriptor_ = -1;
  std::filesystem::path path_;
};

}  // namespace trainmark
