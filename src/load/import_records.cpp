// From CosmoFlow's TFRecords, as MLPerf HPC publishes them (one sample a file, since version 2 as gzip), to files of
// the layout "packed". Records are read one behind another; memory holds one, or what a gzip file inflates to.
#include <fmt/core.h>

#include <algorithm>

#include "load/example.hpp"
#include "load/import_files.hpp"
#include "load/import_source.hpp"
#include "load/record_file.hpp"
#include "load/sample_file.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

/// One file to be, and the files of its split that go into it.
struct Bundle {
  fs::path path;
  const SourceSplit* split = nullptr;
  std::vector<std::size_t> members;
};

/// Neighbours by name are parts of one universe, of equal targets: they are mixed.
std::vector<Bundle> bundle_files(const std::array<SourceSplit, 2>& splits, const CosmoflowImport& options) {
  std::vector<Bundle> bundles;
  const auto size = static_cast<std::size_t>(options.files_per_file);
  for (std::size_t at = 0; at < splits.size(); ++at) {
    const std::vector<std::size_t> order = mixed_order(splits[at].files.size(), at);
    for (std::size_t first = 0; first < order.size(); first += size) {
      const auto begin = order.begin() + static_cast<std::ptrdiff_t>(first);
      const auto count = static_cast<std::ptrdiff_t>(std::min(size, order.size() - first));
      bundles.push_back({options.target / splits[at].name / fmt::format("samples_{:06}.hdf5", first / size),
                         &splits[at],
                         {begin, begin + count}});
    }
  }
  return bundles;
}

/// Reads a record into `sample`; returns what is wrong with it, or nothing.
std::string take(const Record& record, const DataSchema& schema, SampleMemory& sample) {
  const auto told = [&](const std::string& what) {
    return record.where.empty() ? what : fmt::format("{} {}", record.where, what);
  };
  if (!record.fault.empty()) return told(record.fault);
  try {
    read_example(record.data, schema, sample.view());
  } catch (const ExampleError& error) {
    return told(error.what());
  }
  const std::string fault = sample.fault();
  return fault.empty() ? "" : told("holds an illegal value: " + fault);
}

Packed pack(const Bundle& bundle, const CosmoflowImport& options, const ImportPlan& plan,
            const std::string& fingerprint) {
  Packed packed;
  SampleFile file(bundle.path, options.schema, options.gzip);
  SampleMemory sample(options.schema);
  for (const std::size_t member : bundle.members) {
    const std::string& name = bundle.split->files.at(member).name;
    const fs::path path = bundle.split->folder / name;
    RecordFile records(path);
    while (const std::optional<Record> record = records.next()) {
      const std::string fault = take(*record, options.schema, sample);
      if (fault.empty()) {
        file.add(sample.view(), fmt::format("{}, record {}", name, record->number));
      } else if (options.skip_corrupt) {
        packed.skipped.push_back(fmt::format("{} {}", path.string(), fault));
      } else {
        throw Error(ExitCode::data, Complaint{path.string(), fault, "no sample can be made of it",
                                              "copy it again from where it comes from, or leave out what cannot be "
                                              "used with --skip-corrupt"});
      }
    }
  }
  packed.samples = file.samples();
  if (packed.samples > 0) file.publish(plan, fingerprint, packed);
  return packed;
}

}  // namespace

ImportReport import_records(const World& world, const CosmoflowImport& options,
                            const std::function<void(double fraction)>& progress) {
  const Group& all = world.all();
  const auto splits = find_splits(all, options.source, looks_like_records, "files of records (*.tfrecord)");
  const std::vector<Bundle> bundles = bundle_files(splits, options);
  ImportPlan plan{.target = options.target,
                  .importer = "trainmark data import cosmoflow-tfrecord",
                  .things = "records",
                  .origin = "from other files, or with other options",
                  .skip_corrupt = options.skip_corrupt};
  for (const Bundle& bundle : bundles)
    plan.files.push_back(bundle.path);
  plan.made_from = [&](std::size_t i) {
    std::string text = made_by(options);
    for (const std::size_t member : bundles[i].members)
      text += made_from(bundles[i].split->files.at(member));
    return text;
  };
  plan.pack = [&](std::size_t i, const std::string& fingerprint) {
    return pack(bundles[i], options, plan, fingerprint);
  };
  ImportReport report = import_files(all, plan, progress);
  require_samples(all, report, splits);
  return report;
}

}  // namespace trainmark
