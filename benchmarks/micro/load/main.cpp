// Samples per second that the loader delivers from a folder of CosmoFlow files, with --images of JPEGs that become
// crops of so many pixels, or with --rows and --columns of DeepCAM's maps; in the page cache. Prints one JSON line.
#include <fmt/core.h>

#include <map>
#include <memory_resource>

#include "trainmark/load.hpp"
#include "trainmark/models.hpp"

namespace {

using namespace trainmark;

int measure(int argc, char** argv) {
  std::map<std::string, int> numbers = {{"--threads", 1}, {"--batch", 4},  {"--extent", 0},
                                        {"--epochs", 3},  {"--images", 0}, {"--rows", 0},
                                        {"--columns", 0}, {"--memory", 0}, {"--centre", 0}};
  for (int i = 2; i + 1 < argc; i += 2)
    numbers.at(argv[i]) = std::stoi(argv[i + 1]);
  const std::filesystem::path folder = argv[1];
  const std::int64_t extent = numbers["--extent"];
  const int images = numbers["--images"];
  DataSchema schema{
      .fields = {{"x", {0, 0, 0, 0}, DType::i16, {}, {"x", "full"}}, {"y", {0}, DType::f32, {}, {"y", "unitPar"}}},
      .cut = Cut{.stored_as = "full", .extent = 128}};
  if (images > 0) {
    schema = schema_of(Resnet50Options{.extent = images});
  } else if (numbers["--rows"] > 0) {
    schema = schema_of(DeepcamOptions{.rows = numbers["--rows"], .columns = numbers["--columns"]});
  } else if (extent == 0) {  // as the files have it
    schema = inspect_dataset(folder, {}, schema, 0).schema;
  } else {
    schema.fields[0].shape = Shape{extent, extent, extent, 4};
    schema.fields[1].shape = Shape{4};
  }
  const Manifest manifest = scan_dataset(folder, {}, schema);
  const std::int64_t memory = std::int64_t{numbers["--memory"]} << 20U;
  const bool crops = images > 0 && numbers["--centre"] == 0;
  const Cropping cropping{crops ? Crop::random : Crop::centre, 1, crops ? memory : 0};
  const auto source =
      keep_samples(open_hdf5(folder, manifest, {}, schema, Values::legal, cropping), schema, crops ? 0 : memory);
  Sampling sampling;
  sampling.seed = 1;
  sampling.shards = {{{0, manifest.samples()}}};
  sampling.global_batch = numbers["--batch"];
  LoadOptions options;
  options.threads = numbers["--threads"];
  Loader loader(*source, schema, sampling, *std::pmr::new_delete_resource(), options);
  loader.start(0);
  const auto epoch = [&] {
    std::int64_t samples = 0;
    for (std::int64_t step = 0; step < sampling.steps_per_epoch(); ++step)
      samples += loader.next().valid;
    return samples;
  };
  (void)epoch();  // fills the page cache, and with --memory what is kept
  const Clock clock;
  std::int64_t samples = 0;
  for (int i = 0; i < numbers["--epochs"]; ++i)
    samples += epoch();
  fmt::print("{{\"program\": \"trainmark loader\", \"samples_per_s\": {:.1f}, \"threads\": {}}}\n",
             static_cast<double>(samples) / clock.seconds(), options.threads);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc % 2 != 0) {
    fmt::print(
        stderr,
        "usage: bench_load FOLDER [--threads N] [--batch N] [--extent N] [--epochs N] [--rows N --columns N] [--images "
        "PIXELS [--centre 1]] [--memory MIB]\n");
    return static_cast<int>(ExitCode::usage);
  }
  try {
    return measure(argc, argv);
  } catch (const Error& error) {
    fmt::print(stderr, "bench_load: error: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
