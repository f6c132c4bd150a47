// trainmark data import: public datasets in their own forms become files that runs read by offset.
#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/data.hpp"
#include "cli/launch.hpp"
#include "mllog/utf8.hpp"
#include "trainmark/load.hpp"

namespace trainmark::cli {
namespace {

struct ImportFlags {
  std::string tree, target;
  ImageImport images;
  LaunchFlags launch;
  bool quiet = false, json = false;
};

std::string import_json(const ImportReport& report, const std::string& target) {
  nlohmann::ordered_json json = {{"target", target},
                                 {"classes", report.classes},
                                 {"train_images", report.train_images},
                                 {"validation_images", report.validation_images},
                                 {"files_written", report.files_written},
                                 {"files_kept", report.files_kept},
                                 {"bytes", report.bytes},
                                 {"skipped", report.skipped},
                                 {"skipped_before", report.skipped_before},
                                 {"seconds", report.seconds}};
  return json_text(json, 2) + "\n";
}

std::string import_text(const ImportReport& report, const std::string& target) {
  std::string text =
      fmt::format("{}: {} + {} images of {} classes; {} files written, {} kept, {:.1f} MiB in {:.1f} s\n", target,
                  report.train_images, report.validation_images, report.classes, report.files_written,
                  report.files_kept, static_cast<double>(report.bytes) / 1048576.0, report.seconds);
  for (const std::string& line : report.skipped)
    text += fmt::format("left out: {}\n", line);
  const std::int64_t skipped = std::ssize(report.skipped) + report.skipped_before;
  if (skipped > 0)
    text += fmt::format("{} corrupt images are left out, {} of them in files that were there already\n", skipped,
                        report.skipped_before);
  return text;
}

int import(const ImportFlags& flags, const World& world) {
  const bool speaks = world.all().rank() == 0 && !flags.quiet;
  Percentage percentage("packing");
  ImageImport images = flags.images;
  images.tree = flags.tree;
  images.target = flags.target;
  const ImportReport report = import_images(world, images, [&](double fraction) {
    if (speaks) percentage.show(fraction);
  });
  if (world.all().rank() == 0 && flags.json) {
    write_output(import_json(report, flags.target));
  } else if (speaks) {
    write_output(import_text(report, flags.target));
  }
  return 0;
}

}  // namespace

void add_import(CLI::App& data, Action& action) {
  CLI::App* group = data.add_subcommand("import", "Pack a public dataset into files that runs read");
  group->require_subcommand(1);
  group->footer(
      "trainmark data import imagenet --help says more.\n\n"
      "Examples:\n  trainmark data import imagenet /datasets/ILSVRC2012 data/imagenet\n\n"
      "Exit codes: 0; 2 usage; 3 dataset");
  auto flags = std::make_shared<ImportFlags>();
  CLI::App* command = group->add_subcommand("imagenet", "Pack a tree of class folders of JPEGs");
  command->add_option("tree", flags->tree, "Folder with train/CLASS/*.JPEG and val/CLASS/*.JPEG (or validation/)")
      ->required()
      ->type_name("TREE");
  command->add_option("target", flags->target, "Folder; files go below train/ and validation/")
      ->required()
      ->type_name("TARGET");
  constexpr std::int64_t most = std::int64_t{1} << 24;
  command->add_option("--images-per-file", flags->images.images_per_file, "A rank holds a file's images in memory")
      ->check(CLI::Range(std::int64_t{1}, most))
      ->capture_default_str();
  command->add_flag("--skip-corrupt", flags->images.skip_corrupt,
                    "Leave out images that cannot be decoded, and list them");
  add_launch_options(*command, flags->launch);
  command->add_flag("--quiet", flags->quiet, "Print nothing");
  command->add_flag("--json", flags->json, "Print JSON; progress still goes to stderr");
  command->footer(
      "The JPEGs stay as they are, one behind another, with offsets and labels. Class folders in sorted order are the\n"
      "labels 0, 1, ...; images are mixed, in the same order each time. Each image is decoded once, so that a corrupt "
      "one "
      "is\n"
      "named now and not in the middle of a run. Files that are there already and fit are kept: an interrupted import "
      "goes "
      "on.\n\n"
      "Examples:\n  trainmark data import imagenet /datasets/ILSVRC2012 data/imagenet\n"
      "  mpirun -n 32 trainmark data import imagenet /datasets/ILSVRC2012 /scratch/imagenet --images-per-file 1251 "
      "--skip-corrupt\n\n"
      "Exit codes: 0; 3 folders that do not fit, a corrupt image, other data in the way, not writable; 4 launch "
      "mismatch");
  command->callback([flags, &action] {
    action = [flags](Process& process) {
      return with_world(process, flags->launch, [&](const World& world, Interrupts&) { return import(*flags, world); });
    };
  });
}

}  // namespace trainmark::cli
