#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/// A file that this process has to do with. Slots are never given back, so that a signal handler may walk
/// over them at any time.
typedef struct Slot {
  struct Slot *next;
  /// NULL while the slot is free. A text is given back only when the slot is taken again.
  _Atomic(char *) text;
  _Atomic uintptr_t base;
  _Atomic size_t count;
} Slot;

static _Atomic(Slot *) temporaries;
static _Atomic(Slot *) mappings;

/// Held by those who change a list; readers need nothing.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool add(_Atomic(Slot *) *list, uintptr_t base, size_t count, const char *text) {
  char *copy = strdup(text);
  if (!copy) return false;
  pthread_mutex_lock(&lock);
  Slot *slot = atomic_load(list);
  while (slot && atomic_load(&slot->text)) slot = slot->next;
  if (!slot) {
    slot = calloc(1, sizeof *slot);
    if (slot) {
      slot->next = atomic_load(list);
      atomic_store(list, slot);
    }
  }
  if (slot) {
    // The text comes last, and goes first: who sees it sees a whole slot.
    atomic_store(&slot->base, base);
    atomic_store(&slot->count, count);
    atomic_store(&slot->text, copy);
  }
  pthread_mutex_unlock(&lock);
  if (!slot) free(copy);
  return slot != NULL;
}

/// Frees the slot of `base`, or else that of `text`. The text itself is left: a handler may be reading it.
static void release(_Atomic(Slot *) *list, uintptr_t base, const char *text) {
  pthread_mutex_lock(&lock);
  for (Slot *slot = atomic_load(list); slot; slot = slot->next) {
    char *found = atomic_load(&slot->text);
    if (!found) continue;
    if (base ? atomic_load(&slot->base) == base : strcmp(found, text) == 0) {
      atomic_store(&slot->text, NULL);
      break;
    }
  }
  pthread_mutex_unlock(&lock);
}

bool faults_add_temporary(const char *path) { return add(&temporaries, 0, 0, path); }

void faults_remove_temporary(const char *path) { release(&temporaries, 0, path); }

void faults_unlink_temporaries(void) {
  int error = errno;
  for (Slot *slot = atomic_load(&temporaries); slot; slot = slot->next) {
    const char *path = atomic_load(&slot->text);
    if (path) unlink(path);
  }
  errno = error;
}

void faults_add_mapping(const void *base, size_t count, const char *name) {
  add(&mappings, (uintptr_t)base, count, name);
}

void faults_remove_mapping(const void *base) { release(&mappings, (uintptr_t)base, NULL); }

const char *faults_mapping_name(const void *address) {
  for (Slot *slot = atomic_load(&mappings); slot; slot = slot->next) {
    const char *name = atomic_load(&slot->text);
    uintptr_t base = atomic_load(&slot->base);
    if (name && (uintptr_t)address - base < atomic_load(&slot->count)) return name;
  }
  return NULL;
}
