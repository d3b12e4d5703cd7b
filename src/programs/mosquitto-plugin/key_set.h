/*
 * A set of 16-byte keys (serial numbers, Reference IDs): open addressing, at most half full. What is in it comes from
 * the platform, and is random; the slot still depends on a seed, so that nobody chooses serials that meet in one.
 * Zero-initialised is empty and releasable.
 */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_KEY_SET_H
#define VINVEIL_MOSQUITTO_PLUGIN_KEY_SET_H

#include "base/result.h"

#include <stddef.h>
#include <stdint.h>

#define KEY_SIZE 16

struct key_set {
	struct key_slot *slots;
	size_t capacity; /* a power of two, or 0 */
	size_t count;
};

/* The process's own: makes it at the first call. */
uint64_t key_hash(const void *bytes, size_t size);

/* RESULT_OK also when it is there already. RESULT_MEMORY: unchanged. */
MUST_USE enum result key_set_add(struct key_set *set, const uint8_t key[KEY_SIZE]);
void key_set_remove(struct key_set *set, const uint8_t key[KEY_SIZE]);
bool key_set_has(const struct key_set *set, const uint8_t key[KEY_SIZE]);
void key_set_release(struct key_set *set);

#endif
