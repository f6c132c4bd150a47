// A kernel that touches memory it must not is stopped and becomes a finding that names it, instead of ending the
// process: the handler runs on a stack of its own and leaves through the block's scheduler.
#include <fmt/format.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "cuda_double/block.hpp"
#include "cuda_double/device.hpp"

namespace trainmark::cuda_double {
namespace {

struct sigaction before_segv, before_bus;

const void* code_of(void* context) {
#if defined(__x86_64__)
  return reinterpret_cast<const void*>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] + 1);
#else
  return static_cast<void>(context), nullptr;
#endif
}

std::string place(const void* address, const Fiber& fiber) {
  const char* at = static_cast<const char*>(address);
  if (at < fiber.stack && at >= fiber.stack - 4096) return "its stack's end (256 KiB)";
  if (device().arena.contains(address)) return device().arena.describe(address);
  const char* shared_end = running().block->shared + (running().block->kernel->shared_bytes + 15) / 16 * 16;
  if (at >= shared_end && at < shared_end + 4096) return "the memory past its dynamic shared memory";
  return fmt::format("address {}", address);
}

void on_crash(int number, siginfo_t* info, void* context) {
  const Running here = running();
  if (here.fiber == nullptr) {  // not a kernel's: as if there were no handler
    if (device().arena.contains(info->si_addr))
      fmt::print(stderr, "device double: host code touches {}\n", device().arena.describe(info->si_addr));
    sigaction(number, number == SIGSEGV ? &before_segv : &before_bus, nullptr);
    return;
  }
  add_finding(fmt::format("{} crashed on {}", here.block->describe(*here.fiber),
                          info->si_code == SI_KERNEL ? "a misaligned vector, or no address at all"
                                                     : place(info->si_addr, *here.fiber)),
              code_of(context));
  stop_kernel();
}

}  // namespace

void catch_crashes() {
  static const bool installed = [] {
    struct sigaction action {};
    action.sa_sigaction = on_crash;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    return sigaction(SIGSEGV, &action, &before_segv) == 0 && sigaction(SIGBUS, &action, &before_bus) == 0;
  }();
  static thread_local std::vector<char> stack;
  if (!installed || !stack.empty()) return;
  stack.resize(std::size_t{64} << 10);
  const stack_t alternate{.ss_sp = stack.data(), .ss_flags = 0, .ss_size = stack.size()};
  sigaltstack(&alternate, nullptr);
}

}  // namespace trainmark::cuda_double
