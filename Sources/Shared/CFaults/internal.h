#pragma once

#include "faults.h"

/// Whether a sanitizer has replaced the allocator: then it is left alone.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define FAULTS_SANITIZED 1
#endif
#endif

/// Prints `program: ` and the parts, the last of which is NULL, on standard error, removes the temporary
/// files, and ends the process with status 1. May be called in a signal handler, and without memory.
_Noreturn void faults_fail(const char *first, ...);
