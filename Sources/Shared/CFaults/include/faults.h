/// What the system can do to a running tool, and what the tool then does in a few lines of C, because Swift
/// can neither replace `malloc` nor promise what a signal handler may do: no memory, a mapped file that
/// is cut short, and signals that end the process. In each case the temporary files are removed first.

#pragma once

#include <stdbool.h>
#include <stddef.h>

/// What messages begin with; the program's own name if this is not called.
void faults_set_program(const char *_Nonnull name);

/// Removes the temporary files when a signal ends the process, of the terminal or of a fault of its own, and
/// says which file it was if a mapped one was cut short. Signals that are ignored stay ignored.
/// Writing a file beyond its limit of size is an error of the write, and no signal.
void faults_handle_signals(void);

/// `path` is removed if the process ends before `faults_remove_temporary` is called with it. False if
/// there was no room to remember it.
bool faults_add_temporary(const char *_Nonnull path);
void faults_remove_temporary(const char *_Nonnull path);

/// Removes all temporary files. May be called in a signal handler.
void faults_unlink_temporaries(void);

/// The `count` bytes at `base` are a mapping of the file that messages call `name`.
void faults_add_mapping(const void *_Nonnull base, size_t count, const char *_Nonnull name);
void faults_remove_mapping(const void *_Nonnull base);

/// The name of the file that is mapped at `address`; NULL if there is none.
const char *_Nullable faults_mapping_name(const void *_Nonnull address);

/// `realloc` that returns NULL if there is no memory, which ends the process elsewhere.
void *_Nullable faults_try_realloc(void *_Nullable memory, size_t count);

/// Ends the process without running destructors: that of OpenBLAS waits for threads which may never
/// have started. Nothing of ours waits for one. Under a sanitizer it is `exit`, which lets it report.
_Noreturn void faults_exit(int status);
