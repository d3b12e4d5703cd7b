#include "adapters/fleetwise/memory.h"

static void *take(void *context, size_t size)
{
	struct message_memory *memory = context;
	void *place = arena_alloc(memory->arena, size);

	if (place == NULL)
		memory->is_exhausted = true;
	return place;
}

/* With its arena. */
static void give_back(void *context, void *place)
{
	(void)context;
	(void)place;
}

void message_memory_init(struct message_memory *memory, struct arena *arena)
{
	*memory = (struct message_memory){.arena = arena};
	memory->allocator = (ProtobufCAllocator){.alloc = take, .free = give_back, .allocator_data = memory};
}

enum result message_read(const ProtobufCMessageDescriptor *descriptor, struct span bytes, struct arena *arena,
			 ProtobufCMessage **ret_message)
{
	struct message_memory memory;

	message_memory_init(&memory, arena);
	ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &memory.allocator, bytes.size, bytes.data);
	if (message == NULL)
		return memory.is_exhausted ? RESULT_EXHAUSTED : RESULT_INVALID;
	*ret_message = message;
	return RESULT_OK;
}

enum result message_write(const ProtobufCMessage *message, struct arena *arena, struct span *ret_bytes)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = arena_alloc(arena, size);

	if (bytes == NULL)
		return RESULT_MEMORY;
	protobuf_c_message_pack(message, bytes);
	*ret_bytes = span_of(bytes, size);
	return RESULT_OK;
}
