#include "load/image_tree.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "trainmark/core.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& path, std::string what, std::string why, std::string remedy) {
  throw Error(ExitCode::data, Complaint{path.string(), std::move(what), std::move(why), std::move(remedy)});
}

/// Names that do not begin with a dot, sorted by bytes, of folders or of all else.
std::vector<std::string> names_in(const fs::path& folder, bool folders) {
  std::vector<std::string> names;
  std::error_code status;
  fs::directory_iterator at(folder, status);
  for (; !status && at != fs::directory_iterator(); at.increment(status)) {
    const std::string name = at->path().filename().string();
    std::error_code unknown;
    if (!name.starts_with('.') && at->is_directory(unknown) == folders) names.push_back(name);
  }
  if (status)
    refuse(folder, fmt::format("cannot be looked through: {}", status.message()), "", "check path and rights");
  std::ranges::sort(names);
  return names;
}

bool looks_like_jpeg(std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return name.ends_with(".jpg") || name.ends_with(".jpeg");
}

std::vector<std::string> classes_in(const fs::path& split) {
  const std::vector<std::string> strays = names_in(split, false);
  if (!strays.empty()) {
    refuse(split, fmt::format("holds '{}' beside its class folders", strays.front()),
           "an image's folder says what it shows", "sort all images into class folders (the same in both splits)");
  }
  std::vector<std::string> classes = names_in(split, true);
  if (classes.empty()) refuse(split, "has no class folders", "", "unpack the images into one folder for each class");
  return classes;
}

void require_same_classes(const fs::path& train, const std::vector<std::string>& of_train, const fs::path& other,
                          const std::vector<std::string>& of_other) {
  const auto require = [](const fs::path& in, const std::vector<std::string>& there, const fs::path& from,
                          const std::vector<std::string>& wanted) {
    std::vector<std::string> missing;
    std::ranges::set_difference(wanted, there, std::back_inserter(missing));
    if (missing.empty()) return;
    refuse(in,
           fmt::format("has no class folder '{}', which {} has ({} missing)", missing.front(), from.string(),
                       missing.size()),
           "labels are the places of class folders in sorted order, and must be the same in both splits",
           "add the missing folders, or remove the classes from both splits");
  };
  require(other, of_other, train, of_train);
  require(train, of_train, other, of_other);
}

std::vector<TreeImage> images_in(const fs::path& split, const std::vector<std::string>& classes) {
  std::vector<TreeImage> images;
  for (std::size_t label = 0; label < classes.size(); ++label) {
    const fs::path folder = split / classes[label];
    const std::vector<std::string> files = names_in(folder, false);
    if (files.empty()) refuse(folder, "has no images", "each class needs some", "unpack it again, or remove the class");
    for (const std::string& file : files) {
      if (!looks_like_jpeg(file))
        refuse(folder / file, "is no .jpg or .jpeg by its name", "each file of a class folder is one of its images",
               "remove it");
      images.push_back({fmt::format("{}/{}", classes[label], file), static_cast<std::int32_t>(label)});
    }
  }
  return images;
}

}  // namespace

ImageTree list_images(const fs::path& root) {
  ImageTree tree;
  std::error_code ignored;
  const auto is_folder = [&](const char* name) { return fs::is_directory(root / name, ignored); };
  tree.validation_folder = is_folder("val") ? "val" : "validation";
  if (!is_folder("train") || !is_folder(tree.validation_folder.c_str())) {
    refuse(root, is_folder("train") ? "has no folder val (or validation)" : "has no folder train", "",
           "name the folder that holds train/CLASS/*.JPEG and val/CLASS/*.JPEG");
  }
  const fs::path train = root / "train", validation = root / tree.validation_folder;
  tree.classes = classes_in(train);
  require_same_classes(train, tree.classes, validation, classes_in(validation));
  tree.train = images_in(train, tree.classes);
  tree.validation = images_in(validation, tree.classes);
  return tree;
}

// Parts end with a zero byte, which no name has; an empty part ends a list. Labels follow from the class in the name.

std::string to_text(const ImageTree& tree) {
  std::string text;
  const auto add = [&](std::string_view part) { text.append(part).push_back('\0'); };
  add(tree.validation_folder);
  for (const std::string& name : tree.classes)
    add(name);
  add("");
  for (const auto* images : {&tree.train, &tree.validation}) {
    for (const TreeImage& image : *images)
      add(image.name);
    add("");
  }
  return text;
}

ImageTree parse_image_tree(const std::string& text) {
  ImageTree tree;
  std::size_t at = 0;
  const auto next = [&] {
    const std::size_t end = text.find('\0', at);
    TRAINMARK_CHECK(end != std::string::npos, "a list ends");
    std::string part = text.substr(at, end - at);
    at = end + 1;
    return part;
  };
  tree.validation_folder = next();
  for (std::string name = next(); !name.empty(); name = next())
    tree.classes.push_back(std::move(name));
  for (auto* images : {&tree.train, &tree.validation}) {
    for (std::string name = next(); !name.empty(); name = next()) {
      const auto place = std::ranges::lower_bound(tree.classes, name.substr(0, name.find('/')));
      images->push_back({std::move(name), static_cast<std::int32_t>(place - tree.classes.begin())});
    }
  }
  return tree;
}

}  // namespace trainmark
