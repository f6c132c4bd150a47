// Threads of a block as fibers: a stack each with an untouchable page below it, entered once by ucontext and switched
// by _setjmp/_longjmp, which make no system call. A fiber that ends waits for the next thread to run.
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <exception>
#include <memory>
#include <new>

#include "cuda_double/block.hpp"
#include "cuda_double/device.hpp"

namespace trainmark::cuda_double {
namespace {

constexpr std::size_t most_threads = 1024;
struct Context {
  Fiber fiber;
  jmp_buf inside;
  bool entered = false;  // `inside` can be resumed
};
std::unique_ptr<Context[]> contexts;
jmp_buf scheduler;
bool gone = false;
const Kernel* current = nullptr;

Context& context_of(Fiber& fiber) { return contexts[static_cast<std::size_t>(fiber.thread)]; }

void switch_back() {
  if (_setjmp(context_of(*running().fiber).inside) == 0) _longjmp(scheduler, 1);
}

void run_thread() {
  try {
    current->run_thread(current->arguments.get());
  } catch (const std::exception& error) {
    add_finding("kernel " + current->name + " threw: " + error.what());
    stop_kernel();
  }
  running().fiber->state = FiberState::done;
}

void enter() {
  for (;;) {
    run_thread();
    switch_back();
  }
}

void make_stacks() {
  contexts = std::make_unique<Context[]>(most_threads);
  constexpr std::size_t slot = stack_bytes + 4096;
  void* memory = mmap(nullptr, most_threads * slot, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  for (std::size_t i = 0; i < most_threads; ++i) {
    char* stack = static_cast<char*>(memory) + i * slot + 4096;
    if (mprotect(stack, stack_bytes, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    contexts[i].fiber.stack = stack;
    contexts[i].fiber.thread = static_cast<int>(i);
  }
}

void enter_first(Context& context) {
  static ucontext_t start;
  getcontext(&start);
  start.uc_stack.ss_sp = context.fiber.stack;
  start.uc_stack.ss_size = stack_bytes;
  start.uc_link = nullptr;
  makecontext(&start, enter, 0);
  context.entered = true;
  setcontext(&start);
}

}  // namespace

Fiber& fiber_at(std::size_t thread) {
  if (contexts == nullptr) make_stacks();
  return contexts[thread].fiber;
}

void resume(Fiber& fiber, const Kernel& kernel) {
  static std::thread::id last;
  if (last != std::this_thread::get_id()) {  // a stack that has run on another thread may remember its thread-locals
    for (std::size_t i = 0; i < most_threads; ++i)
      contexts[i].entered = false;
    last = std::this_thread::get_id();
  }
  Context& context = context_of(fiber);
  current = &kernel;
  gone = false;
  running().fiber = &fiber;
  if (_setjmp(scheduler) == 0) {
    if (context.entered) _longjmp(context.inside, 1);
    enter_first(context);
  }
  running().fiber = nullptr;
}

void suspend() { switch_back(); }

void leave_for_good() {
  forget(*running().fiber);
  gone = true;
  _longjmp(scheduler, 1);
}

bool left_for_good() { return gone; }

void forget(Fiber& fiber) { context_of(fiber).entered = false; }

}  // namespace trainmark::cuda_double
