// Small things that every target needs: files, folders, a way to fail.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "fuzz/fuzz.hpp"

namespace trainmark::fuzz {

namespace fs = std::filesystem;

void fail(std::string_view promise, std::string_view found) {
  fmt::print(stderr, "fuzz: not kept: {}\n{}\n", promise, found);
  std::fflush(stderr);
  std::abort();
}

const fs::path& scratch() {
  static const fs::path folder = [] {
    fs::path path = fs::temp_directory_path() / fmt::format("trainmark-fuzz-{}", getpid());
    fs::create_directories(path);
    return path;
  }();
  return folder;
}

void write_file(const fs::path& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string read_file(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::vector<Seed> seeds_in(std::string_view folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(TRAINMARK_SOURCE_DIR) / folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<Seed> seeds;
  for (const fs::path& file : files)
    seeds.push_back({read_file(file)});
  return seeds;
}

std::string_view part_of(std::string_view input, std::string_view name) {
  constexpr std::string_view mark = "\n=== ";
  if (!name.empty()) {
    const std::string line = fmt::format("{}{}\n", mark, name);
    const std::size_t at = input.find(line);
    if (at == std::string_view::npos) return {};
    input.remove_prefix(at + line.size());
  }
  return input.substr(0, input.find(mark));
}

}  // namespace trainmark::fuzz
