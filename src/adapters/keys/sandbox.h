/*
 * What the key daemon's process gives up. Said apart for each, so that the daemon can tell what it could not do.
 */
#ifndef VINVEIL_ADAPTERS_KEYS_SANDBOX_H
#define VINVEIL_ADAPTERS_KEYS_SANDBOX_H

#include "base/result.h"

/* Before any secret is read: no core dumps, not dumpable (so nor traceable by its own user), umask 077,
   no_new_privs. */
MUST_USE enum result sandbox_begin(struct note *note);

/*
 * All memory, present and future, locked against swapping. RESULT_DENIED with a note when the limit (RLIMIT_MEMLOCK)
 * is too low for that: the keys themselves are in locked pages of their own all the same. RESULT_ABSENT when
 * built with a sanitizer, whose shadow memory cannot be locked.
 */
MUST_USE enum result sandbox_lock_memory(struct note *note);

/*
 * A seccomp filter for all threads, to come when everything is open: reading, writing and syncing of what is open,
 * accepting connections, threads and memory. Opening files fails (EACCES); any other call (a socket, a program, another
 * process's memory, memory that could be run) kills the process. unlink_directory and unlink_name: the one name that
 * may be removed, the daemon's own socket; the name must stay where it is in memory. RESULT_ABSENT when built with a
 * sanitizer.
 */
MUST_USE enum result sandbox_filter_calls(int unlink_directory, const char *unlink_name, struct note *note);

#endif
