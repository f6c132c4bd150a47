#include "load/image_shard.hpp"

namespace trainmark {

void ImageShard::add(std::span<const std::byte> coded, std::int32_t label) {
  bytes_.insert(bytes_.end(), coded.begin(), coded.end());
  offsets_.push_back(static_cast<std::int64_t>(bytes_.size()));
  labels_.push_back(label);
}

void ImageShard::write(Hdf5Writer& file, bool big_endian) const {
  file.values("offsets", Number::i64, {offsets_.size()}, std::as_bytes(std::span(offsets_)), big_endian);
  file.values("labels", Number::i32, {labels_.size()}, std::as_bytes(std::span(labels_)), big_endian);
  file.values("jpeg", Number::u8, {bytes_.size()}, bytes_);
}

}  // namespace trainmark
