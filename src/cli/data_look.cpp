// trainmark data inspect, verify and stats: what is in a dataset, whether it is sound, and what its channels range
// over.
#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "cli/data.hpp"
#include "cli/inspection.hpp"
#include "cli/launch.hpp"
#include "trainmark/load.hpp"
#include "trainmark/models.hpp"
#include "trainmark/synth.hpp"

namespace trainmark::cli {
namespace {

struct PathFlags {
  std::string path;
  Workload workload = Workload::cosmoflow;
  FormatOptions format;
  int extent = 0;
  std::int64_t samples = 64;
  bool json = false, write = false, quiet = false;
  /// With extent 0 open extents: as the files have them.
  [[nodiscard]] DataSchema schema() const {
    if (workload == Workload::resnet50) return image_schema(extent > 0 ? extent : 224, 0);
    if (workload == Workload::deepcam && extent > 0) {
      throw Error(ExitCode::usage, Complaint{"--extent", "is no option of workload deepcam",
                                             "its images are taken in the size that they have", "leave it out"});
    }
    CosmoflowOptions cubes;
    if (extent > 0) cubes.extent = extent;
    DataSchema schema = workload == Workload::deepcam ? data_schema(DeepcamOptions{}) : data_schema(cubes);
    for (Field& field : schema.fields) {
      if (extent == 0) field.shape = Shape(std::vector<std::int64_t>(field.shape.rank(), 0));
    }
    return schema;
  }
};

void add_format_options(CLI::App& command, PathFlags& flags) {
  add_words(command, "--workload", flags.workload, "Whose samples");
  constexpr auto askable = static_cast<std::size_t>(DatasetLayout::jpeg);
  add_words(command, "--layout", flags.format.layout, "How samples lie in the files",
            std::span(Words<DatasetLayout>::all).first(askable));
  command.add_option("--input", flags.format.input, "HDF5 dataset of the samples, with its groups")
      ->capture_default_str();
  command.add_option("--target", flags.format.target, "HDF5 dataset of the targets")->capture_default_str();
}

void add_path_options(CLI::App& command, PathFlags& flags) {
  command.add_option("path", flags.path, "A dataset's folder, or one file")->required()->type_name("PATH");
  add_format_options(command, flags);
  command
      .add_option("--extent", flags.extent, "CosmoFlow: voxels along an axis (0: as found); ResNet-50: pixels (0: 224)")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_flag("--json", flags.json, "Print JSON");
}

}  // namespace

void add_inspect(CLI::App& data, Action& action) {
  auto flags = std::make_shared<PathFlags>();
  CLI::App* command = data.add_subcommand("inspect", "Show shapes, types, chunking, statistics and what reading costs");
  add_path_options(*command, *flags);
  command->add_option("--samples", flags->samples, "Samples to read for the statistics, at most")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->footer(
      "Read amplification is the bytes that must be read and inflated for each byte of a sample that is wanted: far "
      "above 1\n"
      "means chunks that do not fit the samples.\n\n"
      "Examples:\n  trainmark data inspect data/cosmoflow-tiny/train\n  trainmark data inspect univ_ics_a1.hdf5 "
      "--extent 128\n"
      "  trainmark data inspect data/deepcam/train --workload deepcam\n\n"
      "Exit codes: 0; 3 not a dataset, damaged, or of another shape");
  command->callback([flags, &action] {
    action = [flags](Process&) {
      const Inspection seen = inspect_dataset(flags->path, flags->format, flags->schema(), flags->samples);
      write_output(flags->json ? inspection_json(seen) : inspection_text(seen));
      return 0;
    };
  });
}

void add_verify(CLI::App& data, Action& action) {
  auto flags = std::make_shared<PathFlags>();
  CLI::App* command = data.add_subcommand("verify", "Read every byte of a dataset and compare it with its manifest");
  add_path_options(*command, *flags);
  command->add_flag("--write", flags->write, "Write a manifest of what is there, if every file is sound");
  command->add_flag("--quiet", flags->quiet, "Print differences only");
  command->footer(
      "Works on a source as on a staged copy. The manifest (trainmark.manifest) holds size, samples and hash of each "
      "file.\n\n"
      "Examples:\n  trainmark data verify scratch/node-local/cosmoflow-tiny/train\n"
      "  trainmark data verify --write /scratch/cosmo/train\n\n"
      "Exit codes: 0 all is well; 3 a file is damaged, missing, or not what the manifest says");
  command->callback([flags, &action] {
    action = [flags](Process&) {
      const Verification found = verify_dataset(flags->path, flags->format, flags->schema(), flags->write);
      write_output(flags->json ? verification_json(found) : verification_text(found, flags->path, flags->quiet));
      return to_int(found.differences.empty() ? ExitCode::success : ExitCode::data);
    };
  });
}

Percentage::Percentage(std::string doing) : doing_(std::move(doing)), terminal_(isatty(STDERR_FILENO) == 1) {}

void Percentage::show(double fraction) {
  const int percent = static_cast<int>(fraction * 100.0);
  if (percent < next_) return;
  next_ = percent + (terminal_ ? 1 : 10);
  const bool stays = !terminal_ || percent >= 100;
  print_message(fmt::format("{}{} {} %{}", terminal_ ? "\r" : "", doing_, percent, stays ? "\n" : ""));
}

namespace {

struct StatsFlags : PathFlags {
  std::string output;
  LaunchFlags launch;
  /// Beside the folder, where the published data have it.
  [[nodiscard]] std::filesystem::path destination() const {
    if (!output.empty()) return output;
    return (std::filesystem::absolute(path) / "").parent_path().parent_path() / "stats.h5";
  }
};

int survey(const StatsFlags& flags, const World& world) {
  const Clock clock;
  const Group& all = world.all();
  const bool speaks = all.rank() == 0 && !flags.quiet;
  const std::filesystem::path to = flags.destination();
  Percentage percentage("reading");
  DataSchema schema;
  agree_on(all, [&] {
    schema = flags.schema();
    if (!schema.images) return;
    throw Error(ExitCode::usage,
                Complaint{"--workload", fmt::format("{} has no channel statistics", word(flags.workload)),
                          "its images are scaled by fixed means, not by what a dataset's channels range over",
                          "its runs need no stats.h5; to see what the values are like: trainmark data inspect PATH "
                          "--workload resnet50"});
  });
  const ChannelStats stats = channel_stats_of(all, flags.path, flags.format, schema, [&](double fraction) {
    if (speaks) percentage.show(fraction);
  });
  agree_on(all, [&] {
    if (all.rank() == 0) write_channel_stats(to, stats, fmt::format("{} values of a channel", stats.count));
  });
  if (all.rank() == 0 && flags.json) {
    write_output(stats_json(stats, to.string(), clock.seconds()));
  } else if (speaks) {
    write_output(stats_text(stats, to.string(), clock.seconds()));
  }
  return 0;
}

}  // namespace

void add_stats(CLI::App& data, Action& action) {
  auto flags = std::make_shared<StatsFlags>();
  flags->workload = Workload::deepcam;
  CLI::App* command = data.add_subcommand("stats", "Compute what each channel ranges over, and write stats.h5");
  command->add_option("path", flags->path, "The folder of the training samples")->required()->type_name("TRAIN_FOLDER");
  command->add_option("--output", flags->output, "File to write or replace; else stats.h5 beside the folder");
  add_format_options(*command, *flags);
  add_launch_options(*command, flags->launch);
  command->add_flag("--quiet", flags->quiet, "Print nothing");
  command->add_flag("--json", flags->json, "Print JSON; progress still goes to stderr");
  command->footer(
      "Minimum, maximum, mean and mean square of each channel over all training samples, each file read by one rank. "
      "The\n"
      "numbers depend neither on the number of ranks nor on how many samples share a file. A channel that never "
      "varies\n"
      "is an error: scaling would divide by zero.\n\n"
      "Examples:\n  trainmark data stats data/deepcam/train\n"
      "  mpirun -n 32 trainmark data stats /scratch/All-Hist/train --output /scratch/All-Hist/stats.h5\n\n"
      "Exit codes: 0; 3 not a dataset, damaged, or a channel is constant; 4 launch mismatch");
  command->callback([flags, &action] {
    action = [flags](Process& process) {
      return with_world(process, flags->launch, [&](const World& world, Interrupts&) { return survey(*flags, world); });
    };
  });
}

}  // namespace trainmark::cli
