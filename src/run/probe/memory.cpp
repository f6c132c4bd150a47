// How fast a rank's memory is copied, and how fast a batch comes to its device.
#include <fmt/core.h>

#include <algorithm>

#include "run/probe/probe.hpp"
#include "run/probe/ready.hpp"
#include "run/record/progress.hpp"
#include "trainmark/process.hpp"

namespace trainmark {
namespace {

/// Well beyond caches. Of host memory at most a sixteenth of what is left for a rank.
std::int64_t copy_bytes(const World& world, const Backend& backend) {
  constexpr double on_host = 0x1p28, on_device = 0x1p30, least = 0x1p22;
  double bytes = on_device;
  if (backend.name() == "cpu") bytes = std::clamp(memory_room().bytes / world.node().size() / 16.0, least, on_host);
  std::array<double, 1> negated = {-bytes};
  world.all().max(negated);
  return static_cast<std::int64_t>(-negated[0]) / 4096 * 4096;
}

void copy_memory(Probing& probing, double limit) {
  const std::int64_t bytes = copy_bytes(probing.world, probing.backend);
  const Shape shape{bytes / static_cast<std::int64_t>(sizeof(float)) / 1024, 1024};
  const TensorDesc array = probing.backend.activation(shape, DType::f32);
  std::unique_ptr<Ready> ready;
  agree_on(probing.world.all(), [&] {
    ready =
        std::make_unique<Ready>(probing.backend, Activation{},
                                Operands{.inputs = {array}, .outputs = {{shape, DType::f32, logical_layout}}}, false);
    // Where threads compute, pages belong to the processor that wrote to them first: here the one that will use them.
    ready->run(1);
    ready->swap_operands();
  });
  probing.add({.name = "memory_copy_bytes_per_s",
               .of = fmt::format("an element-wise operation over {:.0f} MiB, read and written once", mib(bytes))},
              {.work =
                   [&](int times) {
                     ready->run(times);
                     return 2.0 * static_cast<double>(bytes) * times;
                   }},
              limit);
}

void copy_to_device(Probing& probing, double limit) {
  const std::int64_t samples = probing.options.train.batch() / probing.world.all().size();
  const std::size_t bytes = probing.dataset.schema.sample_bytes() * static_cast<std::size_t>(samples);
  Backend& backend = probing.backend;
  static constexpr std::size_t alignment = 64;
  std::pmr::memory_resource& pinned = backend.pinned_memory();
  std::unique_ptr<Arena> device;
  std::shared_ptr<void> host;
  agree_on(probing.world.all(), [&] {
    device = std::make_unique<Arena>(backend, bytes);
    host = std::shared_ptr<void>(pinned.allocate(bytes, alignment),
                                 [&pinned, bytes](void* memory) { pinned.deallocate(memory, bytes, alignment); });
  });
  Stream& stream = backend.stream(Lane::copy);
  probing.add({.name = "host_to_device_bytes_per_s",
               .of = fmt::format("a batch of {} samples, {:.1f} MiB, from page-locked memory", samples, mib(bytes))},
              {.work =
                   [&](int times) {
                     for (int time = 0; time < times; ++time)
                       backend.copy_to_device(stream, device->data(), host.get(), bytes);
                     stream.synchronize();
                     return static_cast<double>(bytes) * times;
                   }},
              limit);
}

}  // namespace

void probe_memory(Probing& probing) {
  double limit = probing.share();
  probing.attempt("memory copy", [&] { copy_memory(probing, limit); });
  if (probing.backend.name() == "cpu") return probing.leave_out("host to device", "the CPU computes in host memory");
  limit = probing.share();
  probing.attempt("host to device", [&] { copy_to_device(probing, limit); });
}

}  // namespace trainmark
