// Follows a dataset through links, virtual sources and raw files to all its bytes.
#include "load/home.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string_view>

#include "load/fill.hpp"
#include "load/places.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

constexpr int deepest = 64;  // virtual datasets of virtual datasets: the library takes a stack's frame for each

[[noreturn]] void refuse(const fs::path& path, const std::string& name, const std::string& what, std::string why,
                         std::string remedy) {
  throw Error(ExitCode::data,
              Complaint{path.string(), fmt::format("dataset '{}' {}", name, what), std::move(why), std::move(remedy)});
}

/// An object by its open file and its place in it; file 0: cannot be told.
struct ObjectId {
  unsigned long file = 0;
  std::array<unsigned char, 16> place{};
};

ObjectId id_of(hid_t object) {
  ObjectId id;
#if H5_VERSION_GE(1, 12, 0)
  H5O_info2_t info{};
  if (H5Oget_info3(object, &info, H5O_INFO_BASIC) < 0) return id;
  static_assert(sizeof(info.token) == sizeof(id.place));
  std::memcpy(id.place.data(), &info.token, sizeof(info.token));
#else
  H5O_info_t info{};
  if (H5Oget_info2(object, &info, H5O_INFO_BASIC) < 0) return id;
  std::memcpy(id.place.data(), &info.addr, sizeof(info.addr));
#endif
  id.file = info.fileno;
  return id;
}

/// A text that the library gives in two calls: its length, then itself.
template <class Get>
std::string text_of(Get&& get) {
  const auto length = static_cast<std::ptrdiff_t>(get(nullptr, std::size_t{0}));
  if (length <= 0) return "";
  std::string text(static_cast<std::size_t>(length) + 1, '\0');
  get(text.data(), text.size());
  text.resize(static_cast<std::size_t>(length));
  return text;
}

fs::path file_of(hid_t object) {
  return text_of([&](char* to, std::size_t size) { return H5Fget_name(object, to, size); });
}

bool is_file(const fs::path& path) {
  std::error_code status;
  return fs::is_regular_file(path, status);
}

bool grows(const SpaceHandle& space) {
  if (H5Sget_select_type(space.get()) != H5S_SEL_HYPERSLABS || H5Sis_regular_hyperslab(space.get()) <= 0) return false;
  std::array<hsize_t, H5S_MAX_RANK> start{}, stride{}, count{}, block{};
  H5Sget_regular_hyperslab(space.get(), start.data(), stride.data(), count.data(), block.data());
  const auto unlimited = [](hsize_t extent) { return extent == H5S_UNLIMITED; };
  return std::ranges::any_of(count, unlimited) || std::ranges::any_of(block, unlimited);
}

/// "%%" stands for a percent sign; "%b" for the number of a block, which is not looked into. False for the latter.
bool plain_name(std::string& name) {
  std::string plain;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '%' && i + 1 < name.size()) {
      if (name[i + 1] == 'b') return false;
      if (name[i + 1] == '%') ++i;
    }
    plain += name[i];
  }
  name = std::move(plain);
  return true;
}

/// Follows a dataset to all its files. A file that was examined last stays open: virtual datasets often have many
/// sources in one.
class Search {
 public:
  explicit Search(Home& home) : home_(home) {}

  /// Each dataset once, however many sources it is: virtual datasets of virtual ones lead to few along many ways.
  void visit(hid_t dataset, const std::string& name, const fs::path& path, int depth) {
    const auto [known, is_new] = visited_.try_emplace({path.string(), id_of(dataset).place}, false);
    if (!is_new && known->second) return;
    if (!is_new) refuse(path, name, "is virtual in a circle", "its sources lead back to itself", remedy_);
    if (depth > deepest) refuse(path, name, fmt::format("is virtual over more than {} others", deepest), "", remedy_);
    const PropertyHandle creation(H5Dget_create_plist(dataset));
    if (H5Pget_layout(creation.get()) == H5D_VIRTUAL) visit_sources(dataset, creation.get(), name, path, depth);
    if (H5Pget_external_count(creation.get()) > 0) visit_raw(dataset, creation.get(), name, path);
    known->second = true;
  }

  void add(const fs::path& companion) {
    const fs::path normal = companion.lexically_normal();
    if (std::ranges::find(home_.companions, normal) == home_.companions.end()) home_.companions.push_back(normal);
  }

  void because(std::string reason) {
    if (home_.elsewhere.empty()) home_.elsewhere = std::move(reason);
  }

 private:
  void visit_sources(hid_t dataset, hid_t creation, const std::string& name, const fs::path& path, int depth) {
    because("it is a virtual dataset");
    std::size_t count = 0;
    H5Pget_virtual_count(creation, &count);
    for (std::size_t i = 0; i < count; ++i)
      visit_source(dataset, creation, i, name, path, depth);
  }

  void visit_source(hid_t dataset, hid_t creation, std::size_t index, const std::string& name, const fs::path& path,
                    int depth) {
    std::string file =
        text_of([&](char* to, std::size_t size) { return H5Pget_virtual_filename(creation, index, to, size); });
    std::string source =
        text_of([&](char* to, std::size_t size) { return H5Pget_virtual_dsetname(creation, index, to, size); });
    const SpaceHandle into(H5Pget_virtual_vspace(creation, index)), from(H5Pget_virtual_srcspace(creation, index));
    if (!plain_name(file) || !plain_name(source) || grows(into) || grows(from)) {
      refuse(path, name, "is virtual with sources that are numbered or grow",
             "how large it is depends on which of them are there", remedy_);
    }
    const hssize_t points = H5Sget_select_npoints(into.get());
    if (file == ".") {
      const FileHandle same(H5Iget_file_id(dataset));
      return visit_opened(same.get(), source, from.get(), points, path, depth);
    }
    const fs::path there = locate(dataset, file, name, path).lexically_normal();
    if (there != last_path_ || !last_) {
      last_ = open_as_source(there);
      last_path_ = there;
      add(there);
    }
    // A source may be virtual itself and move `last_` on: what is visited keeps a handle of its own.
    const FileHandle held(H5Freopen(last_.get()));
    visit_opened(held.get(), source, from.get(), points, there, depth);
  }

  void visit_opened(hid_t file, const std::string& source, hid_t selected, hssize_t points, const fs::path& path,
                    int depth) {
    const DatasetHandle dataset = require_dataset(file, source, path);
    const PropertyHandle creation(H5Dget_create_plist(dataset.get()));
    if (holds_nothing(dataset.get(), creation.get()))
      refuse(path, source, "is a source of a virtual dataset, and cannot be read", never_written, "write all of it");
    visit(dataset.get(), source, path, depth + 1);
    const SpaceHandle space(H5Dget_space(dataset.get()));
    if (holds(space.get(), selected, points)) return;
    refuse(path, source, "is smaller than a virtual dataset that is made of it expects",
           "what is missing would be read as fill values", remedy_);
  }

  /// Whether a source has all of what is taken of it. Of "all", a file does not keep how much that was.
  static bool holds(hid_t space, hid_t selected, hssize_t points) {
    const H5S_sel_type kind = H5Sget_select_type(selected);
    if (kind == H5S_SEL_NONE) return true;
    if (kind == H5S_SEL_ALL) return H5Sget_simple_extent_npoints(space) == points;
    std::array<hsize_t, H5S_MAX_RANK> dims{}, first{}, last{};
    const int rank = H5Sget_simple_extent_dims(space, dims.data(), nullptr);
    return rank >= 0 && H5Sget_simple_extent_ndims(selected) == rank &&
           H5Sget_select_bounds(selected, first.data(), last.data()) >= 0 &&
           std::equal(last.begin(), last.begin() + rank, dims.begin(), std::less<>());
  }

  /// Where the library finds a source.
  static fs::path locate(hid_t dataset, const std::string& file, const std::string& name, const fs::path& path) {
    const PropertyHandle access(H5Dget_access_plist(dataset));
    const std::string prefix =
        text_of([&](char* to, std::size_t size) { return H5Pget_virtual_prefix(access.get(), to, size); });
    const std::vector<fs::path> places = places_of(Reference::virtual_source, file_of(dataset), file, prefix);
    const fs::path there = first_there(places);
    if (!there.empty()) return there;
    refuse(path, name, fmt::format("needs the file '{}', which is not there", file),
           fmt::format("it is virtual, and would be read as fill values; looked for at {}", listed(places)),
           "copy that file to where it is looked for, or copy the values into one file");
  }

  void visit_raw(hid_t dataset, hid_t creation, const std::string& name, const fs::path& path) {
    because("its bytes are in raw files of their own");
    const PropertyHandle access(H5Dget_access_plist(dataset));
    const fs::path prefix =
        text_of([&](char* to, std::size_t size) { return H5Pget_efile_prefix(access.get(), to, size); });
    const TypeHandle type(H5Dget_type(dataset));
    const SpaceHandle space(H5Dget_space(dataset));
    auto left = static_cast<std::uint64_t>(std::max<hssize_t>(H5Sget_simple_extent_npoints(space.get()), 0)) *
                H5Tget_size(type.get());
    const int count = H5Pget_external_count(creation);
    for (int i = 0; i < count && left > 0; ++i) {
      std::string file(4096, '\0');
      off_t offset = 0;
      hsize_t size = 0;
      H5Pget_external(creation, static_cast<unsigned>(i), file.size() - 1, file.data(), &offset, &size);
      file = file.c_str();
      const std::uint64_t wanted = std::min<std::uint64_t>(left, size);
      const fs::path there = prefix / file;
      require_raw(there, static_cast<std::uint64_t>(offset) + wanted, name, path);
      add(there);
      left -= wanted;
    }
    if (left > 0) refuse(path, name, fmt::format("has {} bytes in no file", left), "", "generate it again");
  }

  static void require_raw(const fs::path& there, std::uint64_t end, const std::string& name, const fs::path& path) {
    std::error_code status;
    const fs::path shown = fs::absolute(there, status).lexically_normal();
    if (fs::exists(there, status) && !is_file(there))
      refuse(path, name, fmt::format("needs the raw file '{}', which is no regular file", there.string()), "", remedy_);
    if (!is_file(there)) {
      refuse(path, name, fmt::format("needs the raw file '{}', which is not there", there.string()),
             fmt::format("HDF5 looks for it from the working folder: {}", shown.string()),
             "start in the folder that its name is relative to, or set HDF5_EXTFILE_PREFIX='${ORIGIN}' if it is beside "
             "the HDF5 file");
    }
    const std::uint64_t bytes = fs::file_size(there, status);
    if (bytes >= end) return;
    refuse(path, name, fmt::format("needs {} bytes of the raw file '{}', which has {}", end, there.string(), bytes),
           "what is missing would be read as zeros", "copy or generate the raw file again");
  }

  static constexpr const char* remedy_ = "copy the values into one file";
  Home& home_;
  std::map<std::pair<std::string, std::array<unsigned char, 16>>, bool> visited_;  // and whether to the end
  FileHandle last_;
  fs::path last_path_;
};

}  // namespace

Home home_of(hid_t file, hid_t dataset, const std::string& name, const fs::path& path) {
  Home home;
  Search search(home);
  fs::path holder = path;
  const unsigned long number = id_of(dataset).file;
  if (number == 0 || number != id_of(file).file) {
    holder = file_of(dataset);
    search.because(fmt::format("a link leads to another file ({})", holder.lexically_normal().string()));
    search.add(holder);
  }
  try {
    search.visit(dataset, name, holder, 0);
  } catch (const Error& error) {
    if (std::string_view(error.what()).starts_with(path.string() + ":")) throw;
    throw Error(ExitCode::data, Complaint{path.string(), fmt::format("dataset '{}' is made of other files", name), "",
                                          fmt::format("one of them cannot be used: {}", error.what())});
  }
  return home;
}

}  // namespace trainmark
