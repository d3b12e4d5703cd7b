#include "programs/vinveil/latency.h"

/* Below LATENCY_STEPS each microsecond has a bucket; above, each power of two has LATENCY_STEPS. */
static unsigned bucket_of(uint64_t us)
{
	if (us < LATENCY_STEPS)
		return (unsigned)us;
	unsigned power = 63 - (unsigned)__builtin_clzll(us); /* at least 5 */
	unsigned bucket = (power - 4) * LATENCY_STEPS + (unsigned)(us >> (power - 5)) - LATENCY_STEPS;
	return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The last microsecond that falls into it. */
static uint64_t end_of(unsigned bucket)
{
	if (bucket < LATENCY_STEPS)
		return bucket;
	unsigned power = bucket / LATENCY_STEPS + 4;
	uint64_t step = bucket % LATENCY_STEPS + LATENCY_STEPS + 1;
	return (step << (power - 5)) - 1;
}

void latency_add(struct latency *latency, uint64_t us)
{
	latency->counts[bucket_of(us)]++;
	latency->total++;
	if (us > latency->most_us)
		latency->most_us = us;
}

void latency_merge(struct latency *latency, const struct latency *other)
{
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		latency->counts[i] += other->counts[i];
	latency->total += other->total;
	if (other->most_us > latency->most_us)
		latency->most_us = other->most_us;
}

uint64_t latency_of(const struct latency *latency, unsigned per_mille)
{
	uint64_t wanted = (latency->total * per_mille + 999) / 1000, seen = 0;
	for (unsigned i = 0; i < LATENCY_BUCKETS && latency->total > 0; i++) {
		seen += latency->counts[i];
		if (seen >= wanted && seen > 0)
			return end_of(i) < latency->most_us ? end_of(i) : latency->most_us;
	}
	return latency->most_us;
}
