// trainmark data: makes, shows and verifies datasets.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <memory>

#include "cli/data.hpp"
#include "cli/inspection.hpp"
#include "cli/launch.hpp"
#include "trainmark/models.hpp"
#include "trainmark/synth.hpp"

namespace trainmark::cli {
namespace {

struct GenerateFlags {
  std::string target;
  Workload workload = Workload::cosmoflow;
  CosmoflowData cosmoflow;
  DeepcamData deepcam;
  ImageData images;
  SynthOptions synth;
  LaunchFlags launch;
  bool quiet = false, json = false;
};

int generate(const GenerateFlags& flags, const World& world) {
  const bool speaks = world.all().rank() == 0 && !flags.quiet;
  Percentage percentage("generating");
  const SynthReport report = generate_dataset(world, flags.synth, flags.target, [&](double fraction) {
    if (speaks) percentage.show(fraction);
  });
  if (world.all().rank() == 0 && flags.json) {
    write_output(generation_json(report, flags.target));
  } else if (speaks) {
    write_output(fmt::format("{}: {} files written, {} kept, {:.1f} MiB in {:.1f} s\n", flags.target,
                             report.files_written, report.files_kept, static_cast<double>(report.bytes) / 1048576.0,
                             report.seconds));
    write_output("generated data: runs on them are no MLPerf results (set submission.generated_data)\n");
  }
  return 0;
}

/// The options that one workload has: another one refuses them.
constexpr std::array<const char*, 2> of_cosmoflow = {"--extent", "--universe-extent"};
constexpr std::array<const char*, 3> of_deepcam = {"--height", "--width", "--label-bits"};
constexpr std::array<const char*, 2> of_images = {"--classes", "--size"};

/// Puts the workload's own options and defaults in place.
void settle(const CLI::App& command, GenerateFlags& flags) {
  const auto refuse = [&](const char* option) {
    if (command.count(option) == 0) return;
    throw Error(ExitCode::usage,
                Complaint{"data generate", fmt::format("{} is no option of workload {}", option, word(flags.workload)),
                          "", "leave it out, or give another --workload"});
  };
  const auto unless_given = [&](const char* option, auto& member, auto value) {
    if (command.count(option) == 0) member = value;
  };
  const auto samples = [&](std::int64_t train, std::int64_t validation, int in_a_file) {
    unless_given("--train-samples", flags.synth.train_samples, train);
    unless_given("--validation-samples", flags.synth.validation_samples, validation);
    unless_given("--samples-per-file", flags.synth.samples_per_file, in_a_file);
  };
  if (flags.workload != Workload::cosmoflow) std::ranges::for_each(of_cosmoflow, refuse);
  if (flags.workload != Workload::deepcam) std::ranges::for_each(of_deepcam, refuse);
  if (flags.workload != Workload::resnet50) std::ranges::for_each(of_images, refuse);
  if (flags.workload == Workload::deepcam) {
    flags.synth.content = flags.deepcam;
    unless_given("--layout", flags.synth.layout, DatasetLayout::block);
    samples(256, 64, 16);
  } else if (flags.workload == Workload::resnet50) {
    refuse("--layout");
    flags.synth.content = flags.images;
    flags.synth.layout = DatasetLayout::jpeg;
    samples(5120, 512, 256);
  } else {
    flags.synth.content = flags.cosmoflow;
  }
}

void add_generate(CLI::App& data, Action& action) {
  auto flags = std::make_shared<GenerateFlags>();
  SynthOptions& synth = flags->synth;
  CLI::App* command = data.add_subcommand("generate", "Generate a dataset in the true HDF5 layouts of a workload");
  command->add_option("target", flags->target, "Folder; the samples go below train/ and validation/")
      ->required()
      ->type_name("TARGET");
  add_words(*command, "--workload", flags->workload, "Whose samples");
  constexpr auto first = static_cast<std::size_t>(DatasetLayout::universe);
  add_words(*command, "--layout", synth.layout,
            "block: one sample a file (DeepCAM's default); packed: many; universe: a cube cut into samples",
            std::span(Words<DatasetLayout>::all).subspan(first, 3));
  const auto count = [&](const char* name, auto& member, const char* doc) {
    // A bound, since the parser makes the largest integer of whatever is larger, without a word.
    constexpr std::int64_t most = std::int64_t{1} << 40;
    command->add_option(name, member, doc)->check(CLI::Range(std::int64_t{0}, most))->capture_default_str();
  };
  count("--train-samples", synth.train_samples, "Training samples (DeepCAM: 256, ResNet-50: 5120)");
  count("--validation-samples", synth.validation_samples, "Validation samples (DeepCAM: 64, ResNet-50: 512)");
  count("--extent", flags->cosmoflow.extent,
        "CosmoFlow: voxels along each axis of a sample; a multiple of 32 for training");
  count("--universe-extent", flags->cosmoflow.universe_extent, "Layout universe: voxels along each axis of a file");
  count("--height", flags->deepcam.height, "DeepCAM: pixels from pole to pole; a multiple of 16 for training");
  count("--width", flags->deepcam.width, "DeepCAM: pixels around the globe; a multiple of 16 for training");
  count("--label-bits", flags->deepcam.label_bits, "DeepCAM: of the labels in the files, 8, 16, 32 or 64");
  count("--classes", flags->images.classes, "ResNet-50: classes, 2 to 1000; a model with as many learns them");
  count("--size", flags->images.size, "ResNet-50: pixels along an image's sides, times 0.75 to 1.5 for each");
  count("--samples-per-file", synth.samples_per_file,
        "Layout packed: samples of a file (DeepCAM: 16); ResNet-50: JPEGs of a file (256)");
  command->add_option("--gzip", synth.gzip, "0: contiguous; 1-9: chunked, shuffled and deflated")
      ->check(CLI::Range(0, 9))
      ->capture_default_str();
  command->add_flag("--big-endian", synth.big_endian, "Write big-endian numbers");
  command->add_option("--seed", synth.seed, "Of everything random")
      ->check(CLI::Range(0.0, 9.2e18))  // -1 would wrap around
      ->capture_default_str();
  add_launch_options(*command, flags->launch);
  command->add_flag("--quiet", flags->quiet, "Print nothing");
  command->add_flag("--json", flags->json, "Print JSON; progress still goes to stderr");
  command->footer(
      "Bytes depend on these options alone, not on ranks or time. Files that are there already and fit are kept, so a\n"
      "second call is quick and an interrupted one goes on. Each rank writes whole files. DeepCAM's folder gets a "
      "stats.h5\n"
      "of the training samples.\n\n"
      "Examples:\n  trainmark data generate data/cosmoflow-tiny\n"
      "  mpirun -n 8 trainmark data generate /scratch/cosmo --layout universe --extent 128 --universe-extent 512 "
      "--gzip 4\n"
      "  mpirun -n 8 trainmark data generate /scratch/deepcam --workload deepcam --height 768 --width 1152\n"
      "  trainmark data generate data/resnet50-tiny --workload resnet50 --classes 10 --size 96\n\n"
      "Exit codes: 0; 2 options that do not fit together; 3 not writable; 4 launch mismatch");
  command->callback([flags, command, &action] {
    action = [flags, command](Process& process) {
      settle(*command, *flags);
      return with_world(process, flags->launch,
                        [&](const World& world, Interrupts&) { return generate(*flags, world); });
    };
  });
}

}  // namespace

void add_data(CLI::App& app, Action& action) {
  CLI::App* data = app.add_subcommand("data", "Generate, import, inspect, verify and survey datasets");
  data->require_subcommand(1);
  data->footer(
      "trainmark data generate --help, and the same of import, inspect, verify and stats, say more.\n\n"
      "Examples:\n  trainmark data generate data/cosmoflow-tiny\n  trainmark data inspect data/cosmoflow-tiny/train\n\n"
      "Exit codes: 0; 2 usage; 3 dataset");
  add_generate(*data, action);
  add_import(*data, action);
  add_inspect(*data, action);
  add_verify(*data, action);
  add_stats(*data, action);
}

}  // namespace trainmark::cli
