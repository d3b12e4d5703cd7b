#include "programs/mosquitto-plugin/flood.h"

#include "programs/mosquitto-plugin/key_set.h"

void flood_bucket_fill(struct flood_bucket *bucket, const struct flood_limit *limit, int64_t now_ms)
{
	*bucket = (struct flood_bucket){.tokens = limit->burst, .at_ms = now_ms};
}

static void refill(struct flood_bucket *bucket, const struct flood_limit *limit, int64_t now_ms)
{
	if (now_ms > bucket->at_ms)
		bucket->tokens += (double)(now_ms - bucket->at_ms) * limit->per_second / 1000;
	if (bucket->tokens > limit->burst)
		bucket->tokens = limit->burst;
	bucket->at_ms = now_ms;
}

bool flood_bucket_take(struct flood_bucket *bucket, const struct flood_limit *limit, size_t size, int64_t now_ms)
{
	size_t cost = size > FLOOD_TOKEN_SIZE ? (size - 1) / FLOOD_TOKEN_SIZE + 1 : 1;

	if (cost > limit->burst)
		cost = limit->burst;
	refill(bucket, limit, now_ms);
	if (bucket->tokens < (double)cost)
		return false;
	bucket->tokens -= (double)cost;
	return true;
}

/* One place each: who comes to another's place forgives that one, which lets through one burst more at most. */
void flood_leave(struct flood_left *left, const struct uuid *reference_id, const struct flood_bucket *bucket)
{
	size_t at = key_hash(reference_id->bytes, UUID_SIZE) % FLOOD_LEFT_MAX;
	left->entries[at].reference_id = *reference_id;
	left->entries[at].bucket = *bucket;
}

struct flood_bucket flood_return(const struct flood_left *left, const struct uuid *reference_id,
				 const struct flood_limit *limit, int64_t now_ms)
{
	size_t at = key_hash(reference_id->bytes, UUID_SIZE) % FLOOD_LEFT_MAX;
	struct flood_bucket bucket;
	flood_bucket_fill(&bucket, limit, now_ms);
	if (!uuid_equal(&left->entries[at].reference_id, reference_id))
		return bucket;
	bucket = left->entries[at].bucket;
	refill(&bucket, limit, now_ms);
	return bucket;
}
