/*
 * How samples lie in a blob (doc/telemetry-format.md): names as numbers, values with a tag in front, numbers in as few
 * bytes as bring back exactly the same double. Pure.
 */
#ifndef VINVEIL_ADAPTERS_TELEMETRY_SQLITE_CODEC_H
#define VINVEIL_ADAPTERS_TELEMETRY_SQLITE_CODEC_H

#include "vehicle/ports/telemetry_store.h"

#define VARINT_SIZE_MAX 10

/* Both return where to go on. */
uint8_t *put_varint(uint8_t *at, uint64_t number);
uint8_t *put_value(uint8_t *at, const struct signal_value *value);
/* What put_value() needs at most. */
static inline size_t value_size_max(const struct signal_value *value)
{
	return 1 + VARINT_SIZE_MAX + value->text.size;
}

/* Each takes from the front. RESULT_CORRUPT: cut off, or no such tag. */
MUST_USE enum result take_varint(struct span *bytes, uint64_t *ret_number);
/* The value as it stands, to be copied. */
MUST_USE enum result take_encoded_value(struct span *bytes, struct span *ret_encoded);
/* Texts borrow from the bytes. */
MUST_USE enum result take_value(struct span *bytes, struct signal_value *ret_value);

#endif
