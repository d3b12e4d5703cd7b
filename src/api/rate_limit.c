#include "api/rate_limit.h"

#include <stdio.h>

/* FNV-1a: clients are named by operators, so nobody is out to make them collide. */
static uint32_t hash_text(const char *text)
{
	uint32_t hash = 2166136261U;
	for (; *text != '\0'; text++)
		hash = (hash ^ (uint8_t)*text) * 16777619U;
	return hash ^ (hash >> 16);
}

void rate_limit_init(struct rate_limit *limit)
{
	memset(limit, 0, sizeof *limit);
	for (size_t i = 0; i < RATE_LIMIT_SETS; i++)
		pthread_mutex_init(&limit->locks[i], NULL);
}

void rate_limit_release(struct rate_limit *limit)
{
	for (size_t i = 0; i < RATE_LIMIT_SETS; i++)
		pthread_mutex_destroy(&limit->locks[i]);
}

/* A token a second is a thousandth a millisecond, so elapsed milliseconds times the rate are thousandths. */
static void refill(struct rate_bucket *bucket, const struct client_limits *limits, int64_t now_ms)
{
	uint64_t full = (uint64_t)limits->burst * 1000;
	uint64_t elapsed = now_ms > bucket->at_ms ? (uint64_t)(now_ms - bucket->at_ms) : 0;
	uint64_t missing = bucket->tokens_milli < full ? full - bucket->tokens_milli : 0;

	bucket->at_ms = now_ms;
	if (elapsed >= missing / limits->requests_per_second + 1)
		bucket->tokens_milli = full;
	else
		bucket->tokens_milli += elapsed * limits->requests_per_second;
	if (bucket->tokens_milli > full)
		bucket->tokens_milli = full;
}

/* The client's bucket, or a free one, or the fullest. */
static struct rate_bucket *find(struct rate_bucket set[RATE_LIMIT_WAYS], const char *client_id, uint64_t full,
				int64_t now_ms)
{
	struct rate_bucket *chosen = &set[0];
	for (size_t i = 0; i < RATE_LIMIT_WAYS; i++) {
		if (strcmp(set[i].client_id, client_id) == 0)
			return &set[i];
		if (set[i].client_id[0] == '\0') {
			if (chosen->client_id[0] != '\0')
				chosen = &set[i];
		} else if (chosen->client_id[0] != '\0' && set[i].tokens_milli > chosen->tokens_milli) {
			chosen = &set[i];
		}
	}
	snprintf(chosen->client_id, sizeof chosen->client_id, "%s", client_id);
	chosen->tokens_milli = full;
	chosen->at_ms = now_ms;
	return chosen;
}

static uint32_t seconds_for(uint64_t tokens_milli, uint32_t rate)
{
	uint64_t per_second = (uint64_t)rate * 1000;
	return (uint32_t)((tokens_milli + per_second - 1) / per_second);
}

void rate_limit_take(struct rate_limit *limit, const char *client_id, const struct client_limits *limits, uint32_t cost,
		     int64_t now_ms, struct rate_verdict *ret_verdict)
{
	uint32_t set = hash_text(client_id) % RATE_LIMIT_SETS;
	uint64_t full = (uint64_t)limits->burst * 1000, wanted = (uint64_t)cost * 1000;

	pthread_mutex_lock(&limit->locks[set]);
	struct rate_bucket *bucket = find(limit->buckets[set], client_id, full, now_ms);
	refill(bucket, limits, now_ms);
	bool is_allowed = bucket->tokens_milli >= wanted;
	if (is_allowed)
		bucket->tokens_milli -= wanted;
	uint64_t tokens = bucket->tokens_milli;
	pthread_mutex_unlock(&limit->locks[set]);

	uint32_t wait = is_allowed ? 0 : seconds_for(wanted - tokens, limits->requests_per_second);
	*ret_verdict = (struct rate_verdict){
		.is_allowed = is_allowed,
		.burst = limits->burst,
		.window_seconds = seconds_for(full, limits->requests_per_second),
		.remaining = (uint32_t)(tokens / 1000),
		.reset_seconds = seconds_for(full - tokens, limits->requests_per_second),
		.retry_after_seconds = wait > 0 ? wait : 1,
	};
}
