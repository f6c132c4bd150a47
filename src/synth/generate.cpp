// Writes a whole dataset: sees what is there, deals out what is missing, and lets each rank write its files.
#include <array>
#include <memory>

#include "synth/data_file.hpp"
#include "synth/dataset_plan.hpp"
#include "synth/field.hpp"
#include "trainmark/stage.hpp"
#include "trainmark/synth.hpp"

namespace trainmark {
namespace synth {
namespace {

void make_folders(const std::filesystem::path& target) {
  for (const char* split : {"train", "validation"}) {
    std::error_code error;
    std::filesystem::create_directories(target / split, error);
    if (!error) {
      remove_leftovers(target / split);
      continue;
    }
    throw Error(ExitCode::data, Complaint{(target / split).string(), "the folder cannot be created: " + error.message(),
                                          "", "choose a target that you may write to"});
  }
}

}  // namespace
}  // namespace synth

SynthReport generate_cosmoflow(const World& world, const SynthOptions& options, const std::filesystem::path& target,
                               const std::function<void(double)>& progress) {
  using namespace synth;
  const Clock clock;
  const Group& all = world.all();
  SynthReport report;
  std::vector<FilePlan> files;
  std::vector<std::size_t> mine, missing;
  const auto path_of = [&](const FilePlan& file) { return target / file.split / file.name; };
  agree_on(all, [&] {
    require_sense(options);
    files = files_of(options);
    mine = files_of_rank(files.size(), all.rank(), all.size());
  });
  // Everything that is there is looked at before anything is written: a refusal leaves the folder as it was.
  agree_on(all, [&] {
    if (all.rank() == 0) refuse_strangers(target, files);
    for (const std::size_t i : mine) {
      if (!present(path_of(files[i]), options, files[i])) missing.push_back(i);
    }
  });
  agree_on(all, [&] {
    if (all.rank() == 0) make_folders(target);
  });
  agree_on(all, [&] {
    std::int64_t total = 0, ready = 0;
    for (const std::size_t i : missing)
      total += files[i].samples;
    const SampleDone done = [&](std::int64_t samples) {
      ready += samples;
      if (progress && all.rank() == 0) progress(0.999 * static_cast<double>(ready) / static_cast<double>(total));
    };
    std::unique_ptr<FieldMaker> maker;
    for (const std::size_t i : missing)
      write_file(options, files[i], path_of(files[i]), maker, done);
    for (const std::size_t i : mine)
      report.bytes += static_cast<std::int64_t>(std::filesystem::file_size(path_of(files[i])));
  });
  std::array<std::int64_t, 3> sums = {static_cast<std::int64_t>(missing.size()),
                                      static_cast<std::int64_t>(mine.size() - missing.size()), report.bytes};
  all.sum(sums);
  if (progress && all.rank() == 0) progress(1.0);
  return {sums[0], sums[1], sums[2], clock.seconds()};
}

}  // namespace trainmark
