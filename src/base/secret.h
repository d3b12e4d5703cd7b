/*
 * Secrets: bytes that must not be swapped, dumped, compared in variable time or left behind.
 *
 * struct secret owns whole locked pages of its own (mmap + mlock + MADV_DONTDUMP, no inheritance over
 * fork), so it is for keys that live long, not for every VIN of a request; short-lived secrets are plain
 * structs wiped by their owner (secret_wipe).
 */
#ifndef VINVEIL_BASE_SECRET_H
#define VINVEIL_BASE_SECRET_H

#include "base/result.h"
#include "base/span.h"

struct secret {
	uint8_t *data;
	size_t size;
	size_t mapped_size;
};

#define SECRET_CLEANUP __attribute__((cleanup(secret_release)))

/* RESULT_UNAVAILABLE with a note when the memory cannot be locked (RLIMIT_MEMLOCK). Content starts zeroed. */
MUST_USE enum result secret_init(struct secret *secret, size_t size, struct note *note);
void secret_release(struct secret *secret);

/* Overwrites in a way that the compiler may not remove. */
void secret_wipe(void *data, size_t size);

/* Constant-time for a given size. */
bool secret_equal(const void *a, const void *b, size_t size);

/*
 * Overwrites the stack below the caller's frame: what earlier, deeper calls left there (library code that
 * handled a VIN, say). Called once a request or batch, after the deep calls have returned.
 */
void secret_scrub_stack(void);

/*
 * An allocator whose free() wipes first: given to OpenSSL and jansson at program start, because both free
 * buffers that held VINs without clearing them. Sizes are kept in front of each block.
 */
void *wiping_malloc(size_t size);
void *wiping_realloc(void *block, size_t size);
void wiping_free(void *block);

#endif
