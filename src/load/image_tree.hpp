// A folder of images sorted into class folders, as ImageNet is unpacked: which classes there are, and all images.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace trainmark {

struct TreeImage {
  std::string name;  ///< below the split's folder: class/file
  std::int32_t label = 0;
};
struct ImageTree {
  std::string validation_folder;     ///< "val" or "validation"
  std::vector<std::string> classes;  ///< sorted by bytes; a class's place is its label
  std::vector<TreeImage> train, validation;
};

/// Names only; nothing is opened. Raises Error{data}: no train/ or no val/ (validation/) below `root`, class folders
/// that are in one of them alone, an empty one, files that are no .jpg or .jpeg by name.
[[nodiscard]] ImageTree list_images(const std::filesystem::path& root);

/// For other ranks, which need not look themselves.
[[nodiscard]] std::string to_text(const ImageTree& tree);
[[nodiscard]] ImageTree parse_image_tree(const std::string& text);

}  // namespace trainmark
