#include "load/links.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "load/places.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_links = 16;  // as the library's own limit

/// Calls visit(path up to and with a part) for each part of a link's path until it says false.
template <class Visit>
void for_each_prefix(const std::string& name, Visit&& visit) {
  for (std::size_t end = name.find_first_not_of('/'); end < name.size();) {
    end = std::min(name.find('/', end), name.size());
    if (!visit(name.substr(0, end))) return;
    end = name.find_first_not_of('/', end);
  }
}

/// The links that were followed: by file and name.
using Trail = std::vector<std::pair<fs::path, std::string>>;

std::string blame(hid_t file, const std::string& name, const fs::path& path, Trail& trail);

std::string behind_external(const std::string& target, const std::string& object, const fs::path& path, Trail& trail) {
  const std::vector<fs::path> places = places_of(Reference::external_link, path, target);
  const fs::path there = first_there(places);
  if (there.empty()) return fmt::format(", which is not there (looked for at {})", listed(places));
  try {
    const FileHandle opened = open_file(there);
    if (!link_exists(opened.get(), object)) return ", which has nothing of that name";
    const std::string next = blame(opened.get(), object, there, trail);
    return next.empty() ? "" : fmt::format(", where {}", next);
  } catch (const Error& error) {
    return fmt::format(", which cannot be used: {}", error.what());
  }
}

std::string behind_soft(hid_t file, const std::string& prefix, const std::string& value, const fs::path& path,
                        Trail& trail) {
  const std::string next = value.starts_with('/') ? value : (fs::path(prefix).parent_path() / value).generic_string();
  if (!link_exists(file, next)) return ", which is not there";
  const std::string further = blame(file, next, path, trail);
  return further.empty() ? "" : fmt::format(", where {}", further);
}

std::string describe_link(hid_t file, const std::string& prefix, const fs::path& path, Trail& trail) {
  H5L_info_t info{};
  if (H5Lget_info(file, prefix.c_str(), &info, link_access()) < 0 || info.type == H5L_TYPE_HARD) return "";
  std::string value(info.u.val_size + 1, '\0');
  if (H5Lget_val(file, prefix.c_str(), value.data(), info.u.val_size, link_access()) < 0) return "";
  if (info.type == H5L_TYPE_SOFT) {
    value = value.c_str();
    return fmt::format("'{}' is a soft link to '{}'{}", prefix, value, behind_soft(file, prefix, value, path, trail));
  }
  if (info.type != H5L_TYPE_EXTERNAL) return fmt::format("'{}' is a link of a kind that HDF5 does not know", prefix);
  const char *target = nullptr, *object = nullptr;
  unsigned flags = 0;
  if (H5Lunpack_elink_val(value.data(), info.u.val_size, &flags, &target, &object) < 0) return "";
  return fmt::format("'{}' is an external link to '{}' in '{}'{}", prefix, object, target,
                     behind_external(target, object, path, trail));
}

std::string blame(hid_t file, const std::string& name, const fs::path& path, Trail& trail) {
  if (trail.size() > most_links) return fmt::format("'{}' is one of too many links in a row", name);
  std::string found;
  for_each_prefix(name, [&](const std::string& prefix) {
    if (H5Oexists_by_name(file, prefix.c_str(), link_access()) > 0) return true;
    std::pair link(path, prefix.substr(prefix.find_first_not_of('/')));
    if (std::ranges::find(trail, link) != trail.end()) {
      found = fmt::format("'{}' is met again: they lead in a circle", prefix);
    } else {
      trail.push_back(std::move(link));
      found = describe_link(file, prefix, path, trail);
    }
    return false;
  });
  return found;
}

}  // namespace

bool link_exists(hid_t file, const std::string& name) {
  bool there = true;
  for_each_prefix(name, [&](const std::string& prefix) {
    const htri_t answer = H5Lexists(file, prefix.c_str(), link_access());
    there = answer != 0;  // below a link that leads nowhere there is no answer: opening tells why
    return answer > 0;
  });
  return there;
}

std::string broken_link(hid_t file, const std::string& name, const fs::path& path) {
  Trail trail;
  return blame(file, name, path, trail);
}

}  // namespace trainmark
