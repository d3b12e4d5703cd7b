/*
 * Reading and writing of fixed binary forms, big-endian, bounded. A reader that ran out stays failed and gives zeros,
 * so that a message is read straight through and judged once at its end.
 */
#ifndef VINVEIL_ADAPTERS_KEYS_WIRE_H
#define VINVEIL_ADAPTERS_KEYS_WIRE_H

#include "base/buf.h"

struct wire_reader {
	struct span rest;
	bool failed;
};

/* The next `size` bytes, borrowed; {NULL, 0} when there are fewer. */
struct span wire_get_span(struct wire_reader *reader, size_t size);
/* Copies the next `size` bytes; zeros when there are fewer. */
void wire_get(struct wire_reader *reader, void *ret_bytes, size_t size);
uint8_t wire_get_u8(struct wire_reader *reader);
uint16_t wire_get_u16(struct wire_reader *reader);
uint32_t wire_get_u32(struct wire_reader *reader);
uint64_t wire_get_u64(struct wire_reader *reader);
/* RESULT_INVALID when it ran out or bytes are left over. */
MUST_USE enum result wire_end(const struct wire_reader *reader);

MUST_USE enum result wire_put_u8(struct buf *buf, uint8_t value);
MUST_USE enum result wire_put_u16(struct buf *buf, uint16_t value);
MUST_USE enum result wire_put_u32(struct buf *buf, uint32_t value);
MUST_USE enum result wire_put_u64(struct buf *buf, uint64_t value);
MUST_USE enum result wire_put(struct buf *buf, const void *bytes, size_t size);

#endif
