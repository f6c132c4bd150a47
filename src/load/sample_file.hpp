// The writing side of the layout "packed", for samples whose number shows only when they have all been read.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "load/import_files.hpp"

namespace trainmark {

/// The fields of one sample in memory.
class SampleMemory {
 public:
  explicit SampleMemory(const DataSchema& schema);
  [[nodiscard]] SampleView view();
  /// What is wrong with its values, or nothing.
  [[nodiscard]] std::string fault() const;

 private:
  const DataSchema& schema_;
  std::vector<std::vector<std::byte>> fields_;
};

/// A file under a temporary name until published, removed if it never is. Memory: that of the fields behind the first.
class SampleFile {
 public:
  /// `gzip` 0: chunks of one sample as they are. Every member raises Error{data}.
  SampleFile(const std::filesystem::path& path, const DataSchema& schema, int gzip);
  /// `from` says where the sample is from.
  void add(const SampleView& sample, std::string from);
  [[nodiscard]] std::int64_t samples() const noexcept { return static_cast<std::int64_t>(sources_.size()); }
  /// The first field [samples, ...], the others, and `sources`.
  void publish(const ImportPlan& plan, const std::string& fingerprint, const Packed& packed);

 private:
  const std::filesystem::path& path_;
  const DataSchema& schema_;
  PartialFile partial_;
  Hdf5Writer writer_;
  std::vector<std::vector<std::byte>> rest_;  ///< the fields behind the first
  std::vector<std::string> sources_;
};

}  // namespace trainmark
