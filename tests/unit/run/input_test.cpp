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

/// `from_memory`, if given, counts samples that were not read.
std::vector<std::uint8_t> seen(SampleSource& source, std::int64_t epoch, int* from_memory = nullptr) {
  std::vector<std::uint8_t> pixels(extent * extent * 3);
  std::int32_t label = -1;
  const ReadFrom from = source.read({.sample = 0, .epoch = epoch}, {std::as_writable_bytes(std::span(pixels)),
                                                                    std::as_writable_bytes(std::span(&label, 1))});
  if (from_memory != nullptr && from == ReadFrom::memory) ++*from_memory;
  return pixels;
}

/// Counts what is out.
class Counting final : public std::pmr::memory_resource {
 public:
  int taken = 0, given_back = 0;
  int most = 1000;  ///< of blocks that it has

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    if (taken == most) throw std::bad_alloc();
    ++taken;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    ++given_back;
    std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }
};

TEST(InputMemoryTest, IsTakenAtOnceAndAllThatLoadersTake) {
  Counting counting;
  {
    InputMemory memory(counting, 2, {1024, 64});
    EXPECT_EQ(counting.taken, 2);
    void* first = memory.allocate(1024, 64);
    void* second = memory.allocate(1024, 64);
    EXPECT_NE(first, second);
    EXPECT_EQ(counting.taken, 2);
    void* other = memory.allocate(512, 64);
    EXPECT_EQ(counting.taken, 3) << "nothing of that kind was waiting";
    memory.deallocate(other, 512, 64);
    memory.deallocate(first, 1024, 64);
    memory.deallocate(second, 1024, 64);
  }
  EXPECT_EQ(counting.given_back, 3);
}

TEST(InputMemoryTest, GoesBackWhereNoLoaderTookIt) {
  Counting counting;
  { const InputMemory memory(counting, 2, {1024, 64}); }
  EXPECT_EQ(counting.given_back, 2);
  Counting small;
  small.most = 1;
  EXPECT_THROW(InputMemory(small, 2, {1024, 64}), std::bad_alloc);
  EXPECT_EQ(small.given_back, 1);
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
  for (const std::int64_t memory_mib : {0, 1}) {
    options.load.memory_mib = memory_mib;
    Counting counting;
    {
      const auto memory = take_input_memory(world, counting, options, dataset.schema);
      EXPECT_EQ(counting.taken, 2) << "before there is anything to read from";
      const Input input = open_input(world, *memory, options, dataset, staged);
      EXPECT_EQ(counting.taken, 2);
      const auto with = [&](Crop crop) {
        return open_hdf5(root / "train", dataset.train.manifest, {}, dataset.schema, Values::legal, {crop, 3});
      };
      const auto centre = with(Crop::centre), random = with(Crop::random);
      int evaluated_from_memory = 0, trained_from_memory = 0;
      for (const std::int64_t epoch : {0, 1}) {
        EXPECT_EQ(seen(*input.validation_source, epoch, &evaluated_from_memory), seen(*centre, 0));
        EXPECT_EQ(seen(*input.train_source, epoch, &trained_from_memory), seen(*random, epoch));
      }
      EXPECT_NE(seen(*input.train_source, 0), seen(*input.train_source, 1));
      EXPECT_EQ(evaluated_from_memory, memory_mib);
      EXPECT_LE(trained_from_memory, memory_mib) << "if both crops are decoded at one reduction";
      EXPECT_EQ(stats_of(input).kept.samples, 2 * memory_mib);
    }
    EXPECT_EQ(counting.given_back, 2);
  }
  world.all().barrier();
}

}  // namespace
}  // namespace trainmark
