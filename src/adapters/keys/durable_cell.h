/*
 * A small value in a file that survives a crash at any instant, without opening, renaming or growing a file once it
 * is open: two slots of fixed size, written in turn; the valid slot with the higher sequence number counts.
 *
 *   slot: magic "VVCELL1\n" | sequence u64 BE | size u32 BE | SHA-256 of magic, sequence, size and content | content
 *
 * An open cell is locked (flock) against other processes. Not thread-safe.
 */
#ifndef VINVEIL_ADAPTERS_KEYS_DURABLE_CELL_H
#define VINVEIL_ADAPTERS_KEYS_DURABLE_CELL_H

#include "base/buf.h"

struct durable_cell;

/* RESULT_CONFLICT when the file exists. */
MUST_USE enum result durable_cell_create(const char *path, size_t size_max, struct span content, struct note *note);
/* Appends the content. RESULT_ABSENT: no file; RESULT_CONFLICT: locked by another; RESULT_CORRUPT: no valid slot. */
MUST_USE enum result durable_cell_open(const char *path, size_t size_max, struct buf *ret_content,
				       struct durable_cell **ret_cell, struct note *note);
/* Reads beside whoever has it open. */
MUST_USE enum result durable_cell_read(const char *path, size_t size_max, struct buf *ret_content, struct note *note);
/* On disk when it returns RESULT_OK. After a failure either the old or the new content is there, whole. */
MUST_USE enum result durable_cell_store(struct durable_cell *cell, struct span content, struct note *note);
/* NULL is allowed. */
void durable_cell_close(struct durable_cell *cell);

#endif
