// What tests of files share: a folder that goes away, small files, and errors looked at.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "trainmark/core.hpp"
#include "trainmark/stage.hpp"

namespace trainmark::testing {

/// A folder of this test's own, removed with everything in it.
class Scratch {
 public:
  Scratch() {
    static std::atomic<int> number{0};
    path_ = std::filesystem::temp_directory_path() /
            ("trainmark-test-" + std::to_string(getpid()) + "-" + std::to_string(number++));
    std::filesystem::create_directories(path_);
  }
  ~Scratch() { std::filesystem::remove_all(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// What a user without rights would meet: folders and files of a test belong to root then.
class AsNobody {
 public:
  AsNobody() : able_(geteuid() == 0 && seteuid(65534) == 0) {}
  ~AsNobody() {
    if (able_) (void)!seteuid(0);
  }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;
  [[nodiscard]] bool able() const { return able_; }

 private:
  bool able_;
};

inline void write_file(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string contents_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path << " cannot be read";
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Files of 100 bytes that hold so many samples each.
inline Manifest manifest_of(std::vector<std::int64_t> samples) {
  Manifest manifest;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    ManifestEntry entry;
    entry.name = "f" + std::to_string(1000 + i);
    entry.bytes = 100;
    entry.samples = samples[i];
    manifest.entries.push_back(entry);
  }
  return manifest;
}

/// Expects the call to raise an Error with this code whose text contains every one of `parts`.
inline void expect_error(ExitCode code, const std::function<void()>& call, const std::vector<std::string>& parts) {
  try {
    call();
    ADD_FAILURE() << "no error was raised";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    const std::string text = error.what();
    for (const std::string& part : parts)
      EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
  }
}
inline void expect_data_error(const std::function<void()>& call, const std::vector<std::string>& parts) {
  expect_error(ExitCode::data, call, parts);
}

}  // namespace trainmark::testing
