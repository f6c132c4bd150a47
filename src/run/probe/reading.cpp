// How fast training's samples come out of their files, through the reader of a run: from where they were staged to, and
// from the source. Before each round the files are dropped from the page cache, as far as the system does that; where
// it does not, or cannot tell, the figure is of a warm cache and says so.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "run/probe/probe.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace {

struct Descriptor {
  using type = int;
  static type null() noexcept { return -1; }
  static void release(type raw) noexcept { ::close(raw); }
};

/// Whether next to nothing of a file is in the page cache (man 2 mincore, which says so to owners only: to others all
/// of it seems to be there).
bool is_cold(int descriptor, std::size_t bytes) {
  if (bytes == 0) return true;
  void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  if (mapped == MAP_FAILED) return false;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((bytes + page - 1) / page);
  const bool told = ::mincore(mapped, bytes, pages.data()) == 0;
  ::munmap(mapped, bytes);
  const auto there = std::ranges::count_if(pages, [](unsigned char each) { return (each & 1U) != 0; });
  return told && there * 20 <= std::ssize(pages);
}

/// Drops a file from the page cache; what is not written yet is written first. Returns whether it is out.
bool drop(const std::filesystem::path& path, std::size_t bytes) {
  const Handle<Descriptor> file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return false;  // reading it says why
  ::fdatasync(file.get());
  ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
  return is_cold(file.get(), bytes);
}

/// Reads the samples of a rank's share of an epoch, batch after batch, and begins anew at its end.
class Reading {
 public:
  Reading(const Probing& probing, const Manifest& manifest, std::filesystem::path root)
      : probing_(probing),
        root_(std::move(root)),
        manifest_(manifest),
        files_(manifest_),
        sampler_(sampling_of(probing.world, probing.options, probing.dataset.train)),
        source_(open_hdf5(root_, manifest_, probing.options.data.format, probing.dataset.schema, Values::legal,
                          {Crop::random, static_cast<std::uint64_t>(probing.options.seed)})),
        buffers_(static_cast<std::size_t>(std::max(1, probing.options.load.threads))) {
    for (std::vector<std::byte>& buffer : buffers_)
      buffer.resize(probing.dataset.schema.sample_bytes());
  }

  void prepare(int times) {
    ids_.clear();
    const std::int64_t steps = sampler_.sampling().steps_per_epoch();
    for (std::int64_t batch = 0; batch < std::min<std::int64_t>(times, steps); ++batch, step_ = (step_ + 1) % steps) {
      const std::vector<std::int64_t> more = sampler_.batch(0, step_);
      ids_.insert(ids_.end(), more.begin(), more.end());
    }
    dropped_ = true;
    for (const std::size_t entry : files_.of(ids_)) {
      const ManifestEntry& file = manifest_.entries[entry];
      std::error_code error;
      if (std::filesystem::file_size(root_ / file.name, error) != static_cast<std::uintmax_t>(file.bytes) || error) {
        throw Error(ExitCode::environment,
                    Complaint{(root_ / file.name).string(), "is not there as the dataset has it", "",
                              "`trainmark stage` brings the files of a config to where its runs stage them"});
      }
      dropped_ = drop(root_ / file.name, static_cast<std::size_t>(file.bytes)) && dropped_;
    }
  }

  double work() {
    const std::optional<std::int64_t> before = dropped_ ? std::nullopt : bytes_from_storage();
    read_all();
    double bytes = 0.0;
    for (const std::int64_t id : ids_)
      bytes += files_.stored_bytes(id);
    const std::optional<std::int64_t> after = dropped_ ? std::nullopt : bytes_from_storage();
    constexpr double most_of_it = 0.9;  // came from storage, whatever is said of the cache
    const bool read = before && after && static_cast<double>(*after - *before) >= most_of_it * bytes;
    cold_ = cold_ && (dropped_ || read);
    return bytes;
  }
  [[nodiscard]] bool cold() const noexcept { return cold_; }

 private:
  void read_all() {
    std::atomic<std::size_t> next = 0;
    std::mutex mutex;
    std::exception_ptr failure;
    const auto read = [&](std::vector<std::byte>& buffer) {
      try {
        SampleView view;
        std::size_t at = 0;
        for (const Field& field : probing_.dataset.schema.fields) {
          view.emplace_back(std::span(buffer).subspan(at, field.bytes()));
          at += field.bytes();
        }
        for (std::size_t mine = next++; mine < ids_.size(); mine = next++)
          source_->read({.sample = ids_[mine]}, view);
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = std::current_exception();
        next = ids_.size();
      }
    };
    {
      const OnAllCpus anywhere;
      std::vector<std::jthread> readers;
      for (std::size_t thread = 1; thread < buffers_.size(); ++thread)
        readers.emplace_back(read, std::ref(buffers_[thread]));
      read(buffers_[0]);
    }
    if (failure) std::rethrow_exception(failure);
  }

  const Probing& probing_;
  std::filesystem::path root_;
  const Manifest& manifest_;
  SampleFiles files_;
  Sampler sampler_;
  std::unique_ptr<SampleSource> source_;
  std::vector<std::vector<std::byte>> buffers_;  // by thread
  std::vector<std::int64_t> ids_;
  std::int64_t step_ = 0;
  bool dropped_ = false, cold_ = true;
};

void read_from(Probing& probing, const std::string& name, const Manifest& manifest, const std::filesystem::path& root,
               double limit) {
  std::unique_ptr<Reading> reading;
  agree_on(probing.world.all(), [&] { reading = std::make_unique<Reading>(probing, manifest, root); });
  const Repeated what = {.prepare = [&](int times) { reading->prepare(times); },
                         .work = [&](int) { return reading->work(); }};
  const bool added = probing.add({.name = fmt::format("read_{}_bytes_per_s", name),
                                  .of = fmt::format("training samples as they lie in {}, {} reader thread(s) a rank",
                                                    root.string(), probing.options.load.threads)},
                                 what, limit);
  std::array<double, 1> warm = {reading->cold() ? 0.0 : 1.0};
  probing.world.all().max(warm);
  if (added) probing.result.figures.back().cache = warm[0] == 0.0 ? "cold" : "warm";
}

}  // namespace

SampleFiles::SampleFiles(const Manifest& manifest) : manifest_(manifest) {
  std::int64_t end = 0;
  for (const ManifestEntry& entry : manifest.entries)
    ends_.push_back(end += entry.samples);
}

std::size_t SampleFiles::entry_of(std::int64_t id) const {
  const auto found = std::ranges::upper_bound(ends_, id);
  TRAINMARK_CHECK(found != ends_.end(), "a sample that no file holds");
  return static_cast<std::size_t>(found - ends_.begin());
}

std::vector<std::size_t> SampleFiles::of(std::span<const std::int64_t> ids) const {
  std::vector<std::size_t> entries;
  for (const std::int64_t id : ids)
    entries.push_back(entry_of(id));
  std::ranges::sort(entries);
  entries.erase(std::ranges::unique(entries).begin(), entries.end());
  return entries;
}

double SampleFiles::stored_bytes(std::int64_t id) const {
  const ManifestEntry& entry = manifest_.entries[entry_of(id)];
  return static_cast<double>(entry.bytes) / static_cast<double>(entry.samples);
}

void probe_reading(Probing& probing) {
  if (probing.options.stage.form == StageForm::packed) {
    probing.leave_out("reading what was staged",
                      "it is in containers, which are not dropped from the page cache one by one");
  } else if (probing.options.stage.strategy != Strategy::none) {
    const std::filesystem::path staged =
        std::filesystem::path(probing.options.stage.target) / probing.dataset.train.name;
    const double limit = probing.share();
    probing.attempt("reading what was staged",
                    [&] { read_from(probing, "staged", probing.dataset.train.staged(), staged, limit); });
  } else {
    probing.leave_out("reading what was staged", "the config stages nothing");
  }
  const double limit = probing.share();
  probing.attempt("reading the source", [&] {
    read_from(probing, "source", probing.dataset.train.manifest, probing.dataset.train.source, limit);
  });
}

}  // namespace trainmark
