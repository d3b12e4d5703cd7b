#include "programs/mosquitto-plugin/key_set.h"

#include "base/entropy.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 64

struct key_slot {
	uint8_t key[KEY_SIZE];
	bool is_used;
};

/* Eight bytes at a time; good enough against keys that somebody chose, who does not know the seed. */
uint64_t key_hash(const void *bytes, size_t size)
{
	static uint64_t seed;
	const uint8_t *at = bytes;
	if (seed == 0 && entropy_fill(entropy_system(), &seed, sizeof(seed)) != RESULT_OK)
		seed = (uint64_t)(uintptr_t)&seed;
	seed |= 1;
	uint64_t hash = seed ^ size * UINT64_C(0x9e3779b97f4a7c15);
	while (size > 0) {
		uint64_t word = 0;
		size_t step = size < sizeof(word) ? size : sizeof(word);
		memcpy(&word, at, step);
		hash = (hash ^ word) * (seed ^ UINT64_C(0xff51afd7ed558ccc));
		hash ^= hash >> 32;
		at += step;
		size -= step;
	}
	return hash * UINT64_C(0xc4ceb9fe1a85ec53) >> 16;
}

static size_t find(const struct key_set *set, const uint8_t *key)
{
	size_t at = key_hash(key, KEY_SIZE) & (set->capacity - 1);
	while (set->slots[at].is_used && memcmp(set->slots[at].key, key, KEY_SIZE) != 0)
		at = (at + 1) & (set->capacity - 1);
	return at;
}

static void put(struct key_set *set, const uint8_t *key)
{
	struct key_slot *slot = &set->slots[find(set, key)];
	if (slot->is_used)
		return;
	memcpy(slot->key, key, KEY_SIZE);
	slot->is_used = true;
	set->count++;
}

static enum result grow(struct key_set *set)
{
	size_t capacity = set->capacity == 0 ? CAPACITY_MIN : set->capacity * 2;
	struct key_set larger = {.slots = calloc(capacity, sizeof(struct key_slot)), .capacity = capacity};
	if (!larger.slots)
		return RESULT_MEMORY;
	for (size_t i = 0; i < set->capacity; i++) {
		if (set->slots[i].is_used)
			put(&larger, set->slots[i].key);
	}
	free(set->slots);
	*set = larger;
	return RESULT_OK;
}

enum result key_set_add(struct key_set *set, const uint8_t key[KEY_SIZE])
{
	if (set->count * 2 >= set->capacity)
		TRY(grow(set));
	put(set, key);
	return RESULT_OK;
}

/* What stands behind the gap moves up, so that every key is still found from its own slot. */
void key_set_remove(struct key_set *set, const uint8_t key[KEY_SIZE])
{
	if (set->count == 0)
		return;
	size_t gap = find(set, key);
	if (!set->slots[gap].is_used)
		return;
	size_t mask = set->capacity - 1;
	set->slots[gap].is_used = false;
	set->count--;
	for (size_t at = (gap + 1) & mask; set->slots[at].is_used; at = (at + 1) & mask) {
		size_t home = key_hash(set->slots[at].key, KEY_SIZE) & mask;
		if (((at - home) & mask) < ((at - gap) & mask))
			continue;
		set->slots[gap] = set->slots[at];
		set->slots[at].is_used = false;
		gap = at;
	}
}

bool key_set_has(const struct key_set *set, const uint8_t key[KEY_SIZE])
{
	return set->count > 0 && set->slots[find(set, key)].is_used;
}

void key_set_release(struct key_set *set)
{
	free(set->slots);
	*set = (struct key_set){0};
}
