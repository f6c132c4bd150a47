#include "synth/data_file.hpp"
#include "load/hdf5_writer.hpp"

#include <fmt/core.h>

#include "trainmark/stage.hpp"

namespace trainmark::synth {

std::unique_ptr<Content> make_content(const SynthOptions& options) {
  if (std::holds_alternative<ImageData>(options.content)) return make_images(options);
  return std::holds_alternative<DeepcamData>(options.content) ? make_deepcam(options) : make_cosmoflow(options);
}

void describe(Hdf5Writer& file, const SynthOptions& options, const FilePlan& plan, const std::string& note) {
  file.attribute("generator", fmt::format("trainmark {}", workload_of(options)));
  file.attribute("generator_version", std::string(generator_version(options)));
  file.attribute("options", fingerprint(options, plan));
  file.attribute("seed", options.seed);
  file.attribute("note", note);
}

void write_file(Content& content, const FilePlan& plan, const std::filesystem::path& path, const SampleDone& done) {
  PartialFile partial(path);
  Hdf5Writer file(partial.path(), path.string());
  content.write(file, plan, done);
  file.close();
  partial.publish();
}

}  // namespace trainmark::synth
