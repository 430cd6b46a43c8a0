/// Takes the place of the allocator's functions in the tools: where the system has no memory they end the process
/// with a message, since nearly no caller can go on without it. Swift's runtime traps, libdispatch waits
/// for ever, and OpenBLAS asks again for ever, also in the constructor that runs before `main`.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#if defined(FAULTS_SANITIZED) || !defined(__GLIBC__)

void *faults_try_realloc(void *memory, size_t count) { return realloc(memory, count); }

#else

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *faults_try_realloc(void *memory, size_t count) { return __libc_realloc(memory, count); }

/// Whoever comes here first speaks for all threads.
static void claim(void) {
  static atomic_flag taken = ATOMIC_FLAG_INIT;
  if (atomic_flag_test_and_set(&taken)) for (;;) pause();
}

static _Noreturn void noMemory(size_t count) {
  char digits[24];
  char *digit = digits + sizeof digits;
  *--digit = 0;
  do *--digit = (char)('0' + count % 10); while (count /= 10);
  claim();
  faults_fail("no memory: ", digit, " bytes more are needed, and the system has none to give", NULL);
}

void *malloc(size_t count) {
  void *memory = __libc_malloc(count);
  if (__builtin_expect(!memory, 0)) noMemory(count);
  return memory;
}

void *calloc(size_t count, size_t size) {
  void *memory = __libc_calloc(count, size);
  if (__builtin_expect(!memory, 0)) {
    size_t total;
    noMemory(__builtin_mul_overflow(count, size, &total) ? SIZE_MAX : total);
  }
  return memory;
}

void *realloc(void *old, size_t count) {
  void *memory = __libc_realloc(old, count);
  // Of 0 bytes nothing is left, and that is no failure.
  if (__builtin_expect(!memory && count > 0, 0)) noMemory(count);
  return memory;
}

void *memalign(size_t alignment, size_t count) {
  void *memory = __libc_memalign(alignment, count);
  if (__builtin_expect(!memory && errno == ENOMEM, 0)) noMemory(count);
  return memory;
}

void *aligned_alloc(size_t alignment, size_t count) { return memalign(alignment, count); }

int posix_memalign(void **result, size_t alignment, size_t count) {
  if (alignment % sizeof(void *) || alignment == 0 || alignment & (alignment - 1)) return EINVAL;
  void *memory = memalign(alignment, count);
  if (!memory) return ENOMEM;
  *result = memory;
  return 0;
}

/// OpenBLAS takes its buffers by `mmap`, in several ways one after the other, and then begins again. Others
/// know what to do without a mapping (we read a file that cannot be mapped), so that only a thread that
/// keeps asking is ended.
void *mmap(void *address, size_t count, int protection, int flags, int descriptor, off_t offset) {
  static _Thread_local int refusals;
  void *memory = (void *)syscall(SYS_mmap, address, count, protection, flags, descriptor, offset);
  if (memory != MAP_FAILED) {
    refusals = 0;
  } else if (errno == ENOMEM && flags & MAP_ANONYMOUS && ++refusals > 32) {
    noMemory(count);
  }
  return memory;
}

void *mmap64(void *address, size_t count, int protection, int flags, int descriptor, off_t offset) {
  return mmap(address, count, protection, flags, descriptor, offset);
}

typedef int Create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/// OpenBLAS interrupts the process that cannot have its threads, and libdispatch waits until it can.
int pthread_create(
    pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
  static _Atomic(Create *) create;
  Create *next = atomic_load(&create);
  if (!next) {
    next = (Create *)dlsym(RTLD_NEXT, "pthread_create");
    atomic_store(&create, next);
  }
  for (int attempt = 0; ; attempt++) {
    int error = next(thread, attributes, body, argument);
    if (error != EAGAIN && error != ENOMEM) return error;
    if (attempt == 10) {
      claim();
      faults_fail("no memory: the system gives no further thread", NULL);
    }
    // Threads that are about to end may make room.
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  }
}

#endif
