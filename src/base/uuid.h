/*
 * UUIDs, RFC 9562. Generation is version 4 only: 122 random bits, nothing of time or place.
 */
#ifndef VINVEIL_BASE_UUID_H
#define VINVEIL_BASE_UUID_H

#include "base/entropy.h"
#include "base/result.h"
#include "base/span.h"

#define UUID_SIZE	 16
#define UUID_TEXT_LENGTH 36
#define UUID_TEXT_SIZE	 (UUID_TEXT_LENGTH + 1)

struct uuid {
	uint8_t bytes[UUID_SIZE];
};

MUST_USE enum result uuid_generate_v4(struct entropy *entropy, struct uuid *ret_uuid);

/* The canonical form only: 8-4-4-4-12 hex digits of either case, any version; else RESULT_INVALID. */
MUST_USE enum result uuid_parse(struct span text, struct uuid *ret_uuid);

/* Lower case, NUL-terminated. */
void uuid_format(const struct uuid *uuid, char ret_text[static UUID_TEXT_SIZE]);

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, UUID_SIZE) == 0;
}

#endif
