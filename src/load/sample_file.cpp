#include "load/sample_file.hpp"

#include <fmt/core.h>

#include "load/stored.hpp"
#include "load/values.hpp"

namespace trainmark {
namespace {

/// Of the types that samples of numbers have.
Number number_of(DType type) {
  switch (type) {
    case DType::i16:
      return Number::i16;
    case DType::u8:
      return Number::u8;
    default:
      TRAINMARK_CHECK(type == DType::f32, name_of(type));
      return Number::f32;
  }
}

std::vector<hsize_t> with_count(std::int64_t count, const Shape& shape) {
  std::vector<hsize_t> extents = {static_cast<hsize_t>(count)};
  extents.insert(extents.end(), shape.extents().begin(), shape.extents().end());
  return extents;
}

}  // namespace

SampleMemory::SampleMemory(const DataSchema& schema) : schema_(schema) {
  for (const Field& field : schema.fields)
    fields_.emplace_back(field.bytes());
}

SampleView SampleMemory::view() { return {fields_.begin(), fields_.end()}; }

std::string SampleMemory::fault() const {
  for (std::size_t at = 0; at < fields_.size(); ++at) {
    const Field& field = schema_.fields[at];
    if (const auto fault = fault_of(field, fields_[at])) return fmt::format("{} ({})", *fault, field.legal.why);
  }
  return "";
}

SampleFile::SampleFile(const std::filesystem::path& path, const DataSchema& schema, int gzip)
    : path_(path),
      schema_(schema),
      partial_(path),
      writer_(partial_.path(), path.string()),
      rest_(schema.fields.size() - 1) {
  const Field& first = schema.fields.front();
  writer_.dataset(first.name, number_of(first.dtype), with_count(0, first.shape),
                  {.chunk = with_count(1, first.shape), .gzip = gzip, .grows = true});
}

void SampleFile::add(const SampleView& sample, std::string from) {
  if (samples() == most_chunks) {
    throw Error(ExitCode::data,
                Complaint{path_.string(), fmt::format("would have more than {} samples", most_chunks),
                          "HDF5 finds places in such a file slowly", "put fewer files into one with --files-per-file"});
  }
  const Field& first = schema_.fields.front();
  writer_.write(first.name, sources_.size(), 1, number_of(first.dtype), sample.front());
  for (std::size_t at = 0; at < rest_.size(); ++at)
    rest_[at].insert(rest_[at].end(), sample[at + 1].begin(), sample[at + 1].end());
  sources_.push_back(std::move(from));
}

void SampleFile::publish(const ImportPlan& plan, const std::string& fingerprint, const Packed& packed) {
  for (std::size_t at = 0; at < rest_.size(); ++at) {
    const Field& field = schema_.fields[at + 1];
    writer_.values(field.name, number_of(field.dtype), with_count(samples(), field.shape), rest_[at]);
  }
  writer_.strings("sources", sources_);
  plan.mark(writer_, fingerprint, packed);
  writer_.close();
  partial_.publish();
}

}  // namespace trainmark
