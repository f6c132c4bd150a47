// trainmark data import: public datasets in their own forms become files that runs read by offset.
#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/data.hpp"
#include "cli/launch.hpp"
#include "mllog/utf8.hpp"
#include "trainmark/load.hpp"
#include "trainmark/models.hpp"

namespace trainmark::cli {
namespace {

/// What all forms are asked.
struct ImportFlags {
  std::string source, target;
  bool skip_corrupt = false;
  LaunchFlags launch;
  bool quiet = false, json = false;
};

/// How a form's samples are called.
struct Nouns {
  const char* samples;  ///< "images"
  const char* things;   ///< that may be corrupt: "images", "records"
};

std::string import_json(const ImportReport& report, const Nouns& nouns, const std::string& target) {
  nlohmann::ordered_json json = {{"target", target}};
  if (report.classes > 0) json["classes"] = report.classes;
  json[fmt::format("train_{}", nouns.samples)] = report.train_samples;
  json[fmt::format("validation_{}", nouns.samples)] = report.validation_samples;
  json["files_written"] = report.files_written;
  json["files_kept"] = report.files_kept;
  json["bytes"] = report.bytes;
  json["skipped"] = report.skipped;
  json["skipped_before"] = report.skipped_before;
  json["seconds"] = report.seconds;
  return json_text(json, 2) + "\n";
}

std::string import_text(const ImportReport& report, const Nouns& nouns, const std::string& target) {
  const std::string classes = report.classes > 0 ? fmt::format(" of {} classes", report.classes) : "";
  std::string text =
      fmt::format("{}: {} + {} {}{}; {} files written, {} kept, {:.1f} MiB in {:.1f} s\n", target, report.train_samples,
                  report.validation_samples, nouns.samples, classes, report.files_written, report.files_kept,
                  static_cast<double>(report.bytes) / 1048576.0, report.seconds);
  for (const std::string& line : report.skipped)
    text += fmt::format("left out: {}\n", line);
  const std::int64_t skipped = std::ssize(report.skipped) + report.skipped_before;
  if (skipped > 0)
    text += fmt::format("{} corrupt {} are left out, {} of them in files that were there already\n", skipped,
                        nouns.things, report.skipped_before);
  return text;
}

using Progress = std::function<void(double fraction)>;
using Import = std::function<ImportReport(const World& world, const Progress& progress)>;

int import(const ImportFlags& flags, const Nouns& nouns, const World& world, const Import& work) {
  const bool speaks = world.all().rank() == 0 && !flags.quiet;
  Percentage percentage("packing");
  const ImportReport report = work(world, [&](double fraction) {
    if (speaks) percentage.show(fraction);
  });
  if (world.all().rank() == 0 && flags.json) {
    write_output(import_json(report, nouns, flags.target));
  } else if (speaks) {
    write_output(import_text(report, nouns, flags.target));
  }
  return 0;
}

/// A form's subcommand with the options that all have; `source` and `corrupt` are their helps.
CLI::App* add_form(CLI::App& group, ImportFlags& flags, const char* name, const char* purpose, const char* source_name,
                   const char* source, const char* corrupt) {
  CLI::App* command = group.add_subcommand(name, purpose);
  command->add_option("source", flags.source, source)->required()->type_name(source_name);
  command->add_option("target", flags.target, "Folder; files go below train/ and validation/")
      ->required()
      ->type_name("TARGET");
  command->add_flag("--skip-corrupt", flags.skip_corrupt, corrupt);
  add_launch_options(*command, flags.launch);
  command->add_flag("--quiet", flags.quiet, "Print nothing");
  command->add_flag("--json", flags.json, "Print JSON; progress still goes to stderr");
  return command;
}

void add_count(CLI::App& command, const char* name, std::int64_t& count, const char* doc) {
  constexpr std::int64_t most = std::int64_t{1} << 24;
  command.add_option(name, count, doc)->check(CLI::Range(std::int64_t{1}, most))->capture_default_str();
}

struct ImageFlags : ImportFlags {
  ImageImport images;
};

void add_imagenet(CLI::App& group, Action& action) {
  auto flags = std::make_shared<ImageFlags>();
  CLI::App* command = add_form(group, *flags, "imagenet", "Pack a tree of class folders of JPEGs", "TREE",
                               "Folder with train/CLASS/*.JPEG and val/CLASS/*.JPEG (or validation/)",
                               "Leave out images that cannot be decoded, and list them");
  add_count(*command, "--images-per-file", flags->images.images_per_file, "A rank holds a file's images in memory");
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
      const Import work = [&](const World& world, const Progress& progress) {
        ImageImport images = flags->images;
        images.tree = flags->source;
        images.target = flags->target;
        images.skip_corrupt = flags->skip_corrupt;
        return import_images(world, images, progress);
      };
      return with_world(process, flags->launch, [&](const World& world, Interrupts&) {
        return import(*flags, {"images", "images"}, world, work);
      });
    };
  });
}

struct CosmoflowFlags : ImportFlags {
  CosmoflowImport samples;
  CosmoflowOptions cubes;
};

void add_cube_options(CLI::App& command, CosmoflowFlags& flags) {
  command.add_option("--extent", flags.cubes.extent, "Voxels along each axis of a sample; a multiple of 32")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--gzip", flags.samples.gzip, "0: as it is; 1-9: shuffled and deflated, a sample a chunk")
      ->check(CLI::Range(0, 9))
      ->capture_default_str();
}

/// Sets the subcommand's action: `form` is import_records or import_universes.
void act(CLI::App& command, const std::shared_ptr<CosmoflowFlags>& flags, const Nouns& nouns,
         decltype(&import_records) form, Action& action) {
  command.callback([flags, nouns, form, &action] {
    action = [flags, nouns, form](Process& process) {
      const Import work = [&](const World& world, const Progress& progress) {
        CosmoflowImport samples = flags->samples;
        samples.source = flags->source;
        samples.target = flags->target;
        samples.skip_corrupt = flags->skip_corrupt;
        agree_on(world.all(), [&] { samples.schema = data_schema(flags->cubes); });
        return form(world, samples, progress);
      };
      return with_world(process, flags->launch,
                        [&](const World& world, Interrupts&) { return import(*flags, nouns, world, work); });
    };
  });
}

void add_tfrecord(CLI::App& group, Action& action) {
  auto flags = std::make_shared<CosmoflowFlags>();
  CLI::App* command = add_form(group, *flags, "cosmoflow-tfrecord", "Pack CosmoFlow's TFRecords, plain or gzip",
                               "SOURCE", "Folder with train/ and validation/ (or val/) of *.tfrecord, at any depth",
                               "Leave out records that cannot be used, and list them");
  add_count(*command, "--files-per-file", flags->samples.files_per_file, "So many files of records go into one");
  add_cube_options(*command, *flags);
  command->footer(
      "Every CRC and every value is checked, so that a damaged record is named now (with its number and the byte where "
      "it\n"
      "begins) and not in the middle of a run. Files are mixed, in the same order each time. Files that are there "
      "already\n"
      "and fit are kept: an interrupted import goes on.\n\n"
      "Examples:\n  trainmark data import cosmoflow-tfrecord /datasets/cosmoUniverse_2019_05_4parE_tf_v2 "
      "data/cosmoflow\n"
      "  mpirun -n 32 trainmark data import cosmoflow-tfrecord /big/cosmo_tf /scratch/cosmo --gzip 4 "
      "--skip-corrupt\n\n"
      "Exit codes: 0; 2 usage; 3 a record that cannot be used, no files, other data in the way, not writable; 4 launch "
      "mismatch");
  act(*command, flags, {"samples", "records"}, import_records, action);
}

void add_universe(CLI::App& group, Action& action) {
  auto flags = std::make_shared<CosmoflowFlags>();
  CLI::App* command = add_form(group, *flags, "cosmoflow-universe", "Cut CosmoFlow's universes into samples", "SOURCE",
                               "Folder with train/ and validation/ (or val/) of *.hdf5, at any depth",
                               "Leave out universes with a fault, and list them");
  add_cube_options(*command, *flags);
  command->footer(
      "A universe of `full` and `unitPar` becomes a file of its own. Runs also read universes as they are and cut them "
      "on\n"
      "the fly; samples that lie whole are read in one piece. Files that are there already and fit are kept.\n\n"
      "Examples:\n  trainmark data import cosmoflow-universe /datasets/cosmoUniverse_2019_05_4parE data/cosmoflow\n"
      "  mpirun -n 32 trainmark data import cosmoflow-universe /big/cosmo /scratch/cosmo --gzip 4\n\n"
      "Exit codes: 0; 2 usage; 3 a file that is no universe, no files, other data in the way, not writable; 4 launch "
      "mismatch");
  act(*command, flags, {"samples", "universes"}, import_universes, action);
}

}  // namespace

void add_import(CLI::App& data, Action& action) {
  CLI::App* group = data.add_subcommand("import", "Pack a public dataset into files that runs read");
  group->require_subcommand(1);
  group->footer(
      "trainmark data import imagenet --help, and the same of cosmoflow-tfrecord and cosmoflow-universe, say more.\n\n"
      "Examples:\n  trainmark data import imagenet /datasets/ILSVRC2012 data/imagenet\n"
      "  trainmark data import cosmoflow-tfrecord /datasets/cosmoUniverse_2019_05_4parE_tf_v2 data/cosmoflow\n\n"
      "Exit codes: 0; 2 usage; 3 dataset");
  add_imagenet(*group, action);
  add_tfrecord(*group, action);
  add_universe(*group, action);
}

}  // namespace trainmark::cli
