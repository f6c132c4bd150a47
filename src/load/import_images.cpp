// From an ImageNet-style tree to files of the layout "jpeg": the JPEGs' bytes as they are, in an order in which classes
// are mixed. Each rank packs whole files.
#include <fmt/core.h>

#include <algorithm>

#include "core/reading.hpp"
#include "load/image_shard.hpp"
#include "load/image_tree.hpp"
#include "load/import_files.hpp"
#include "load/jpeg_decoder.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

/// One file to be: images of one split, by their place in the tree's list.
struct PackedFile {
  fs::path path, images;  ///< images: the split's folder in the tree
  const std::vector<TreeImage>* listed = nullptr;
  std::vector<std::size_t> members;
};

std::vector<PackedFile> plan_files(const ImageTree& tree, const ImageImport& options) {
  std::vector<PackedFile> files;
  const auto add = [&](const char* split, const std::string& folder, const std::vector<TreeImage>& images) {
    const std::vector<std::size_t> order = mixed_order(images.size(), files.empty() ? 0 : 1);
    const auto size = static_cast<std::size_t>(options.images_per_file);
    for (std::size_t first = 0; first < order.size(); first += size) {
      const auto begin = order.begin() + static_cast<std::ptrdiff_t>(first);
      const auto end = begin + static_cast<std::ptrdiff_t>(std::min(size, order.size() - first));
      files.push_back({options.target / split / fmt::format("images_{:06}.hdf5", first / size),
                       options.tree / folder,
                       &images,
                       {begin, end}});
    }
  };
  add("train", "train", tree.train);
  add("validation", tree.validation_folder, tree.validation);
  return files;
}

/// Names, sizes and labels of its images. Their contents are not read.
std::string made_from(const PackedFile& file) {
  std::string text = "1\n";  // raised with every change of what is written
  for (const std::size_t member : file.members) {
    const TreeImage& image = file.listed->at(member);
    std::error_code status;
    const std::uintmax_t bytes = fs::file_size(file.images / image.name, status);
    if (status) {
      throw Error(ExitCode::data,
                  system_complaint((file.images / image.name).string(), "cannot be examined", status.value()));
    }
    text += fmt::format("{}\n{} {}\n", image.name, bytes, image.label);
  }
  return text;
}

/// Why an image cannot be decoded; empty where it can, to its last byte.
std::string fault_of_image(JpegDecoder& decoder, std::span<const std::byte> coded) {
  try {
    const ImageExtent image = decoder.open(coded);
    const CropBox all{0.0, 0.0, static_cast<double>(image.width), static_cast<double>(image.height)};
    (void)decoder.decode(all, 1, true);
    return "";
  } catch (const ImageError& error) {
    return error.what();
  }
}

Packed pack(const PackedFile& file, const ImageTree& tree, const ImportPlan& plan, const std::string& fingerprint) {
  ImageShard shard;
  JpegDecoder decoder;
  Packed packed;
  std::int64_t with_stray_bytes = 0;
  for (const std::size_t member : file.members) {
    const TreeImage& image = file.listed->at(member);
    const fs::path path = file.images / image.name;
    const std::string content = read_whole(path, {.code = ExitCode::data, .wanted = "JPEG"});
    const auto coded = std::as_bytes(std::span(content));
    const std::string fault = fault_of_image(decoder, coded);
    if (fault.empty()) {
      with_stray_bytes += decoder.stray_bytes() > 0 ? 1 : 0;
      shard.add(coded, image.label);
    } else if (plan.skip_corrupt) {
      packed.skipped.push_back(fmt::format("{} {}", path.string(), fault));
    } else {
      throw Error(ExitCode::data, Complaint{path.string(), fault, "no picture can be made of it",
                                            "repair it, or leave out such images with --skip-corrupt"});
    }
  }
  if (shard.images() == 0) {
    throw Error(ExitCode::data, Complaint{file.path.string(),
                                          fmt::format("none of its {} images can be decoded; the first {}",
                                                      file.members.size(), packed.skipped.front()),
                                          "a file without samples is no part of a dataset", "look at the images"});
  }
  packed.samples = shard.images();
  PartialFile partial(file.path);
  Hdf5Writer writer(partial.path(), file.path.string());
  shard.write(writer);
  writer.strings("class_names", tree.classes);
  plan.mark(writer, fingerprint, packed);
  writer.attribute("images_with_stray_bytes", fmt::format("{}", with_stray_bytes));
  writer.close();
  partial.publish();
  return packed;
}

}  // namespace

ImportReport import_images(const World& world, const ImageImport& options,
                           const std::function<void(double fraction)>& progress) {
  const Clock clock;
  const Group& all = world.all();
  std::string text;
  agree_on(all, [&] {
    if (options.images_per_file < 1) {
      throw Error(ExitCode::usage,
                  Complaint{"data import", "a file of no images is none", "", "give at least 1 image a file"});
    }
    if (all.rank() == 0) text = to_text(list_images(options.tree));
  });
  const ImageTree tree = parse_image_tree(all.broadcast(std::move(text)));
  const std::vector<PackedFile> files = plan_files(tree, options);
  ImportPlan plan{.target = options.target,
                  .importer = "trainmark data import imagenet",
                  .things = "images",
                  .origin = "from other images",
                  .skip_corrupt = options.skip_corrupt,
                  .made_from = [&](std::size_t i) { return made_from(files[i]); }};
  for (const PackedFile& file : files)
    plan.files.push_back(file.path);
  plan.pack = [&](std::size_t i, const std::string& fingerprint) { return pack(files[i], tree, plan, fingerprint); };
  ImportReport report = import_files(all, plan, progress);
  report.classes = static_cast<std::int64_t>(tree.classes.size());
  report.train_samples = static_cast<std::int64_t>(tree.train.size());
  report.validation_samples = static_cast<std::int64_t>(tree.validation.size());
  report.seconds = clock.seconds();
  return report;
}

}  // namespace trainmark
