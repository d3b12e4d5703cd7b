#include "base/arena.h"

#include "base/secret.h"

#include <stdlib.h>

#define ALIGNMENT      16
#define CHUNK_CAPACITY (8192 - sizeof(struct arena_chunk))

/* Bytes from `used` on are always zero, so that an allocation needs no clearing of its own. */
struct arena_chunk {
	struct arena_chunk *next;
	size_t capacity;
	size_t used;
	_Alignas(ALIGNMENT) uint8_t data[];
};

static size_t bound_of(const struct arena *arena)
{
	return arena->size_max ? arena->size_max : ARENA_SIZE_MAX_DEFAULT;
}

static struct arena_chunk *add_chunk(struct arena *arena, size_t size)
{
	size_t capacity = size > CHUNK_CAPACITY ? size : CHUNK_CAPACITY;
	struct arena_chunk *chunk = calloc(1, sizeof(*chunk) + capacity);
	if (!chunk)
		return NULL;
	chunk->capacity = capacity;
	chunk->next = arena->chunk;
	arena->chunk = chunk;
	return chunk;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	size_t bound = bound_of(arena);
	if (size > bound)
		return NULL;
	size_t rounded = size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (rounded > bound || arena->size_total > bound - rounded)
		return NULL;
	struct arena_chunk *chunk = arena->chunk;
	if (!chunk || chunk->capacity - chunk->used < rounded)
		chunk = add_chunk(arena, rounded);
	if (!chunk)
		return NULL;
	void *place = chunk->data + chunk->used;
	chunk->used += rounded;
	arena->size_total += rounded;
	return place;
}

char *arena_copy_text(struct arena *arena, struct span text)
{
	if (text.size == SIZE_MAX)
		return NULL;
	char *copy = arena_alloc(arena, text.size + 1);
	if (copy && text.size > 0)
		memcpy(copy, text.data, text.size);
	return copy;
}

void arena_reset(struct arena *arena)
{
	struct arena_chunk *kept = NULL;
	struct arena_chunk *next = NULL;
	for (struct arena_chunk *chunk = arena->chunk; chunk; chunk = next) {
		next = chunk->next;
		secret_wipe(chunk->data, chunk->used);
		chunk->used = 0;
		/* One of the ordinary size: a single large request must not keep its memory for ever. */
		if (!kept && chunk->capacity == CHUNK_CAPACITY) {
			kept = chunk;
			kept->next = NULL;
		} else {
			free(chunk);
		}
	}
	arena->chunk = kept;
	arena->size_total = 0;
}

void arena_release(struct arena *arena)
{
	arena_reset(arena);
	free(arena->chunk);
	arena->chunk = NULL;
}
