// From CosmoFlow's original files, one simulated universe each, to files of the layout "packed". A universe is read in
// bars of a block's cross-section and its own length, so that no byte is read twice; memory holds one bar.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "load/descriptors.hpp"
#include "load/import_files.hpp"
#include "load/import_source.hpp"
#include "load/links.hpp"
#include "load/region_reader.hpp"
#include "load/sample_file.hpp"
#include "load/scan.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& path, std::string what, std::string why, std::string remedy) {
  throw Error(ExitCode::data, Complaint{path.string(), std::move(what), std::move(why), std::move(remedy)});
}

/// The dataset of that name, whose numbers become those of `field`.
Stored find(hid_t file, const std::string& name, const Field& field, const fs::path& path) {
  if (!link_exists(file, name)) {
    const std::vector<std::string> there = dataset_names(file);
    refuse(path,
           there.empty() ? fmt::format("has no dataset '{}': it has no datasets", name)
                         : fmt::format("has no dataset '{}'; it has '{}'", name, fmt::join(there, "', '")),
           "a universe has full and unitPar", "name a folder of universes, and nothing else in it");
  }
  Stored stored = describe(file, name, path);
  const auto wrong = [&](const std::string& what, const std::string& remedy) {
    refuse(path, fmt::format("dataset '{}' {}", name, what), "", remedy);
  };
  if (!stored.unusable.empty()) wrong("cannot be read: " + stored.unusable, "copy the file again");
  if (!stored.form.empty()) wrong("is " + stored.form, "copy the file again");
  if (!stored.readable || !becomes(stored.number, field.dtype))
    wrong(fmt::format("is {}, expected {}", stored.type, is_whole(field.dtype) ? "integers" : "floats"), "convert it");
  if (stored.storage == Storage::chunked) locate_chunks(file, stored, path);
  return stored;
}

/// An open file and its two datasets, to be read as fields of the schema. Every member raises Error{data}.
class Universe {
 public:
  Universe(const fs::path& path, const DataSchema& schema)
      : path_(path), counts_(schema.fields.at(0)), parameters_(schema.fields.at(1)) {
    const Hdf5Lock lock;
    const FileHandle file = open_file(path_);
    full_ = find(file.get(), "full", counts_, path_);
    unit_par_ = find(file.get(), "unitPar", parameters_, path_);
    require_shapes();
    descriptor_ = open_to_read(path_);
  }

  void read_parameters(std::span<std::byte> to) const {
    read_box({path_, descriptor_.get()}, unit_par_, {1, {}, unit_par_.dims}, parameters_, to);
  }

  /// Puts one block after another into `block`, in nested order, and calls visit() for each.
  template <class Visit>
  void cut(std::span<std::byte> block, Visit&& visit) const {
    const Shape& shape = counts_.shape;
    const std::int64_t length = full_.dims[2];
    const Field bar{counts_.name, Shape{shape[0], shape[1], length, shape[3]}, counts_.dtype, {}, {}};
    std::vector<std::byte> bytes(bar.bytes());
    for (std::int64_t i = 0; i < full_.dims[0]; i += shape[0]) {
      for (std::int64_t j = 0; j < full_.dims[1]; j += shape[1]) {
        read_box({path_, descriptor_.get()}, full_, {4, {i, j}, {shape[0], shape[1], length, shape[3]}}, bar, bytes);
        for (std::int64_t k = 0; k < length; k += shape[2]) {
          copy_from(bytes, length, k, block);
          visit();
        }
      }
    }
  }

 private:
  void require_shapes() const {
    const Shape &shape = counts_.shape, whole = full_.shape(), targets = unit_par_.shape();
    if (whole.rank() != shape.rank() || whole[3] != shape[3]) {
      refuse(path_, fmt::format("dataset 'full' has shape {}, expected UxUxUx{}", to_string(whole), shape[3]),
             "the last axis has the redshifts", "name a folder of universes, and nothing else in it");
    }
    for (std::size_t axis = 0; axis < 3; ++axis) {
      if (whole[axis] > 0 && whole[axis] % shape[axis] == 0) continue;
      refuse(path_,
             fmt::format("dataset 'full' has shape {}, which cannot be cut into samples of {}", to_string(whole),
                         to_string(shape)),
             "a part of the universe would be left out", "give an --extent that divides it");
    }
    if (targets != parameters_.shape) {
      refuse(
          path_,
          fmt::format("dataset 'unitPar' has shape {}, expected {}", to_string(targets), to_string(parameters_.shape)),
          "they are the targets", "name a folder of universes, and nothing else in it");
    }
  }

  void copy_from(std::span<const std::byte> bar, std::int64_t length, std::int64_t begin,
                 std::span<std::byte> block) const {
    const Shape& shape = counts_.shape;
    const Extents extent{shape[0], shape[1], shape[2], shape[3]};
    const std::size_t element = size_of(counts_.dtype);
    const BoxPair pair{4, extent, {shape[0], shape[1], length, shape[3]}, {0, 0, begin}, extent, {}};
    for_each_run(pair, [&](std::int64_t from, std::int64_t to, std::int64_t count) {
      std::memcpy(block.data() + static_cast<std::size_t>(to) * element,
                  bar.data() + static_cast<std::size_t>(from) * element, static_cast<std::size_t>(count) * element);
    });
  }

  const fs::path& path_;
  const Field &counts_, &parameters_;
  Stored full_, unit_par_;
  Descriptor descriptor_;
};

/// A universe that is to become a file.
struct Origin {
  const SourceSplit* split = nullptr;
  const ManifestEntry* file = nullptr;
};

/// What is wrong with a universe was said by an Error, or is its values'.
Packed pack(const fs::path& path, const Origin& origin, const CosmoflowImport& options, const ImportPlan& plan,
            const std::string& fingerprint) {
  const fs::path source = origin.split->folder / origin.file->name;
  SampleFile file(path, options.schema, options.gzip);
  SampleMemory sample(options.schema);
  std::optional<Error> unwritten;
  try {
    const Universe universe(source, options.schema);
    universe.read_parameters(sample.view()[1]);
    universe.cut(sample.view()[0], [&] {
      const std::string fault = sample.fault();
      if (!fault.empty()) {
        refuse(source, fmt::format("block {} holds an illegal value: {}", file.samples(), fault), "",
               "copy it again from where it comes from, or leave out what cannot be used with --skip-corrupt");
      }
      try {
        file.add(sample.view(), fmt::format("{}, block {}", origin.file->name, file.samples()));
      } catch (const Error& error) {
        unwritten = error;
        throw;
      }
    });
  } catch (const Error& error) {
    if (!options.skip_corrupt || unwritten) throw;
    return {0, {to_string(error.complaint())}};
  }
  const Packed packed{file.samples(), {}};
  file.publish(plan, fingerprint, packed);
  return packed;
}

}  // namespace

ImportReport import_universes(const World& world, const CosmoflowImport& options,
                              const std::function<void(double fraction)>& progress) {
  const Group& all = world.all();
  const auto splits = find_splits(all, options.source, looks_like_samples, "universes (*.hdf5)");
  std::vector<Origin> origins;
  ImportPlan plan{.target = options.target,
                  .importer = "trainmark data import cosmoflow-universe",
                  .things = "universes",
                  .origin = "from other files, or with other options",
                  .skip_corrupt = options.skip_corrupt};
  for (const SourceSplit& split : splits) {
    for (std::size_t i = 0; i < split.files.size(); ++i) {
      plan.files.push_back(options.target / split.name / fmt::format("universe_{:06}.hdf5", i));
      origins.push_back({&split, &split.files[i]});
    }
  }
  plan.made_from = [&](std::size_t i) { return made_by(options) + made_from(*origins[i].file); };
  plan.pack = [&](std::size_t i, const std::string& fingerprint) {
    return pack(plan.files[i], origins[i], options, plan, fingerprint);
  };
  ImportReport report = import_files(all, plan, progress);
  require_samples(all, report, splits);
  return report;
}

}  // namespace trainmark
