// From an ImageNet-style tree to files of the layout "jpeg": the JPEGs' bytes as they are, in an order in which classes
// are mixed. Each rank packs whole files.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <set>

#include "load/dataset_target.hpp"
#include "load/image_shard.hpp"
#include "load/image_tree.hpp"
#include "load/jpeg_decoder.hpp"
#include "trainmark/load.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

/// One file to be: images of one split, by their place in the tree's list.
struct PackedFile {
  fs::path path, images;  ///< images: the split's folder in the tree
  const std::vector<TreeImage>* listed = nullptr;
  std::vector<std::size_t> members;
};

/// Neighbours in the tree are of one class; in a file, and in the part of a dataset that a node stages, all classes are
/// to be. The same order each time: a file is known again by what is in it.
std::vector<std::size_t> mixed_order(std::size_t count, std::uint64_t split) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  permute(order, Rng(0, Purpose::sample_order, split));
  return order;
}

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

/// What a file is made of, in 16 digits: names, sizes and labels of its images. Their contents are not read.
std::string fingerprint_of(const PackedFile& file) {
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
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

constexpr const char* other_target = "remove it yourself, or import into another folder";

/// Whether exactly this file is there. Raises Error{data} where another one is.
bool is_packed(const PackedFile& file, const std::string& fingerprint, bool skip_corrupt) {
  std::error_code status;
  if (!fs::exists(fs::symlink_status(file.path, status))) return false;
  if (read_attribute(file.path, "made_from") != fingerprint) {
    throw Error(ExitCode::data, Complaint{file.path.string(), "is in the way: damaged, or packed from other images",
                                          "nothing that is there already is replaced", other_target});
  }
  const std::string skipped = read_attribute(file.path, "skipped_images");
  if (skipped == "0" || skip_corrupt) return true;
  throw Error(ExitCode::data,
              Complaint{file.path.string(), fmt::format("was packed without {} corrupt images", skipped),
                        "without --skip-corrupt all images are to be there",
                        "give --skip-corrupt, or remove the file and repair the images"});
}

std::set<std::string> names_of(const std::vector<PackedFile>& files, const fs::path& target) {
  std::set<std::string> names;
  for (const PackedFile& file : files)
    names.insert(file.path.lexically_relative(target).generic_string());
  return names;
}

std::vector<std::byte> read_whole(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad()) {
    throw Error(ExitCode::data, Complaint{path.string(), "cannot be read", "", "check that this user may read it"});
  }
  const auto view = std::as_bytes(std::span(bytes));
  return {view.begin(), view.end()};
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

/// Returns what was left out, a line each.
std::vector<std::string> pack(const PackedFile& file, const std::string& fingerprint, const ImageTree& tree,
                              const ImageImport& options) {
  ImageShard shard;
  JpegDecoder decoder;
  std::vector<std::string> skipped;
  std::int64_t with_stray_bytes = 0;
  for (const std::size_t member : file.members) {
    const TreeImage& image = file.listed->at(member);
    const fs::path path = file.images / image.name;
    const std::vector<std::byte> coded = read_whole(path);
    const std::string fault = fault_of_image(decoder, coded);
    if (fault.empty()) {
      with_stray_bytes += decoder.stray_bytes() > 0 ? 1 : 0;
      shard.add(coded, image.label);
    } else if (options.skip_corrupt) {
      skipped.push_back(fmt::format("{} {}", path.string(), fault));
    } else {
      throw Error(ExitCode::data, Complaint{path.string(), fault, "no picture can be made of it",
                                            "repair it, or leave out such images with --skip-corrupt"});
    }
  }
  if (shard.images() == 0) {
    throw Error(ExitCode::data, Complaint{file.path.string(),
                                          fmt::format("none of its {} images can be decoded; the first {}",
                                                      file.members.size(), skipped.front()),
                                          "a file without samples is no part of a dataset", "look at the images"});
  }
  PartialFile partial(file.path);
  Hdf5Writer writer(partial.path(), file.path.string());
  shard.write(writer);
  writer.strings("class_names", tree.classes);
  if (!skipped.empty()) writer.strings("skipped", skipped);
  writer.attribute("importer", std::string("trainmark data import imagenet"));
  writer.attribute("made_from", fingerprint);
  writer.attribute("skipped_images", fmt::format("{}", skipped.size()));
  writer.attribute("images_with_stray_bytes", fmt::format("{}", with_stray_bytes));
  writer.close();
  partial.publish();
  return skipped;
}

}  // namespace

ImportReport import_images(const World& world, const ImageImport& options,
                           const std::function<void(double fraction)>& progress) {
  const Clock clock;
  const Group& all = world.all();
  const auto rank = static_cast<std::size_t>(all.rank()), size = static_cast<std::size_t>(all.size());
  std::string text;
  agree_on(all, [&] {
    if (options.images_per_file < 1) {
      throw Error(ExitCode::usage,
                  Complaint{"data import", "a file of no images is none", "", "give at least 1 image a file"});
    }
    if (rank == 0) text = to_text(list_images(options.tree));
  });
  const ImageTree tree = parse_image_tree(all.broadcast(std::move(text)));
  const std::vector<PackedFile> files = plan_files(tree, options);
  // Everything that is there is looked at before anything is written: a refusal leaves the folder as it was.
  std::vector<std::string> fingerprints(files.size());
  std::vector<bool> there(files.size());
  std::array<std::int64_t, 4> sums{};  // written, kept, left out before, bytes
  agree_on(all, [&] {
    if (rank == 0) refuse_strangers(options.target, names_of(files, options.target), other_target);
    for (std::size_t i = rank; i < files.size(); i += size) {
      fingerprints[i] = fingerprint_of(files[i]);
      there[i] = is_packed(files[i], fingerprints[i], options.skip_corrupt);
      if (!there[i]) continue;
      ++sums[1];
      sums[2] += std::stoll("0" + read_attribute(files[i].path, "skipped_images"));
    }
  });
  agree_on(all, [&] {
    if (rank == 0) make_split_folders(options.target);
  });
  std::string skipped;
  // A round is a file on each rank: what one of them cannot pack ends the work of all soon.
  for (std::size_t first = 0; first < files.size(); first += size) {
    agree_on(all, [&] {
      const std::size_t mine = first + rank;
      if (mine >= files.size()) return;
      if (!there[mine]) {
        for (const std::string& line : pack(files[mine], fingerprints[mine], tree, options))
          skipped += line + "\n";
        ++sums[0];
      }
      sums[3] += static_cast<std::int64_t>(fs::file_size(files[mine].path));
    });
    if (progress && rank == 0)
      progress(static_cast<double>(std::min(first + size, files.size())) / static_cast<double>(files.size()));
  }
  all.sum(sums);
  ImportReport report{.classes = static_cast<std::int64_t>(tree.classes.size()),
                      .train_images = static_cast<std::int64_t>(tree.train.size()),
                      .validation_images = static_cast<std::int64_t>(tree.validation.size()),
                      .files_written = sums[0],
                      .files_kept = sums[1],
                      .skipped_before = sums[2],
                      .bytes = sums[3],
                      .skipped = {},
                      .seconds = 0.0};
  for (const std::string& lines : all.gather(skipped)) {
    for (std::size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1)
      report.skipped.push_back(lines.substr(at, lines.find('\n', at) - at));
  }
  std::ranges::sort(report.skipped);
  report.seconds = clock.seconds();
  return report;
}

}  // namespace trainmark
