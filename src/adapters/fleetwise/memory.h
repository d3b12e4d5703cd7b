/*
 * Lets protobuf-c allocate from an arena, so that a small message cannot make much memory: the arena's size_max is the
 * bound, and releasing the arena is the only freeing. Private to adapters/fleetwise/.
 */
#ifndef VINVEIL_ADAPTERS_FLEETWISE_MEMORY_H
#define VINVEIL_ADAPTERS_FLEETWISE_MEMORY_H

#include "base/arena.h"

#include <protobuf-c/protobuf-c.h>

struct message_memory {
	ProtobufCAllocator allocator;
	struct arena *arena;
	bool is_exhausted; /* an allocation failed: the message was not necessarily malformed */
};

/* The memory must stay where it is. */
void message_memory_init(struct message_memory *memory, struct arena *arena);

/* RESULT_INVALID: not such a message; RESULT_EXHAUSTED: it would take more than the arena's bound. In the arena. */
MUST_USE enum result message_read(const ProtobufCMessageDescriptor *descriptor, struct span bytes, struct arena *arena,
				  ProtobufCMessage **ret_message);
/* Serialises into the arena. RESULT_MEMORY. */
MUST_USE enum result message_write(const ProtobufCMessage *message, struct arena *arena, struct span *ret_bytes);

static inline struct span span_of_bytes(ProtobufCBinaryData bytes)
{
	return span_of(bytes.data, bytes.len);
}

#endif
