/*
 * Memory of one request: many small allocations, one release. Wiped on reset and release, so it may hold
 * secrets. Bounded by size_max (0: ARENA_SIZE_MAX_DEFAULT). Zero-initialised is usable and releasable.
 * Not thread-safe, but may be handed from thread to thread.
 */
#ifndef VINVEIL_BASE_ARENA_H
#define VINVEIL_BASE_ARENA_H

#include "base/result.h"
#include "base/span.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunk; /* newest first */
	size_t size_total;
	size_t size_max;
};

#define ARENA_SIZE_MAX_DEFAULT ((size_t)4 << 20)
#define ARENA_CLEANUP	       __attribute__((cleanup(arena_release)))

/* Zeroed and aligned for any type; NULL when the bound or the memory is used up. */
void *arena_alloc(struct arena *arena, size_t size);
/* A NUL-terminated copy. */
char *arena_copy_text(struct arena *arena, struct span text);
/* Wipes all and keeps one chunk for the next request. */
void arena_reset(struct arena *arena);
void arena_release(struct arena *arena);

#endif
