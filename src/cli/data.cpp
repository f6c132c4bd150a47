// trainmark data: makes, shows and verifies datasets.
#include <fmt/core.h>
#include <unistd.h>

#include <memory>

#include "cli/inspection.hpp"
#include "cli/launch.hpp"
#include "trainmark/synth.hpp"

namespace trainmark::cli {
namespace {

/// One renewed line on a terminal, a line each tenth elsewhere.
class Percentage {
 public:
  void show(double fraction) {
    const int percent = static_cast<int>(fraction * 100.0);
    if (percent < next_) return;
    next_ = percent + (terminal_ ? 1 : 10);
    const bool stays = !terminal_ || percent >= 100;
    print_message(fmt::format("{}generating {} %{}", terminal_ ? "\r" : "", percent, stays ? "\n" : ""));
  }

 private:
  bool terminal_ = isatty(STDERR_FILENO) == 1;
  int next_ = 0;
};

struct GenerateFlags {
  std::string target;
  SynthOptions synth;
  LaunchFlags launch;
  bool quiet = false, json = false;
};

int generate(const GenerateFlags& flags, const World& world) {
  const bool speaks = world.all().rank() == 0 && !flags.quiet;
  Percentage percentage;
  const SynthReport report = generate_cosmoflow(world, flags.synth, flags.target, [&](double fraction) {
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

void add_generate(CLI::App& data, Action& action) {
  auto flags = std::make_shared<GenerateFlags>();
  SynthOptions& synth = flags->synth;
  CLI::App* command = data.add_subcommand("generate", "Generate a CosmoFlow dataset in the true HDF5 layouts");
  command->add_option("target", flags->target, "Folder; the samples go below train/ and validation/")
      ->required()
      ->type_name("TARGET");
  command
      ->add_option("--layout", synth.layout,
                   "universe: a cube cut into samples; block: one sample a file; packed: many")
      ->check(CLI::IsMember({"universe", "block", "packed"}))
      ->capture_default_str();
  const auto count = [&](const char* name, auto& member, const char* doc) {
    // A bound, since the parser makes the largest integer of whatever is larger, without a word.
    constexpr std::int64_t most = std::int64_t{1} << 40;
    command->add_option(name, member, doc)->check(CLI::Range(std::int64_t{0}, most))->capture_default_str();
  };
  count("--train-samples", synth.train_samples, "Training samples");
  count("--validation-samples", synth.validation_samples, "Validation samples");
  count("--extent", synth.extent, "Voxels along each axis of a sample; a multiple of 32 for training");
  count("--universe-extent", synth.universe_extent, "Layout universe: voxels along each axis of a file");
  count("--samples-per-file", synth.samples_per_file, "Layout packed: samples of a file");
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
      "second call is quick and an interrupted one goes on. Each rank writes whole files.\n\n"
      "Examples:\n  trainmark data generate data/cosmoflow-tiny\n"
      "  mpirun -n 8 trainmark data generate /scratch/cosmo --layout universe --extent 128 --universe-extent 512 "
      "--gzip 4\n\n"
      "Exit codes: 0; 2 options that do not fit together; 3 not writable; 4 launch mismatch");
  command->callback([flags, &action] {
    action = [flags](Process& process) {
      return with_world(process, flags->launch,
                        [&](const World& world, Interrupts&) { return generate(*flags, world); });
    };
  });
}

struct PathFlags {
  std::string path;
  FormatOptions format;
  int extent = 0;
  std::int64_t samples = 64;
  bool json = false, write = false, quiet = false;
  /// With extent 0 open extents: as the files have them.
  [[nodiscard]] DataSchema schema() const {
    CosmoflowOptions model;
    if (extent > 0) model.extent = extent;
    DataSchema schema = data_schema(model);
    for (Field& field : schema.fields) {
      if (extent == 0) field.shape = Shape(std::vector<std::int64_t>(field.shape.rank(), 0));
    }
    return schema;
  }
};

void add_path_options(CLI::App& command, PathFlags& flags) {
  command.add_option("path", flags.path, "A dataset's folder, or one file")->required()->type_name("PATH");
  command.add_option("--extent", flags.extent, "Voxels along each axis of a sample; 0: as the files have it")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--layout", flags.format.layout, "How samples lie in the files")
      ->check(CLI::IsMember({"auto", "universe", "block", "packed"}))
      ->capture_default_str();
  command.add_option("--input", flags.format.input, "HDF5 dataset of the samples")->capture_default_str();
  command.add_option("--target", flags.format.target, "HDF5 dataset of the targets")->capture_default_str();
  command.add_flag("--json", flags.json, "Print JSON");
}

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
      "--extent 128\n\n"
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

}  // namespace

void add_data(CLI::App& app, Action& action) {
  CLI::App* data = app.add_subcommand("data", "Generate, inspect and verify datasets");
  data->require_subcommand(1);
  data->footer(
      "trainmark data generate --help, trainmark data inspect --help and trainmark data verify --help say more.\n\n"
      "Examples:\n  trainmark data generate data/cosmoflow-tiny\n  trainmark data inspect data/cosmoflow-tiny/train\n\n"
      "Exit codes: 0; 2 usage; 3 dataset");
  add_generate(*data, action);
  add_inspect(*data, action);
  add_verify(*data, action);
}

}  // namespace trainmark::cli
