#include "load/import_files.hpp"

#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <set>

#include "load/dataset_target.hpp"

namespace trainmark {
namespace {

namespace fs = std::filesystem;

constexpr const char* other_target = "remove it yourself, or import into another folder";

std::int64_t number_in(const fs::path& path, const std::string& attribute) {
  const std::string text = read_attribute(path, attribute);
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::string skipped_attribute(const ImportPlan& plan) { return "skipped_" + plan.things; }

/// Whether exactly this file is there. Raises Error{data} where another one is.
bool is_packed(const ImportPlan& plan, const fs::path& path, const std::string& fingerprint) {
  std::error_code status;
  if (!fs::exists(fs::symlink_status(path, status))) return false;
  if (read_attribute(path, "made_from") != fingerprint) {
    throw Error(ExitCode::data, Complaint{path.string(), "is in the way: damaged, or packed " + plan.origin,
                                          "nothing that is there already is replaced", other_target});
  }
  const std::int64_t skipped = number_in(path, skipped_attribute(plan));
  if (skipped == 0 || plan.skip_corrupt) return true;
  throw Error(ExitCode::data,
              Complaint{path.string(), fmt::format("was packed without {} corrupt {}", skipped, plan.things),
                        fmt::format("without --skip-corrupt all {} are to be there", plan.things),
                        fmt::format("give --skip-corrupt, or remove the file and repair the {}", plan.things)});
}

/// What one rank did; all of them are summed.
struct Counts {
  std::array<std::int64_t, 6> values{};
  std::int64_t &written = values[0], &kept = values[1], &skipped_before = values[2], &bytes = values[3];
  std::int64_t &train = values[4], &validation = values[5];
  void add_samples(const fs::path& path, std::int64_t samples) {
    (path.parent_path().filename() == "train" ? train : validation) += samples;
  }
};

}  // namespace

void ImportPlan::mark(Hdf5Writer& file, const std::string& fingerprint, const Packed& packed) const {
  if (!packed.skipped.empty()) file.strings("skipped", packed.skipped);
  file.attribute("importer", importer);
  file.attribute("made_from", fingerprint);
  file.attribute("samples", fmt::format("{}", packed.samples));
  file.attribute(skipped_attribute(*this), fmt::format("{}", packed.skipped.size()));
}

ImportReport import_files(const Group& all, const ImportPlan& plan, const std::function<void(double)>& progress) {
  const Clock clock;
  const auto rank = static_cast<std::size_t>(all.rank()), size = static_cast<std::size_t>(all.size());
  const std::size_t total = plan.files.size();
  std::vector<std::string> fingerprints(total);
  std::vector<bool> there(total);
  Counts counts;
  // Everything that is there is looked at before anything is written: a refusal leaves the folder as it was.
  agree_on(all, [&] {
    std::set<std::string> names;
    for (const fs::path& path : plan.files)
      names.insert(path.lexically_relative(plan.target).generic_string());
    if (rank == 0) refuse_strangers(plan.target, names, other_target);
    for (std::size_t i = rank; i < total; i += size) {
      const std::string text = plan.made_from(i);
      fingerprints[i] = fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
      there[i] = is_packed(plan, plan.files[i], fingerprints[i]);
      if (!there[i]) continue;
      ++counts.kept;
      counts.skipped_before += number_in(plan.files[i], skipped_attribute(plan));
      counts.add_samples(plan.files[i], number_in(plan.files[i], "samples"));
    }
  });
  agree_on(all, [&] {
    if (rank == 0) make_split_folders(plan.target);
  });
  std::string skipped;
  // A round is a file on each rank: what one of them cannot pack ends the work of all soon.
  for (std::size_t first = 0; first < total; first += size) {
    agree_on(all, [&] {
      const std::size_t mine = first + rank;
      if (mine >= total) return;
      const fs::path& path = plan.files[mine];
      if (!there[mine]) {
        const Packed packed = plan.pack(mine, fingerprints[mine]);
        for (const std::string& line : packed.skipped)
          skipped += line + "\n";
        if (packed.samples == 0) return;
        ++counts.written;
        counts.add_samples(path, packed.samples);
      }
      counts.bytes += static_cast<std::int64_t>(fs::file_size(path));
    });
    if (progress && rank == 0)
      progress(static_cast<double>(std::min(first + size, total)) / static_cast<double>(total));
  }
  all.sum(counts.values);
  ImportReport report{.train_samples = counts.train,
                      .validation_samples = counts.validation,
                      .files_written = counts.written,
                      .files_kept = counts.kept,
                      .skipped_before = counts.skipped_before,
                      .bytes = counts.bytes,
                      .skipped = {},
                      .seconds = 0.0};
  for (const std::string& lines : all.gather(skipped)) {
    for (std::size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1)
      report.skipped.push_back(lines.substr(at, lines.find('\n', at) - at));
  }
  std::ranges::sort(report.skipped);
  report.seconds = clock.seconds();
  return report;
}

std::vector<std::size_t> mixed_order(std::size_t count, std::uint64_t split) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  permute(order, Rng(0, Purpose::sample_order, split));
  return order;
}

}  // namespace trainmark
