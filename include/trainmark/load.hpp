// Staged files to batches, ahead of need: the sources that read samples, the order in which an epoch visits them, and
// the loader that prefetches batches into memory it is given.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <memory_resource>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainmark/comm.hpp"
#include "trainmark/core.hpp"
#include "trainmark/stage.hpp"

namespace trainmark {

/// universe: a cube a file, cut into samples on the fly; block: one sample a file; packed: [N, ...]; jpeg: the bytes of
/// coded images, which the schema asks for and nobody else can. automatic: each file tells, and all of a folder the
/// same.
enum class DatasetLayout : std::uint8_t { automatic, universe, block, packed, jpeg };
template <>
struct Words<DatasetLayout> {
  static constexpr std::array<std::string_view, 5> all = {"auto", "universe", "block", "packed", "jpeg"};
};

/// How a dataset lies in its HDF5 files.
struct FormatOptions {
  DatasetLayout layout = DatasetLayout::automatic;  ///< not jpeg
  std::string input = "auto";   ///< dataset of the first field, with its groups; auto: by the schema's names
  std::string target = "auto";  ///< of the second
  bool operator==(const FormatOptions&) const = default;
};

/// Whether a file of this name is taken for samples: *.hdf5, *.h5, *.hdf, *.he5 in letters of any case.
[[nodiscard]] bool looks_like_samples(std::string_view name);

/// How a manifest beside the data is used.
struct ManifestUse {
  bool ignored = false;  ///< it is not looked at
  /// Where files have the listed sizes but other times, their contents are compared with the listed hashes. False: that
  /// is left to whoever reads them next.
  bool hashes_compared = true;
  /// Headers tell the layouts that it does not list of these very files: of copies, of a manifest that lists none.
  bool all_layouts = false;
  std::function<void(const std::string& line)> say{};  ///< what takes long, and why
};

/// Names, sizes and sample counts of all files below `root` that look like samples (names that begin with a dot are
/// left out), sorted by name. Links to folders are followed; no
/// folder is read twice. Reads HDF5 headers only, and not those of files that did not change since a manifest was
/// written beside the data (hashes come from there, too); they must be those that it lists. `progress` is called as it
/// goes. Raises Error{data}: empty folder, names that cannot be used (they are counted, three named), two names of one
/// file, not HDF5, truncated, dataset missing, wrong rank, extent or type, files of several forms (FileForms).
[[nodiscard]] Manifest scan_dataset(const std::filesystem::path& root, const FormatOptions& format,
                                    const DataSchema& schema, const std::function<void()>& progress = {},
                                    const ManifestUse& use = {});

/// The forms of a folder's files, each with how many have it and the first of them. A form is, in words, what a file
/// alone tells of where its samples lie: layout, names of datasets, extents of a universe. It is empty where the config
/// names the layout, and then no file is a stranger.
class FileForms {
 public:
  void add(const std::string& form, const std::string& name, std::int64_t files = 1);
  [[nodiscard]] std::string to_text() const;  ///< a line a form, for telling other ranks
  void add_told(const std::string& text);
  /// Raises Error{data} where there are several: a file that joins the others by chance is cut into other samples.
  void require_one(const std::filesystem::path& root) const;

 private:
  struct Found {
    std::int64_t files = 0;
    std::string first;
  };
  std::map<std::string, Found> found_;
};

/// A scan as far as one process should do it for all: the names and what a manifest says of them. What it leaves open
/// is to be completed, by whom ever.
struct Listing {
  Manifest manifest;
  std::vector<std::size_t> unopened;  ///< entries whose samples are told by their headers alone; 0 until then
  std::vector<std::size_t> unread;    ///< entries whose contents are to be compared with their hashes
  FileForms forms;                    ///< of the entries that are complete
};
/// The first part of scan_dataset.
[[nodiscard]] Listing list_dataset(const std::filesystem::path& root, const FormatOptions& format,
                                   const DataSchema& schema, const std::function<void()>& progress = {},
                                   const ManifestUse& use = {});
/// The rest of it, file by file: opens the header of an entry, which tells its samples and its companion. Returns the
/// file's form, for FileForms.
[[nodiscard]] std::string complete_entry(const std::filesystem::path& root, const FormatOptions& format,
                                         const DataSchema& schema, ManifestEntry& entry);
/// Raises Error{data} where the content is not what its hash says.
void require_content(const std::filesystem::path& root, const ManifestEntry& entry,
                     const std::function<void()>& progress = {});

/// What staging with StageOptions::inflate copies: in place of files with deflated chunks HDF5 files that hold the same
/// values without chunks. Names, samples and times are the source's; sizes, layouts
/// and stamps are the copies'; hashes are not known before they are made. Files whose forms are not listed, or that are
/// larger than 1.25 GiB inflated, stay as they are.
[[nodiscard]] Manifest inflated_copies(const Manifest& source, const FormatOptions& format, const DataSchema& schema);

/// All that a sample's content may depend on besides a run's seed: augmentation is keyed by it.
struct Visit {
  std::int64_t sample = 0;
  std::int64_t epoch = 0;
};
/// What a source keeps in memory for later visits.
struct KeptStats {
  std::int64_t bytes = 0;    ///< taken of what it may take
  std::int64_t samples = 0;  ///< or images
};
/// Where a sample came from: what a source had kept of it, or anywhere else.
enum class ReadFrom : std::uint8_t { memory, files };
/// From where a source has read samples: one that it kept in memory it has not read.
struct PlaceStats {
  std::int64_t at_source = 0;     ///< samples: of files that were not staged yet
  std::int64_t at_target = 0;     ///< samples: of all others
  std::int64_t sample_bytes = 0;  ///< of one in memory
};
/// Random access to samples, safe to call from several threads.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  [[nodiscard]] virtual std::int64_t size() const = 0;
  /// Reads a sample into `to` (the schema's fields, channels-last, native endianness).
  virtual ReadFrom read(const Visit& visit, const SampleView& to) = 0;
  [[nodiscard]] virtual KeptStats kept() const { return {}; }
  [[nodiscard]] virtual PlaceStats places() const { return {}; }
};
/// Whether a sample that holds values which its schema does not allow is an error.
enum class Values : std::uint8_t { legal, any };
/// Which part of a coded image is a sample. `random` is training's, by the schema's ranges, with flips; `centre` is
/// evaluation's: the shorter side resized to round(256 S / 224) pixels, and S x S from the middle; `whole` squeezes all
/// of the image into the sample and decodes it to its last byte, for looking at data.
enum class Crop : std::uint8_t { random, centre, whole };
/// Of no effect where a schema has no coded images. A random crop is a function of (seed, epoch, sample) alone.
struct Cropping {
  Crop crop = Crop::centre;
  std::uint64_t seed = 0;
  /// Memory in which decoded images may be kept as wholes, at the reduction at which a random crop of them was decoded;
  /// 0: none are. A sample's bytes are the same. What is shown the same way each time is for keep_samples.
  std::int64_t cache_bytes = 0;
};
/// Samples of `manifest` in its order, read below `root`; only entries that are present there may be read. read()
/// raises Error{data}: cut short, damaged, changed since the scan, illegal values. `meanwhile`: `root` is being filled,
/// and what has not been staged there (is_staged) whenever a sample of it is read is read below that folder; empty: all
/// is there.
[[nodiscard]] std::unique_ptr<SampleSource> open_hdf5(const std::filesystem::path& root, const Manifest& manifest,
                                                      const FormatOptions& format, const DataSchema& schema,
                                                      Values values = Values::legal, const Cropping& cropping = {},
                                                      const std::filesystem::path& meanwhile = {},
                                                      const std::vector<ContainerPlace>& places = {});
/// The samples of `source`, of which those that come first stay in memory, table and all within `bytes`, and are taken
/// from there when they come again; nothing leaves. For sources that show a sample alike in all epochs. With 0 bytes:
/// `source`. Raises Error{environment}: there is no address space for so much.
[[nodiscard]] std::unique_ptr<SampleSource> keep_samples(std::unique_ptr<SampleSource> source, const DataSchema& schema,
                                                         std::int64_t bytes);
/// Memory in which so many samples of a set of `set_samples` are kept, all of them.
[[nodiscard]] std::int64_t kept_bytes_of(const DataSchema& schema, std::int64_t samples, std::int64_t set_samples);
/// Random but fixed content, for warm-up and for measuring everything but input.
[[nodiscard]] std::unique_ptr<SampleSource> synthetic_source(const DataSchema& schema, std::int64_t samples,
                                                             std::uint64_t seed);

/// What becomes of samples that fill no global batch. Batches of training are always full: batch norm must never see
/// padding. Only an evaluation ends short. Shards may have different numbers of samples, but with `exact`.
enum class Tail : std::uint8_t {
  exact,  ///< there are none
  drop,   ///< an epoch leaves them out, others in each; all shards give as many as the smallest
  wrap,   ///< the last batches are filled up, shard by shard, from the epoch's beginning; the largest leaves none out
  short_batch  ///< the last batches are short: as many steps as the longest shard has
};

/// The order of an epoch, a pure function of (seed, epoch, virtual shards).
struct Sampling {
  std::uint64_t seed = 0;
  bool shuffle = true;                     ///< training; validation goes in file order
  std::vector<std::vector<Range>> shards;  ///< sample ids of each virtual shard; equal sums with `exact`
  Tail tail = Tail::short_batch;
  std::int64_t global_batch = 1;
  std::int64_t batches_together = 1;  ///< of a training step; with `drop` and `wrap` an epoch has whole steps
  int ranks = 1;
  int rank = 0;
  [[nodiscard]] std::int64_t samples() const noexcept;
  /// That this rank comes by in one epoch or another. Where epochs are not shuffled, the same in each.
  [[nodiscard]] std::int64_t samples_of_rank() const noexcept;
  [[nodiscard]] std::int64_t steps_per_epoch() const noexcept;  ///< rounded up, but with `drop`
  [[nodiscard]] std::int64_t local_batch() const noexcept;      ///< global_batch / ranks
};
/// The sample ids that `sampling.rank` visits in step `step` of `epoch`: local_batch of them, fewer only with
/// short_batch. Each global batch takes global_batch / V samples from each of the V shards.
class Sampler {
 public:
  explicit Sampler(Sampling sampling);
  [[nodiscard]] const Sampling& sampling() const noexcept { return sampling_; }
  /// Not thread-safe: keeps the permutation of the epoch last asked for.
  [[nodiscard]] std::vector<std::int64_t> batch(std::int64_t epoch, std::int64_t step);
  /// The same into a vector that is reused.
  void batch(std::int64_t epoch, std::int64_t step, std::vector<std::int64_t>& ids);

 private:
  const std::vector<std::int64_t>& order_of(std::int64_t epoch, std::size_t shard);

  Sampling sampling_;
  std::vector<std::int64_t> counts_;  // by shard
  std::int64_t epoch_ = -1;
  std::vector<std::vector<std::int64_t>> order_;  // by shard
};

struct LoadOptions {
  static constexpr std::int64_t memory_auto = -1;
  int threads = 1;              ///< reader threads per rank to begin with; 0: one, and more as they are needed
  int prefetch = 4;             ///< batches read ahead, at most
  std::int64_t memory_mib = 0;  ///< per rank, for samples of both splits that stay; memory_auto: what a launch leaves
  int most_threads = 0;         ///< up to which readers are added to those; of a launch, not of a config
  bool operator==(const LoadOptions&) const = default;
};

/// A batch in the order of the schema's fields, each [local_batch, ...]; padding beyond `valid` is zero.
struct Batch {
  std::int64_t epoch = 0;
  std::int64_t step = 0;  ///< within the epoch
  std::int64_t valid = 0;
  std::span<const std::int64_t> ids;  ///< `valid` of them
  std::vector<std::span<const std::byte>> fields;
};

struct LoaderStats {
  double wait_seconds = 0.0;  ///< the consumer waited for input
  double read_seconds = 0.0;  ///< summed over reader threads
  double cpu_seconds = 0.0;   ///< of these: on a CPU
  std::int64_t bytes = 0;
  std::int64_t samples = 0;
  std::int64_t samples_from_memory = 0;  ///< of `samples`: the source had kept them
  double seconds_from_memory = 0.0;      ///< of `read_seconds`: for these
  int threads = 0;
  KeptStats kept = {};                                             ///< by the source
  PlaceStats places = {};                                          ///< of the source, where it is being staged
  [[nodiscard]] std::int64_t bytes_from_memory() const noexcept {  ///< of `bytes`; samples are of one size
    return samples > 0 ? bytes / samples * samples_from_memory : 0;
  }
};

/// The block that a Loader takes of its memory for its ring of batches.
struct LoaderBlock {
  std::size_t bytes, alignment;
};
[[nodiscard]] LoaderBlock loader_block(const DataSchema& schema, std::int64_t local_batch, const LoadOptions& options);

/// Prefetches batch after batch, epoch after epoch, without a gap between epochs.
class Loader {
 public:
  Loader(SampleSource& source, const DataSchema& schema, Sampling sampling, std::pmr::memory_resource& memory,
         LoadOptions options);
  ~Loader();  ///< stops and joins the readers
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  void start(std::int64_t epoch, std::int64_t step = 0);
  /// The next batch, valid until the next call. Rethrows what a reader met (Error{data} naming file and sample).
  [[nodiscard]] const Batch& next();
  [[nodiscard]] LoaderStats stats() const;
  /// Starts more readers, which changes no bit of what is read. To be called where next() is. Raises std::system_error
  /// where the system gives no more threads; those that there are go on.
  void add_threads(int count);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What `data inspect` shows of a file or folder.
struct DatasetField {
  std::string name;
  std::vector<std::int64_t> shape, chunk;  ///< chunk empty: contiguous
  std::string type, filters;
  std::int64_t stored_bytes = 0;
  std::string by_library;  ///< why the HDF5 library reads it; empty: by offset and chunk, which is faster
  std::string unusable;    ///< why it cannot be read; empty: it can
};
/// What the finite values of one field are like, over the samples read.
struct FieldValues {
  double minimum = 0, maximum = 0, mean = 0, deviation = 0, zero_fraction = 0;
  std::vector<std::int64_t> histogram;  ///< of magnitudes, log2 bins: 0, 1, 2-3, 4-7, ...
  /// By place along the last axis (channels, targets). Empty for classes.
  std::vector<double> channel_minimum, channel_maximum;
  /// Of whole numbers of which at most 16 are legal: the share of each from the least on. Empty for others.
  std::vector<double> class_share;
};
struct Inspection {
  std::vector<DatasetField> fields;     ///< of the first file
  std::vector<std::string> companions;  ///< other files that the first file's values are in
  Manifest manifest;
  DatasetLayout layout = DatasetLayout::automatic;  ///< as detected; automatic: nothing was
  DataSchema schema;                                ///< of a sample: the one asked for, or as found
  std::vector<FieldValues> values;  ///< of the schema's fields, in its order; empty if no sample was read
  std::int64_t samples_read = 0;
  std::int64_t all_zero = 0;               ///< samples whose first field is all zero
  std::int64_t illegal = 0;                ///< values read that the schema does not allow
  std::vector<std::string> illegal_first;  ///< where the first few of them are
  double read_amplification = 1.0;         ///< bytes that must be read (and inflated) per byte of a sample wanted
  double compression = 1.0;                ///< logical bytes over stored bytes
  std::vector<std::string> attributes;     ///< "name = value" of the first file, "dataset.name = value" of its datasets
};
/// Reads headers, and up to `max_samples` samples spread over all of them. An extent of 0 in the schema means: as
/// found.
[[nodiscard]] Inspection inspect_dataset(const std::filesystem::path& path, const FormatOptions& format,
                                         const DataSchema& schema, std::int64_t max_samples);

/// What a dataset's stats.h5 says of each channel of its images, over all values of the training samples.
struct ChannelStats {
  std::int64_t count = 0;  ///< values of a channel; 0: not said
  std::vector<double> minimum, maximum;
  std::vector<double> mean, mean_square;  ///< empty: not said
};
/// Reads climate/{minval,maxval}, float32 or float64 of either endianness, and count, mean and sqmean where they are
/// there. Raises Error{data}: no such file or dataset, another number of channels, a value that is no number, a channel
/// whose values are all the same (it would be divided by zero).
[[nodiscard]] ChannelStats read_channel_stats(const std::filesystem::path& path, std::int64_t channels);
/// Writes them in that form under a temporary name until complete. `made_from` is kept as an attribute. Raises
/// Error{data}.
void write_channel_stats(const std::filesystem::path& path, const ChannelStats& stats, const std::string& made_from);
/// Collective: the statistics of the first field's last axis over all samples below `root`, each file read by one rank.
/// Sums are in fp64 and added sample by sample in file order, so that they depend neither on the number of ranks nor on
/// how many samples share a file. `progress` is called on rank 0. Raises Error{data} alike on all ranks: what
/// scan_dataset and reading raise, and a channel whose values are all the same.
[[nodiscard]] ChannelStats channel_stats_of(const Group& all, const std::filesystem::path& root,
                                            const FormatOptions& format, const DataSchema& schema,
                                            const std::function<void(double fraction)>& progress = {});

/// An ImageNet-style tree of JPEGs, train/CLASS/NAME and val/CLASS/NAME (or validation/), to be packed into files.
struct ImageImport {
  std::filesystem::path tree, target;
  std::int64_t images_per_file = 1000;
  bool skip_corrupt = false;  ///< leave out what cannot be decoded; else it ends the import
};
/// What an import did.
struct ImportReport {
  std::int64_t classes = 0;  ///< of images
  /// Samples of all files together; of images those in the tree, the left out among them.
  std::int64_t train_samples = 0, validation_samples = 0;
  std::int64_t files_written = 0, files_kept = 0;
  std::int64_t skipped_before = 0;  ///< what kept files were written without
  std::int64_t bytes = 0;
  std::vector<std::string> skipped;  ///< what was left out now: path and reason; on rank 0
  double seconds = 0.0;
};
/// Collective: packs the JPEGs as they are into <target>/train and <target>/validation, one rank a file, each under a
/// temporary name until complete. Class folders in sorted order are the labels from 0 on; the order of images is mixed,
/// the same each time. Each image is decoded once, to its last byte. A file that exists and was made of images of the
/// same names, sizes and labels is kept; nothing is replaced. `progress` is called on rank 0. Raises Error{data} alike
/// on all ranks: class folders that differ between the splits, an image that is none, other data in the way, a full
/// disk.
ImportReport import_images(const World& world, const ImageImport& options,
                           const std::function<void(double fraction)>& progress = {});

/// CosmoFlow's public forms, to be packed into files of the layout "packed": below <source>/train and
/// <source>/validation (or val/), at any depth.
struct CosmoflowImport {
  std::filesystem::path source, target;
  DataSchema schema;                 ///< of a sample: extents and legal values
  std::int64_t files_per_file = 64;  ///< of records: so many go into one
  int gzip = 0;                      ///< 0: as it is; 1-9: shuffled and deflated, a sample a chunk
  bool skip_corrupt = false;         ///< leave out what cannot be used; else it ends the import
};
/// Collective: TFRecords, plain or gzip, any number of records a file, each an Example with a feature for each field of
/// the schema. Files are mixed, the same way each time, and so many of them packed into one; all CRCs are checked, and
/// all values. The rest is as with import_images, which of the files' names, sizes and times a file must be made of to
/// be kept. Raises Error{data} alike on all ranks: no files in a split, a record that cannot be used, a split without
/// any sample, other data in the way, a full disk.
ImportReport import_records(const World& world, const CosmoflowImport& options,
                            const std::function<void(double fraction)>& progress = {});
/// Collective: universes, `full` [U,U,U,4] integers and `unitPar` [4] floats a file, each cut into (U/extent)^3 samples
/// in nested order, which become one file. A universe with a fault is left out as a whole. Raises Error{data} likewise.
ImportReport import_universes(const World& world, const CosmoflowImport& options,
                              const std::function<void(double fraction)>& progress = {});

/// What `data verify` found.
struct Verification {
  bool manifest_found = false;
  bool manifest_written = false;
  std::int64_t files = 0, samples = 0, bytes = 0;
  double seconds = 0.0;
  std::vector<std::string> differences;  ///< one line each; empty: all is well
};
/// Reads every byte below `root`: each file must open, each sample must be readable with values that the schema allows
/// (an extent of 0 means: as found), and size, sample count and hash must be what the manifest beside the data
/// says, if there is one. With `write`, and if every file is sound, a manifest is written from what is there; an old
/// one is not looked at.
[[nodiscard]] Verification verify_dataset(const std::filesystem::path& root, const FormatOptions& format,
                                          const DataSchema& schema, bool write,
                                          const std::function<void(std::int64_t bytes)>& progress = {});

}  // namespace trainmark
