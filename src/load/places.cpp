// The rules are H5F_prefix_open_file's (HDF5 1.10 to 1.14), which reads the environment at every opening. There the
// variable is split at colons and taken as it is written; ${ORIGIN} counts only in the prefix of the property list,
// which is not split. For a virtual dataset the library puts the whole variable there, too.
#include "load/places.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace trainmark {
namespace fs = std::filesystem;

namespace {

std::string_view variable_of(Reference reference) {
  const char* value = std::getenv(reference == Reference::external_link ? "HDF5_EXT_PREFIX" : "HDF5_VDS_PREFIX");
  return value == nullptr ? "" : value;
}

}  // namespace

std::vector<fs::path> places_of(Reference reference, const fs::path& holder, const std::string& target,
                                const std::string& prefix) {
  std::vector<fs::path> places;
  fs::path wanted = target;
  if (wanted.is_absolute()) {
    places.push_back(wanted);
    wanted = wanted.filename();
  }
  const std::string_view folders = variable_of(reference);
  for (std::size_t begin = 0; begin < folders.size();) {
    const std::size_t end = std::min(folders.find(':', begin), folders.size());
    if (end > begin) places.push_back(fs::path(folders.substr(begin, end - begin)) / wanted);
    begin = end + 1;
  }
  if (!prefix.empty()) places.push_back(fs::path(prefix) / wanted);
  std::error_code status;
  places.push_back(holder.parent_path() / wanted);
  places.push_back(wanted);
  places.push_back(fs::canonical(holder, status).parent_path() / wanted);  // behind a symbolic link
  return places;
}

fs::path first_there(const std::vector<fs::path>& places) {
  const auto there = std::ranges::find_if(places, [](const fs::path& place) {
    std::error_code status;
    return fs::exists(place, status) && !fs::is_directory(place, status);
  });
  return there == places.end() ? fs::path() : *there;
}

std::string listed(const std::vector<fs::path>& places) {
  std::vector<std::string> names;
  for (const fs::path& place : places) {
    std::error_code status;
    std::string name = fs::absolute(place, status).lexically_normal().string();
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace trainmark
