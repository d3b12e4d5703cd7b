/*
 * A buf owns a growing run of bytes with a hard maximum. Zero-initialised with a size_max it is empty and
 * releasable. Growing moves the bytes and wipes the old place, and releasing wipes, so that a buf may hold
 * secrets without further care. `data` is always followed by a NUL that `size` does not count (once
 * anything was appended), so text can be read as a C string.
 *
 * Not thread-safe: one owner at a time.
 */
#ifndef VINVEIL_BASE_BUF_H
#define VINVEIL_BASE_BUF_H

#include "base/result.h"
#include "base/span.h"

struct buf {
	uint8_t *data;
	size_t size;
	size_t capacity;
	size_t size_max; /* appending beyond it is RESULT_EXHAUSTED; 0 means BUF_SIZE_MAX_DEFAULT */
};

#define BUF_SIZE_MAX_DEFAULT ((size_t)1 << 20)
#define BUF_CLEANUP	     __attribute__((cleanup(buf_release)))

/* RESULT_EXHAUSTED beyond size_max, RESULT_MEMORY when the allocation fails; the buf is then unchanged. */
MUST_USE enum result buf_append(struct buf *buf, struct span bytes);
MUST_USE enum result buf_append_text(struct buf *buf, const char *text);
MUST_USE enum result buf_append_byte(struct buf *buf, uint8_t byte);
MUST_USE enum result buf_append_format(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for `more` bytes and returns where to write them; the caller adds to `size` what it wrote. */
MUST_USE enum result buf_reserve(struct buf *buf, size_t more, uint8_t **ret_room);

/* Removes `count` bytes from the front (what was consumed), moving and wiping the rest. */
void buf_consume(struct buf *buf, size_t count);

/* Forgets the content (wiped), keeps the memory. */
void buf_clear(struct buf *buf);
void buf_release(struct buf *buf);

static inline struct span buf_span(const struct buf *buf)
{
	return span_of(buf->data, buf->size);
}

#endif
