// Every allocation of the process is counted while batches are read: a step must cost none.
#include <gtest/gtest.h>

#include "unit/load/counting_new.hpp"
#include "unit/load/make_hdf5.hpp"

namespace trainmark {
namespace {

using testing::File;
using testing::Scratch;

TEST(Loader, AllocatesNothingOnceEveryFileWasTouched) {
  const Scratch folder;
  {
    File contiguous(folder.path() / "a.hdf5"), chunked(folder.path() / "b.hdf5");
    contiguous.put("x", {8, 8, 8, 8, 4}, testing::counting(8 * 2048));
    contiguous.put("y", {8, 4}, std::vector<float>(32));
    chunked.put("x", {8, 8, 8, 8, 4}, testing::counting(8 * 2048),
                {.chunk = {2, 3, 8, 8, 4}, .shuffle = true, .gzip = 3});
    chunked.put("y", {8, 4}, std::vector<float>(32));
  }
  const DataSchema schema = testing::schema({8, 8, 8, 4});
  const auto source = open_hdf5(folder.path(), scan_dataset(folder.path(), {}, schema), {}, schema);
  Sampling sampling;
  sampling.shards = {{{0, 16}}};
  sampling.global_batch = 4;
  // One reader: of two, one may sleep through a hundred steps and take its buffers later.
  Loader loader(*source, schema, sampling, *std::pmr::get_default_resource(), {1, 2});
  loader.start(0);
  for (int step = 0; step < 100; ++step)
    (void)loader.next();
  testing::count_allocations(true);
  for (int step = 0; step < 200; ++step)
    (void)loader.next();
  testing::count_allocations(false);
  EXPECT_EQ(testing::allocations(), 0);
}

}  // namespace
}  // namespace trainmark
