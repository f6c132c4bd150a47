// The kernels' library is compiled with -fsanitize=thread, which calls a function before every access; these are the
// functions. They know barriers and streams, not locks: each access is checked for live memory, bounds, alignment and
// races within a block, between blocks and between streams. Accesses outside kernels are ignored.
#include <fmt/format.h>
#include <link.h>

#include <algorithm>
#include <array>
#include <set>

#include "cuda_double/block.hpp"
#include "cuda_double/device.hpp"
#include "cuda_double/shadow.hpp"

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace trainmark::cuda_double {
namespace {

struct OperationRecord {
  std::string name;
  std::size_t stream = 0;
  std::uint32_t tick = 0;
};
constexpr std::size_t most_operations = (std::size_t{1} << 20) - 1;

/// Which blocks of the running launch have made their writes known by a fence and an atomic access.
struct Releases {
  std::unordered_map<const volatile void*, std::set<std::uint32_t>> by_address;
  std::set<std::uint32_t> seen;      // by the running block at its last atomic access
  std::set<std::uint32_t> acquired;  // and known to it since its last fence
  bool fenced = false;
  std::uint32_t operation = 0, serial = 0;
};

struct Hooks {
  Shadow device_memory{device().arena.begin(), Arena::size};
  std::vector<OperationRecord> operations{1};
  Clock clock;  // of the operation that runs
  Releases releases;
  std::vector<std::pair<const char*, const char*>> images;  // program and libraries
  std::set<std::pair<std::string, const void*>> reported;
  std::array<const MemoryBlock*, 4> recent{};  // a kernel goes through few blocks at a time
  std::size_t oldest = 0;
  std::unique_ptr<Shadow> dynamic_shared, static_shared;
  const char* static_base = nullptr;
};
Hooks& hooks() {
  static Hooks& only = *new Hooks;
  return only;
}

bool same_warp(std::uint64_t a, std::uint64_t b) { return a / 32 == b / 32; }

/// Within one block: by a barrier, or by __syncwarp within a warp.
bool ordered_in_block(const Mark& before, const Mark& now) {
  if (before.barriers != now.barriers) return true;
  const auto syncs = (now.warp_syncs - before.warp_syncs) & 127U;
  return same_warp(before.thread, now.thread) && syncs > 0 && syncs < 64;
}

bool ordered_in_memory(const Mark& before, const Mark& now) {
  if (before.operation != now.operation) {
    const OperationRecord& record = hooks().operations[before.operation];
    return covers(hooks().clock, record.stream, record.tick);
  }
  if (before.block == now.block) return ordered_in_block(before, now);
  return hooks().releases.acquired.contains(static_cast<std::uint32_t>(before.block));
}

Mark own_mark(const Block& block, const Fiber& fiber, bool atomic) {
  Mark mark;
  mark.operation = block.operation;
  mark.thread = static_cast<std::uint64_t>(fiber.thread);
  mark.block = block.number & 4095U;
  mark.barriers = block.barrier_epoch & 1023U;
  mark.warp_syncs = fiber.warp_epoch & 127U;
  mark.atomic = atomic ? 1 : 0;
  return mark;
}

void report(const Running& here, const char* kind, const std::string& what, const void* code) {
  if (!hooks().reported.emplace(here.block->kernel->name + kind, code).second) return;
  add_finding(fmt::format("{}: {} {}", kind, here.block->describe(*here.fiber), what), code);
}

[[noreturn]] void stop(const Running& here, const char* kind, const std::string& what, const void* code) {
  report(here, kind, what, code);
  stop_kernel();
}

void check_memory(const Running& here, const char* address, std::size_t bytes, bool write, bool atomic,
                  const void* code) {
  Hooks& self = hooks();
  const auto holds = [&](const MemoryBlock* block) { return block != nullptr && block->holds(address, bytes); };
  if (std::ranges::none_of(self.recent, holds)) {
    const MemoryBlock* block = device().arena.find(address);
    if (!holds(block))
      stop(here, block != nullptr && !block->live ? "use after free" : "out of bounds",
           fmt::format("{} {} bytes at {}", write ? "writes" : "reads", bytes, device().arena.describe(address)), code);
    self.recent[self.oldest++ % self.recent.size()] = block;
  }
  const Mark mark = own_mark(*here.block, *here.fiber, atomic);
  const Mark racing = record(self.device_memory.at(address), address, bytes, mark, write,
                             [&](const Mark& before) { return ordered_in_memory(before, mark); });
  if (racing.operation == 0) return;
  const std::string what = fmt::format("{} {}", write ? "writes" : "reads", device().arena.describe(address));
  if (racing.operation != mark.operation)
    report(here, "race between streams",
           fmt::format("{}, which {} uses on another stream: no event orders them", what,
                       self.operations[racing.operation].name),
           code);
  else if (racing.block != mark.block)
    report(here, "race between blocks",
           fmt::format("{}, which block {} thread {} uses", what, racing.block + 0, racing.thread + 0), code);
  else
    report(here, "race in global memory",
           fmt::format("{}, which thread {} of its block uses before the same barrier", what, racing.thread + 0), code);
}

void check_shared(const Running& here, const Shadow& shadow, const char* address, std::size_t bytes, bool write,
                  bool atomic, const void* code, const std::string& name) {
  Mark mark = own_mark(*here.block, *here.fiber, atomic);
  mark.operation = here.block->serial % most_operations + 1;  // other blocks are over, or have memory of their own
  mark.block = 0;
  const Mark racing = record(shadow.at(address), address, bytes, mark, write, [&](const Mark& before) {
    return before.operation != mark.operation || ordered_in_block(before, mark);
  });
  if (racing.operation == 0) return;
  report(here, "race in shared memory",
         fmt::format("{} {}, which thread {} uses before the same barrier", write ? "writes" : "reads", name,
                     racing.thread + 0),
         code);
}

bool check_dynamic_shared(const Running& here, const char* address, std::size_t bytes, bool write, bool atomic,
                          const void* code) {
  const char* const begin = here.block->shared;
  const std::size_t size = here.block->kernel->shared_bytes;
  const char* const end = begin + (size + 15) / 16 * 16 + 4096;
  if (address < begin || address >= end) return false;
  if (address + bytes > begin + size)
    stop(here, "out of bounds",
         fmt::format("{} {} bytes at offset {}, past its {} bytes of dynamic shared memory", write ? "writes" : "reads",
                     bytes, address - begin, size),
         code);
  auto& shadow = hooks().dynamic_shared;
  if (shadow == nullptr || !shadow->covers(begin))
    shadow = std::make_unique<Shadow>(end - 4096 - (std::size_t{256} << 10), std::size_t{256} << 10);
  check_shared(here, *shadow, address, bytes, write, atomic, code, "dynamic shared memory");
  return true;
}

/// "slots" of _ZZN...E5slots: the local's name stands last, behind its length.
std::string local_name(const std::string& mangled) {
  const std::size_t digit = mangled.find_last_of("0123456789");
  return digit == std::string::npos ? mangled : mangled.substr(digit + 1);
}

bool check_static_shared(const Running& here, const char* address, std::size_t bytes, bool write, bool atomic,
                         const void* code) {
  const char* const base = thread_local_base();
  for (const SharedVariable& variable : shared_variables()) {
    if (address < base + variable.offset || address >= base + variable.offset + variable.bytes) continue;
    auto& self = hooks();
    if (self.static_base != base || self.static_shared == nullptr) {
      std::size_t end = 0;
      for (const SharedVariable& each : shared_variables())
        end = std::max(end, each.offset + each.bytes);
      self.static_shared = std::make_unique<Shadow>(base, end);
      self.static_base = base;
    }
    check_shared(here, *self.static_shared, address, bytes, write, atomic, code, local_name(variable.name));
    return true;
  }
  return false;
}

bool in_an_image(const char* address) {
  auto& images = hooks().images;
  if (images.empty())
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* result) {
          for (int i = 0; i < info->dlpi_phnum; ++i) {
            const auto& part = info->dlpi_phdr[i];
            const char* begin = reinterpret_cast<const char*>(info->dlpi_addr + part.p_vaddr);
            if (part.p_type == PT_LOAD)
              static_cast<decltype(&images)>(result)->emplace_back(begin, begin + part.p_memsz);
          }
          return 0;
        },
        &images);
  return std::ranges::any_of(images,
                             [&](const auto& image) { return address >= image.first && address < image.second; });
}

/// threadIdx and the like, which every kernel reads.
bool is_index(const char* address) {
  const auto within = [&](const auto& variable) {
    const char* begin = reinterpret_cast<const char*>(&variable);
    return address >= begin && address < begin + sizeof variable;
  };
  return within(threadIdx) || within(blockIdx) || within(blockDim) || within(gridDim);
}

void check_access(const volatile void* where, std::size_t bytes, bool write, bool aligned, const void* code,
                  bool atomic = false) {
  const Running here = running();
  if (here.fiber == nullptr || bytes == 0) return;
  const char* address = static_cast<const char*>(const_cast<const void*>(where));
  const auto within = [&](const void* begin, std::size_t size) {
    return address >= begin && address < static_cast<const char*>(begin) + size;
  };
  if (within(here.fiber->stack, stack_bytes)) return;
  if (is_index(address)) return;
  if (aligned && reinterpret_cast<std::uintptr_t>(address) % bytes != 0)
    stop(here, "misaligned",
         fmt::format("{} {} bytes at {}", write ? "writes" : "reads", bytes, device().arena.describe(address)), code);
  if (device().arena.contains(address)) return check_memory(here, address, bytes, write, atomic, code);
  if (check_dynamic_shared(here, address, bytes, write, atomic, code)) return;
  if (check_static_shared(here, address, bytes, write, atomic, code)) return;
  if (in_an_image(address)) return;  // constants and __device__ variables
  if (within(here.block->kernel->arguments.get(), here.block->kernel->argument_bytes)) return;
  stop(here, "host pointer",
       fmt::format("{} {} bytes at {}", write ? "writes" : "reads", bytes, static_cast<const void*>(address)), code);
}

// --- What the queues report ------------------------------------------------------------------------------------------
std::uint32_t begin_operation(const std::string& name, std::size_t stream, const Clock& clock) {
  Hooks& self = hooks();
  if (self.operations.size() >= most_operations) {
    self.device_memory.clear();
    self.operations.resize(1);
  }
  self.operations.push_back({name, stream, clock[stream]});
  self.clock = clock;
  return static_cast<std::uint32_t>(self.operations.size() - 1);
}

void range(std::uint32_t operation, const Access& access) {
  Hooks& self = hooks();
  if (access.bytes == 0 || !device().arena.contains(access.begin)) return;
  Mark mark;
  mark.operation = operation;
  const char* begin = static_cast<const char*>(access.begin);
  const Mark racing = record(self.device_memory.at(begin), begin, access.bytes, mark, access.write,
                             [&](const Mark& before) { return ordered_in_memory(before, mark); });
  if (racing.operation == 0) return;
  add_finding(fmt::format("race between streams: {} {} {}, which {} uses on another stream: no event orders them",
                          self.operations[operation].name, access.write ? "writes" : "reads",
                          device().arena.describe(begin), self.operations[racing.operation].name));
}

void freed(const MemoryBlock& block, const Clock& host) {
  Hooks& self = hooks();
  const auto over = [&](const Mark& mark) {
    const OperationRecord& record = self.operations[mark.operation];
    return mark.operation == 0 || covers(host, record.stream, record.tick);
  };
  for (const Cell *cell = self.device_memory.at(block.begin), *end = self.device_memory.at(block.begin + block.bytes);
       cell < end; ++cell) {
    for (const Mark& mark : {cell->write, cell->reads[0], cell->reads[1]}) {
      if (over(mark)) continue;
      add_finding(fmt::format("{} is freed while {} may still use it: nobody has waited for its stream",
                              device().arena.describe(block.begin), self.operations[mark.operation].name));
      return;
    }
  }
}

// A fence before an atomic access makes the block's writes known; one behind an atomic access makes others' known to
// it.
Releases& current_releases() {
  Releases& releases = hooks().releases;
  const Block& block = *running().block;
  if (releases.operation != block.operation) releases.by_address.clear();
  if (releases.serial != block.serial) {
    releases.seen.clear();
    releases.acquired.clear();
    releases.fenced = false;
  }
  releases.operation = block.operation;
  releases.serial = block.serial;
  return releases;
}

void atomic(const volatile void* address, std::size_t bytes) {
  check_access(address, bytes, true, true, __builtin_return_address(0), true);
  if (running().fiber == nullptr) return;
  Releases& releases = current_releases();
  auto& released = releases.by_address[address];
  releases.seen = released;
  if (releases.fenced) released.insert(running().block->number & 4095U);
}

void fence() {
  if (running().fiber == nullptr) return;
  Releases& releases = current_releases();
  releases.fenced = true;
  releases.acquired.insert(releases.seen.begin(), releases.seen.end());
}

void clear() {
  Hooks& self = hooks();
  self.device_memory.clear();
  self.operations.resize(1);
  self.reported.clear();
  self.recent = {};
}

const bool installed = [] {
  watch() = {begin_operation, range, freed, atomic, fence, clear};
  return true;
}();

}  // namespace
}  // namespace trainmark::cuda_double

// --- What -fsanitize=thread calls ------------------------------------------------------------------------------------
using trainmark::cuda_double::check_access;
extern "C" {
void __tsan_read1(void* at) { check_access(at, 1, false, true, __builtin_return_address(0)); }
void __tsan_read2(void* at) { check_access(at, 2, false, true, __builtin_return_address(0)); }
void __tsan_read4(void* at) { check_access(at, 4, false, true, __builtin_return_address(0)); }
void __tsan_read8(void* at) { check_access(at, 8, false, true, __builtin_return_address(0)); }
void __tsan_read16(void* at) { check_access(at, 16, false, true, __builtin_return_address(0)); }
void __tsan_write1(void* at) { check_access(at, 1, true, true, __builtin_return_address(0)); }
void __tsan_write2(void* at) { check_access(at, 2, true, true, __builtin_return_address(0)); }
void __tsan_write4(void* at) { check_access(at, 4, true, true, __builtin_return_address(0)); }
void __tsan_write8(void* at) { check_access(at, 8, true, true, __builtin_return_address(0)); }
void __tsan_write16(void* at) { check_access(at, 16, true, true, __builtin_return_address(0)); }
void __tsan_unaligned_read2(void* at) { check_access(at, 2, false, false, __builtin_return_address(0)); }
void __tsan_unaligned_read4(void* at) { check_access(at, 4, false, false, __builtin_return_address(0)); }
void __tsan_unaligned_read8(void* at) { check_access(at, 8, false, false, __builtin_return_address(0)); }
void __tsan_unaligned_read16(void* at) { check_access(at, 16, false, false, __builtin_return_address(0)); }
void __tsan_unaligned_write2(void* at) { check_access(at, 2, true, false, __builtin_return_address(0)); }
void __tsan_unaligned_write4(void* at) { check_access(at, 4, true, false, __builtin_return_address(0)); }
void __tsan_unaligned_write8(void* at) { check_access(at, 8, true, false, __builtin_return_address(0)); }
void __tsan_unaligned_write16(void* at) { check_access(at, 16, true, false, __builtin_return_address(0)); }
void __tsan_read_range(void* address, std::size_t bytes) {
  check_access(address, bytes, false, false, __builtin_return_address(0));
}
void __tsan_write_range(void* address, std::size_t bytes) {
  check_access(address, bytes, true, false, __builtin_return_address(0));
}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_init() {}
}
