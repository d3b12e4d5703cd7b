#include "base/hash.h"

#include "base/entropy.h"

#include <pthread.h>
#include <string.h>

static uint64_t seed;

static void make_seed(void)
{
	if (entropy_fill(entropy_system(), &seed, sizeof(seed)) != RESULT_OK)
		seed = (uint64_t)(uintptr_t)&seed;
}

/* Both halves of the product: of a plain product, keys can be made that meet whatever the seed is. */
static uint64_t mix(uint64_t state, uint64_t word)
{
	__extension__ unsigned __int128 product = (unsigned __int128)(state ^ word) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_bytes(struct span bytes)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	uint64_t word = 0;

	pthread_once(&once, make_seed);
	uint64_t state = mix(seed, bytes.size);
	for (; bytes.size >= sizeof(word); bytes = span_of(bytes.data + sizeof(word), bytes.size - sizeof(word))) {
		memcpy(&word, bytes.data, sizeof(word));
		state = mix(state, word);
	}
	if (bytes.size == 0)
		return mix(state, seed);
	word = 0;
	memcpy(&word, bytes.data, bytes.size);
	return mix(mix(state, word), seed);
}
