// Functions that glibc has from 2.36 on, for machines with an older one: scripts/gpu_launch.sh preloads them there.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

void arc4random_buf(void* to, size_t bytes) {
  unsigned char* next = to;
  while (bytes > 0) {
    const ssize_t got = getrandom(next, bytes, 0);
    if (got < 0) abort();  // as glibc does: callers cannot be told
    next += got;
    bytes -= (size_t)got;
  }
}

uint32_t arc4random(void) {
  uint32_t value;
  arc4random_buf(&value, sizeof value);
  return value;
}
