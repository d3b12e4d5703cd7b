/*
 * Who has a registry open: a lock file PATH.lock, held shared by whoever serves or reads it, alone by an import or
 * a restore. The kernel lets it go when the process dies.
 */
#ifndef VINVEIL_ADAPTERS_REGISTRY_SQLITE_LOCK_H
#define VINVEIL_ADAPTERS_REGISTRY_SQLITE_LOCK_H

#include "base/result.h"

enum registry_lock_kind { REGISTRY_LOCK_SHARED, REGISTRY_LOCK_ALONE };

/* RESULT_CONFLICT with a note that names the process in the way. Never waits. Released by close(fd). */
MUST_USE enum result registry_lock_take(const char *path, enum registry_lock_kind kind, int *ret_fd, struct note *note);
/* Changes the kind. RESULT_CONFLICT (and the lock is still held as before) when another process is in the way. */
MUST_USE enum result registry_lock_change(const char *path, int fd, enum registry_lock_kind kind, struct note *note);

#endif
