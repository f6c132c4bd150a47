// One file of a dataset: what a workload writes into it, and the attributes that tell what it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "synth/dataset_plan.hpp"

namespace trainmark {
class Hdf5Writer;
}

namespace trainmark::synth {

using SampleDone = std::function<void(std::int64_t samples)>;

/// What the files of one workload hold. Keeps what it needs from file to file; not thread-safe.
class Content {
 public:
  virtual ~Content() = default;
  /// Datasets and attributes of one file. `done` hears of samples as they are written. Raises Error{data}.
  virtual void write(Hdf5Writer& file, const FilePlan& plan, const SampleDone& done) = 0;
};
[[nodiscard]] std::unique_ptr<Content> make_content(const SynthOptions& options);
[[nodiscard]] std::unique_ptr<Content> make_cosmoflow(const SynthOptions& options);
[[nodiscard]] std::unique_ptr<Content> make_deepcam(const SynthOptions& options);
[[nodiscard]] std::unique_ptr<Content> make_images(const SynthOptions& options);

/// The attributes by which `present` knows a file again.
void describe(Hdf5Writer& file, const SynthOptions& options, const FilePlan& plan, const std::string& note);

/// Writes the file under a temporary name, then publishes it. Raises Error{data}.
void write_file(Content& content, const FilePlan& plan, const std::filesystem::path& path, const SampleDone& done);

}  // namespace trainmark::synth
