// Finding a dataset's files. Each is taken once, whatever links lead to it, and no name that looks like a sample is
// passed over in silence: a smaller dataset that nobody notices is worse than an error.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <map>
#include <tuple>

#include "core/reading.hpp"
#include "load/scan.hpp"
#include "trainmark/load.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

constexpr int deepest = 64;  // folders within folders: nobody sorts samples into more

struct FolderTraits {
  using type = DIR*;
  static type null() noexcept { return nullptr; }
  static void release(type raw) noexcept { closedir(raw); }
};

/// A file or folder by itself, whatever its names.
struct Identity {
  explicit Identity(const struct stat& info) : device(info.st_dev), inode(info.st_ino) {}
  auto operator<=>(const Identity&) const = default;
  dev_t device;
  ino_t inode;
};

bool is_control(char c) { return static_cast<unsigned char>(c) < 32 || c == 127; }

/// A name below the root as it may stand in a line of text.
std::string shown(std::string_view name) {
  std::string text = name.empty() ? "." : "";
  for (const char c : name)
    text += is_control(c) ? fmt::format("\\x{:02x}", static_cast<unsigned char>(c)) : std::string(1, c);
  return text;
}

bool may_be_read(const fs::path& path, const struct stat& info) {
  // Asked only where the mode leaves it open: the question costs a shared file system a round trip.
  return (info.st_mode & S_IROTH) != 0 || faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) == 0;
}

using IsName = bool (*)(std::string_view name);

class Walk {
 public:
  /// Files that are `wanted`; those that only `resemble` them are refused.
  Walk(const fs::path& root, IsName wants, IsName resembles, const std::function<void()>& progress)
      : root_(root), wants_(wants), resembles_(resembles), progress_(progress) {}

  std::vector<ManifestEntry> files() {
    const Folder root{Identity(require_folder())};
    entered_.emplace(root.identity, Entered{});
    pass_over_above();
    enter("", root);
    // Folders under their own names first, so that those decide; a link to one of them leads to nothing new.
    while (!folders_.empty() || !links_.empty()) {
      auto& next = folders_.empty() ? links_ : folders_;
      const auto [name, folder] = *next.begin();
      next.erase(next.begin());
      const auto [known, is_new] = entered_.emplace(folder.identity, Entered{name, folder.linked});
      if (is_new) {
        enter(name, folder);
      } else if (!folder.linked && !known->second.linked) {
        refuse(name, fmt::format("is the folder '{}' again", shown(known->second.name)));
      }
    }
    require_distinct();
    require_usable();
    std::ranges::sort(found_, {}, &ManifestEntry::name);
    return std::move(found_);
  }

 private:
  struct Folder {
    Identity identity;
    int depth = 0;
    bool linked = false;  // a link leads to it, or to a folder above it
  };
  struct Entered {
    std::string name;
    bool linked = false;
  };

  [[nodiscard]] struct stat require_folder() const {
    struct stat info {};
    const int error = stat(root_.c_str(), &info) == 0 ? 0 : errno;
    if (error == 0 && S_ISDIR(info.st_mode)) return info;
    if (error != 0 && error != ENOENT)
      throw Error(ExitCode::data, system_complaint(root_.string(), "cannot be examined", error));
    const std::string what = error == 0 ? "is not a folder" : "the folder does not exist";
    throw Error(ExitCode::data,
                Complaint{root_.string(), what, "a dataset is a folder of HDF5 files",
                          "check data.train and data.validation, or make one with `trainmark data generate`"});
  }

  /// A link to a folder in which the root lies would bring what is beside the root: of validation into training.
  void pass_over_above() {
    std::error_code status;
    for (fs::path folder = fs::canonical(root_, status); folder.has_relative_path();) {
      folder = folder.parent_path();
      struct stat info {};
      if (stat(folder.c_str(), &info) == 0) entered_.emplace(Identity(info), Entered{folder.string(), false});
    }
  }

  void enter(const std::string& folder, const Folder& facts) {
    if (progress_) progress_();
    if (facts.depth > deepest) return refuse(folder, fmt::format("is more than {} folders deep", deepest));
    const Handle<FolderTraits> open(opendir((root_ / folder).c_str()));
    if (!open) return cannot_enter(folder, errno);
    for (;;) {
      errno = 0;
      const dirent* entry = readdir(open.get());
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      // Names that begin with a dot are partial files of a copy under way, or nobody's business.
      if (name.front() != '.') look_at((fs::path(folder) / name).string(), entry->d_type, facts);
    }
    if (errno != 0) refuse(folder, fmt::format("cannot be read: {}", std::strerror(errno)));
  }

  void cannot_enter(const std::string& folder, int error) {
    if (error == ENOENT || error == ENOTDIR) vanished(folder);
    // The root of a file system has one that only its administrator may read.
    const bool denied = error == EACCES || error == EPERM;
    if (denied && fs::path(folder).filename() == "lost+found") return;
    refuse(folder, fmt::format("cannot be read: {}", std::strerror(error)));
  }

  void look_at(const std::string& name, unsigned char type, const Folder& parent) {
    const bool wanted = wants_(name), resembles = !wanted && resembles_ != nullptr && resembles_(name);
    const bool may_lead_on = type == DT_DIR || type == DT_LNK || type == DT_UNKNOWN;
    if (!wanted && !resembles && !may_lead_on) return;
    if (progress_) progress_();
    const fs::path path = root_ / name;
    struct stat own {
    }, info{};
    if (lstat(path.c_str(), &own) != 0) return errno == ENOENT ? vanished(name) : refuse(name, std::strerror(errno));
    const bool link = S_ISLNK(own.st_mode);
    if (link && stat(path.c_str(), &info) != 0) return refuse(name, where_to(errno));
    if (!link) info = own;
    if (S_ISDIR(info.st_mode) && !wanted) {
      (link ? links_ : folders_).emplace(name, Folder{Identity(info), parent.depth + 1, link || parent.linked});
    } else if (wanted) {
      take(name, path, info);
    } else if (resembles && S_ISREG(info.st_mode)) {
      refuse(name, "goes on behind its extension");
    }
  }

  static std::string where_to(int error) {
    if (error == ENOENT) return "is a link that leads nowhere";
    if (error == ELOOP) return "is a link that leads back to itself";
    return fmt::format("is a link that cannot be followed: {}", std::strerror(error));
  }

  void take(const std::string& name, const fs::path& path, const struct stat& info) {
    if (!S_ISREG(info.st_mode)) return refuse(name, std::string(what_is(info.st_mode)));
    if (std::ranges::any_of(name, is_control)) return refuse(name, "has a control character in its name");
    if (!may_be_read(path, info)) return refuse(name, "may not be read by this user");
    identities_.emplace_back(Identity(info), found_.size());
    const auto [known, is_new] = stable_inodes_.try_emplace(info.st_dev, true);
    if (is_new) known->second = has_stable_inodes(path);
    found_.push_back(entry_of(name, info, known->second));
  }

  /// Hard links, and symbolic links to files, are second names of the same samples. Files of one inode number that
  /// differ otherwise are not: some file systems give numbers out twice.
  void require_distinct() {
    std::ranges::sort(identities_, {},
                      [this](const auto& one) { return std::tie(one.first, found_[one.second].name); });
    for (std::size_t i = 1; i < identities_.size(); ++i) {
      if (identities_[i].first != identities_[i - 1].first) continue;
      const ManifestEntry &one = found_[identities_[i - 1].second], &other = found_[identities_[i].second];
      if (one.bytes != other.bytes || one.modified_ns != other.modified_ns) continue;
      refuse(other.name, fmt::format("is the file '{}' again", one.name));
    }
  }

  [[noreturn]] void vanished(const std::string& name) const {
    throw Error(ExitCode::data,
                Complaint{root_.string(), fmt::format("'{}' went away while the folder was read", shown(name)),
                          "the dataset is being changed", "wait until that is done, then run again"});
  }

  void refuse(const std::string& name, const std::string& reason) {
    unusable_.push_back(fmt::format("'{}' {}", shown(name), reason));
  }

  void require_usable() {
    constexpr std::size_t most_named = 3;
    if (unusable_.empty()) return;
    std::ranges::sort(unusable_);
    const std::size_t named = std::min(unusable_.size(), most_named);
    std::string what =
        fmt::format("{} name{} cannot be used: {}", unusable_.size(), unusable_.size() > 1 ? "s" : "",
                    fmt::join(unusable_.begin(), unusable_.begin() + static_cast<std::ptrdiff_t>(named), ", "));
    if (unusable_.size() > named) what += fmt::format(" and {} more", unusable_.size() - named);
    throw Error(ExitCode::data,
                Complaint{root_.string(), std::move(what), "the dataset would not be what its names say",
                          "repair, rename or remove them; names that begin with a dot are left out"});
  }

  const fs::path& root_;
  IsName wants_, resembles_;
  const std::function<void()>& progress_;
  std::map<std::string, Folder> folders_, links_;  // still to be entered
  std::map<Identity, Entered> entered_;
  std::map<dev_t, bool> stable_inodes_;
  std::vector<ManifestEntry> found_;
  std::vector<std::pair<Identity, std::size_t>> identities_;  // of found_
  std::vector<std::string> unusable_;
};

}  // namespace

static constexpr std::array<std::string_view, 4> sample_extensions = {".h5", ".hdf5", ".hdf", ".he5"};

bool looks_like_samples(std::string_view name) {
  std::string extension;  // without blanks and control characters, which nobody sees
  for (const char c : name.substr(std::min(name.rfind('.'), name.size()))) {
    if (c != ' ' && !is_control(c)) extension += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return std::ranges::find(sample_extensions, extension) != sample_extensions.end();
}

/// Samples that were packed, came in part or were kept as another version: "a.hdf5.gz", "a.h5.part", "a.h5~", "a.h5.1".
/// Sums, notes and descriptions beside samples are none.
static bool resembles_samples(std::string_view name) {
  constexpr std::array packed = {".gz",   ".bz2",     ".xz",       ".zst",        ".lz4", ".zip", ".z",   ".tar",
                                 ".part", ".partial", ".filepart", ".crdownload", ".tmp", ".bak", ".old", ".orig"};
  const auto is_ending = [&](std::string_view rest) {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    const bool numbered =
        rest.size() > 1 && (rest[0] == '.' || rest[0] == ';') && std::ranges::all_of(rest.substr(1), is_digit);
    const bool unseen = !rest.empty() && static_cast<unsigned char>(rest[0]) >= 128;  // U+200B and its like
    return numbered || unseen || rest == "." || rest == "~" || std::ranges::find(packed, rest) != packed.end();
  };
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const std::string_view extension : sample_extensions) {
    const std::size_t at = lower.rfind(extension);
    if (at != std::string::npos && is_ending(std::string_view(lower).substr(at + extension.size()))) return true;
  }
  return false;
}

std::vector<ManifestEntry> files_below(const fs::path& root, bool (*wants)(std::string_view name)) {
  return Walk(root, wants, nullptr, {}).files();
}

std::vector<ManifestEntry> data_files(const fs::path& root, const std::function<void()>& progress) {
  const auto wanted = [](std::string_view name) { return looks_like_samples(name) || is_container(name); };
  std::vector<ManifestEntry> files = Walk(root, wanted, resembles_samples, progress).files();
  const auto container = std::ranges::find_if(files, is_container, &ManifestEntry::name);
  if (container != files.end()) {
    throw Error(
        ExitCode::data,
        Complaint{root.string(), fmt::format("was staged to with /stage/form \"packed\" ({})", container->name),
                  "its samples lie in containers, and what is there as files may be a part of them",
                  "name the folder that was staged from; or stage copies that are to be a source as \"files\""});
  }
  if (files.empty()) {
    throw Error(ExitCode::data, Complaint{root.string(), "has no *.hdf5 or *.h5 files", "nothing could be read",
                                          "check the path, or make a dataset with `trainmark data generate`"});
  }
  return files;
}

}  // namespace trainmark
