// Decoded images that are kept: within the memory that was given, each claimed by one reader, and never to be told from
// images that are decoded anew.
#include "load/image_cache.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>

#include "unit/load/make_hdf5.hpp"
#include "unit/load/make_jpeg.hpp"

namespace trainmark {
namespace {

using testing::Coding;
using testing::Colour;

constexpr std::int64_t node = 128;  // bytes that an entry costs beside its pixels

TEST(ImageCache, KeepsWhatItIsGivenUntilItIsFull) {
  ImageCache cache(2 * (100 + node) + 60);
  EXPECT_FALSE(cache.find(7).has_value());
  const std::span<std::byte> first = cache.claim(7, {20, 10}, 2, 100);
  ASSERT_EQ(first.size(), 100U);
  EXPECT_TRUE(cache.claim(7, {20, 10}, 2, 100).empty()) << "somebody has it";
  ASSERT_TRUE(cache.find(7).has_value());
  EXPECT_EQ(cache.find(7)->reduced_by(2), nullptr) << "and has not filled it yet";
  std::memset(first.data(), 5, first.size());
  cache.keep(7, 2, first);
  EXPECT_EQ(cache.find(7)->reduced_by(2), first.data());
  EXPECT_EQ(cache.find(7)->image, (ImageExtent{20, 10}));
  EXPECT_EQ(cache.find(7)->reduced_by(1), nullptr);
  EXPECT_TRUE(cache.claim(8, {}, 1, 161).empty()) << "one byte more than is left beside the entry";
  EXPECT_FALSE(cache.find(8).has_value());
  EXPECT_EQ(cache.claim(7, {20, 10}, 1, 160).size(), 160U) << "another reduction needs no entry";
  EXPECT_TRUE(cache.claim(9, {}, 1, 1).empty());
  EXPECT_EQ(cache.stats().samples, 1);
  EXPECT_EQ(cache.stats().bytes, 100 + 160 + node);
}

TEST(ImageCache, GivesEachClaimRoomOfItsOwnWithinItsBytes) {
  constexpr std::int64_t most = 64 * 1024;
  constexpr int threads = 8, samples = 400;
  ImageCache cache(most);
  std::vector<std::thread> readers;
  std::atomic<std::int64_t> granted{0}, bytes{0};
  for (int reader = 0; reader < threads; ++reader) {
    readers.emplace_back([&] {
      for (std::int64_t sample = 0; sample < samples; ++sample) {
        const auto size = static_cast<std::size_t>(100 + sample % 7);
        const std::span<std::byte> room = cache.claim(sample, {}, 1, size);
        if (room.empty()) continue;
        std::memset(room.data(), static_cast<int>(sample % 251), size);
        cache.keep(sample, 1, room);
        ++granted;
        bytes += static_cast<std::int64_t>(size);
      }
    });
  }
  for (std::thread& reader : readers)
    reader.join();
  EXPECT_EQ(cache.stats().samples, granted) << "no sample was granted twice";
  EXPECT_EQ(cache.stats().bytes, bytes + granted * node);
  EXPECT_LE(cache.stats().bytes, most);
  EXPECT_GT(cache.stats().bytes, most - 106 - node) << "but it is filled";
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    const auto kept = cache.find(sample);
    if (!kept) continue;
    for (std::int64_t at = 0; at < 100 + sample % 7; ++at)
      ASSERT_EQ(std::to_integer<int>(kept->reduced_by(1)[at]), sample % 251) << "nobody else wrote there";
  }
}

constexpr int extent = 32;
constexpr int count = 10;

DataSchema images() {
  DataSchema schema;
  schema.fields = {{.name = "image", .shape = {extent, extent, 3}, .dtype = DType::u8, .stored_as = {"jpeg"}},
                   {.name = "label", .shape = Shape{}, .dtype = DType::i32, .stored_as = {"labels"}}};
  schema.images = CodedImages{};
  schema.images->plain_from_epoch = 5;
  return schema;
}

/// Large enough for crops at every reduction, small enough for some at none; odd extents, every kind of coding.
ImageExtent extent_of(int sample) { return {45 + 67 * sample, 41 + 53 * (sample % 4) + 31 * sample}; }
std::vector<std::byte> image(int sample) {
  const Coding kinds[] = {Coding{}, Coding{.sampling_h = 1, .sampling_v = 1}, Coding{.sampling_h = 2, .sampling_v = 1},
                          Coding{.progressive = true}, Coding{.colour = Colour::grey}};
  const Coding& coding = kinds[sample % 5];
  std::vector<std::uint8_t> pixels = testing::picture(extent_of(sample), 1 + sample % 3);
  if (coding.colour == Colour::grey) {
    for (std::size_t i = 0; i < pixels.size() / 3; ++i)
      pixels[i] = pixels[3 * i];
    pixels.resize(pixels.size() / 3);
  }
  return testing::jpeg_of(pixels, extent_of(sample), coding);
}

/// A file of `count` images, and sources of it.
class Pictures {
 public:
  Pictures() {
    std::vector<std::int64_t> bytes, offsets = {0}, labels;
    for (int sample = 0; sample < count; ++sample) {
      for (const std::byte byte : image(sample))
        bytes.push_back(std::to_integer<std::int64_t>(byte));
      offsets.push_back(std::ssize(bytes));
      labels.push_back(sample);
    }
    testing::File file(folder_.path() / "a.hdf5");
    file.put_integers("jpeg", {bytes.size()}, H5T_STD_U8LE, bytes);
    file.put_integers("offsets", {offsets.size()}, H5T_STD_I64LE, offsets);
    file.put_integers("labels", {labels.size()}, H5T_STD_I32LE, labels);
  }
  [[nodiscard]] std::unique_ptr<SampleSource> open(Crop crop, std::int64_t cache_bytes) const {
    return open_hdf5(folder_.path(), scan_dataset(folder_.path(), {}, images()), {}, images(), Values::legal,
                     {crop, 77, cache_bytes});
  }

 private:
  testing::Scratch folder_;
};

/// `from_memory`, if given, counts samples that were not read.
std::vector<std::byte> read(SampleSource& source, std::int64_t sample, std::int64_t epoch, int* from_memory = nullptr) {
  std::vector<std::byte> bytes(extent * extent * 3 + sizeof(std::int32_t));
  const std::span<std::byte> all(bytes);
  const ReadFrom from =
      source.read({.sample = sample, .epoch = epoch}, {all.first(extent * extent * 3), all.last(sizeof(std::int32_t))});
  if (from_memory != nullptr && from == ReadFrom::memory) ++*from_memory;
  return bytes;
}

TEST(ImageCache, ShowsTrainingTheCropsThatDecodingShowsWhateverIsKept) {
  const Pictures pictures;
  const auto decoded = pictures.open(Crop::random, 0);
  for (const std::int64_t bytes : {std::int64_t{300}, std::int64_t{60'000}, std::int64_t{64} << 20}) {
    const auto kept = pictures.open(Crop::random, bytes);
    int from_memory = 0;
    for (std::int64_t epoch = 0; epoch < 7; ++epoch) {  // from epoch 5 on, centre crops
      for (std::int64_t sample = 0; sample < count; ++sample)
        ASSERT_EQ(read(*kept, sample, epoch, &from_memory), read(*decoded, sample, epoch))
            << bytes << ": " << sample << " " << epoch;
    }
    const KeptStats stats = kept->kept();
    EXPECT_LE(stats.bytes, bytes);
    if (bytes == 300) {
      EXPECT_EQ(from_memory, 0) << "no image is so small";
    } else {
      EXPECT_GT(from_memory, 0);
    }
    if (bytes == 60'000) {
      EXPECT_LT(stats.samples, count);
    }
    if (bytes > 60'000) {
      EXPECT_GE(from_memory, 3 * count) << "of an image one visit a reduction was decoded, at most";
    }
  }
}

TEST(ImageCache, ServesAnyNumberOfReadersTheSameBatches) {
  const Pictures pictures;
  const auto batches = [&](int threads, std::int64_t cache_bytes) {
    const auto source = pictures.open(Crop::random, cache_bytes);
    Sampling sampling;
    sampling.seed = 3;
    sampling.shards = {{{0, count}}};
    sampling.global_batch = 5;
    Loader loader(*source, images(), sampling, *std::pmr::new_delete_resource(), {.threads = threads, .prefetch = 3});
    loader.start(0);
    std::vector<std::vector<std::byte>> seen;
    for (int step = 0; step < 12; ++step) {
      for (const std::span<const std::byte> field : loader.next().fields)
        seen.emplace_back(field.begin(), field.end());
    }
    EXPECT_EQ(loader.stats().samples_from_memory > 0, cache_bytes > 0);
    return seen;
  };
  const auto expected = batches(1, 0);
  for (const int threads : {1, 2, 4}) {
    EXPECT_EQ(batches(threads, 60'000), expected) << threads;
    EXPECT_EQ(batches(threads, 64 << 20), expected) << threads;
  }
}

TEST(ImageCache, IsForRandomCropsAlone) {
  const Pictures pictures;
  for (const Crop crop : {Crop::whole, Crop::centre}) {
    const auto source = pictures.open(crop, 64 << 20);
    int from_memory = 0;
    (void)read(*source, 0, 0, &from_memory);
    (void)read(*source, 0, 0, &from_memory);
    EXPECT_EQ(from_memory, 0);
    EXPECT_EQ(source->kept().samples, 0);
  }
}

TEST(KeptSamples, ShowAnEvaluationItsImagesAgainWithoutDecodingAny) {
  const Pictures pictures;
  const auto decoded = pictures.open(Crop::centre, 0);
  const auto kept = keep_samples(pictures.open(Crop::centre, 0), images(), kept_bytes_of(images(), count, count));
  int from_memory = 0;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch)
    for (std::int64_t sample = 0; sample < count; ++sample)
      ASSERT_EQ(read(*kept, sample, epoch, &from_memory), read(*decoded, sample, epoch)) << sample;
  EXPECT_EQ(from_memory, 2 * count);
}

}  // namespace
}  // namespace trainmark
