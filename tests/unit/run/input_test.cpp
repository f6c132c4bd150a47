// What is opened for the loop: training sees crops drawn anew, an evaluation the centre of every image.
#include "run/launch/input.hpp"

#include <gtest/gtest.h>

#include "support/mpi_main.hpp"
#include "unit/load/make_hdf5.hpp"
#include "unit/load/make_jpeg.hpp"

namespace trainmark {
namespace {

constexpr int extent = 32;
constexpr ImageExtent stored{100, 80};

void put_image(const std::filesystem::path& path) {
  std::filesystem::create_directories(path.parent_path());
  std::vector<std::int64_t> bytes;
  for (const std::byte byte : testing::jpeg_of(testing::picture(stored), stored))
    bytes.push_back(std::to_integer<std::int64_t>(byte));
  testing::File file(path);
  file.put_integers("jpeg", {bytes.size()}, H5T_STD_U8LE, bytes);
  file.put_integers("offsets", {2}, H5T_STD_I64LE, {0, std::ssize(bytes)});
  file.put_integers("labels", {1}, H5T_STD_I32LE, {1});
}

std::vector<std::uint8_t> seen(SampleSource& source, std::int64_t epoch) {
  std::vector<std::uint8_t> pixels(extent * extent * 3);
  std::int32_t label = -1;
  source.read({.sample = 0, .epoch = epoch},
              {std::as_writable_bytes(std::span(pixels)), std::as_writable_bytes(std::span(&label, 1))});
  return pixels;
}

TEST(OpenedInput, DrawsCropsForTrainingAndShowsAnEvaluationTheCentre) {
  const World& world = test_world();
  std::unique_ptr<testing::Scratch> folder;
  std::string path;
  if (world.all().rank() == 0) {
    folder = std::make_unique<testing::Scratch>();
    path = folder->path().string();
    put_image(folder->path() / "train" / "a.h5");
    put_image(folder->path() / "validation" / "a.h5");
  }
  const std::filesystem::path root = world.all().broadcast(path);
  RunOptions options;
  options.seed = 3;
  options.recipe.model = Resnet50Options{.extent = extent, .classes = 10};
  options.train.global_batch = world.all().size();
  options.data.train = (root / "train").string();
  options.data.validation = (root / "validation").string();
  const Dataset dataset = find_dataset(world, options, [] {});
  StagedDataset staged;
  staged.train.root = root / "train";
  staged.validation.root = root / "validation";
  const auto backend = make_null_backend();
  {
    const Input input = open_input(world, *backend, options, dataset, staged);
    const auto with = [&](Crop crop) {
      return open_hdf5(root / "train", dataset.train.manifest, {}, dataset.schema, Values::legal, {crop, 3});
    };
    const auto centre = with(Crop::centre), random = with(Crop::random);
    for (const std::int64_t epoch : {0, 1}) {
      EXPECT_EQ(seen(*input.validation_source, epoch), seen(*centre, 0));
      EXPECT_EQ(seen(*input.train_source, epoch), seen(*random, epoch));
    }
    EXPECT_NE(seen(*input.train_source, 0), seen(*input.train_source, 1));
  }
  world.all().barrier();
}

}  // namespace
}  // namespace trainmark
