#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static const char *program;

void faults_set_program(const char *name) { program = strdup(name); }

_Noreturn void faults_exit(int status) {
#ifdef FAULTS_SANITIZED
  exit(status);
#else
  _exit(status);
#endif
}

_Noreturn void faults_fail(const char *first, ...) {
  char line[1024];
  size_t length = 0;
  const char *parts[] = {program ? program : program_invocation_short_name, ": "};
  va_list rest;
  va_start(rest, first);
  for (int i = 0; ; i++) {
    const char *part = i < 2 ? parts[i] : i == 2 ? first : va_arg(rest, const char *);
    if (!part) break;
    size_t size = strlen(part);
    if (size > sizeof line - 1 - length) size = sizeof line - 1 - length;
    memcpy(line + length, part, size);
    length += size;
  }
  va_end(rest);
  line[length++] = '\n';
  faults_unlink_temporaries();
  ssize_t written = write(2, line, length);
  (void)written;
  _exit(1);
}

/// A signal that asks the process to end: it does, by the same signal.
static void end(int number) {
  faults_unlink_temporaries();
  signal(number, SIG_DFL);
  raise(number);
}

static struct sigaction previous[NSIG];

/// A fault of this process, or of its input's file.
static void fault(int number, siginfo_t *info, void *context) {
  (void)context;
  int wasSent = info->si_code <= 0;
  if (number == SIGBUS && !wasSent) {
    const char *name = faults_mapping_name(info->si_addr);
    if (name) {
      faults_fail("unexpected end of ", name, ": the file was cut, or cannot be read, while it was in use", NULL);
    }
  }
  faults_unlink_temporaries();
  // What was there before, most often the default, sees the same signal again: the instruction that
  // caused it is repeated, unless it follows its instruction, or the process sent it to itself to abort. One
  // that another process sent ends this one: a handler of faults, such as Swift's, would let it go on.
  if (wasSent && info->si_pid != getpid()) {
    signal(number, SIG_DFL);
  } else {
    sigaction(number, &previous[number], NULL);
  }
  if (wasSent || number == SIGTRAP) raise(number);
}

void faults_handle_signals(void) {
  static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGXCPU};
  static const int faults[] = {SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
  // A stack that has overflown leaves no room for a handler.
  static char spare[1 << 16];
  stack_t stack = {.ss_sp = spare, .ss_size = sizeof spare};
  stack_t current;
  if (sigaltstack(NULL, &current) == 0 && current.ss_flags & SS_DISABLE) sigaltstack(&stack, NULL);
  // A write beyond the limit of a file's size (ulimit -f) is to fail as one to a full disk does.
  signal(SIGXFSZ, SIG_IGN);
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    struct sigaction action = {.sa_handler = end, .sa_flags = SA_RESTART};
    struct sigaction old;
    sigfillset(&action.sa_mask);
    // One that was ignored from the start (nohup) stays ignored.
    if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
      sigaction(ends[i], &action, NULL);
    }
  }
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
    struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(faults[i], &action, &previous[faults[i]]);
  }
}
