/*
 * Token buckets, one a client, in fixed memory. A bucket holds at most `burst` tokens and gains
 * requests_per_second; an answer costs one, a batch one an item, all or nothing. Thread-safe.
 *
 * The table is set-associative: when a set is full, the fullest bucket gives way (a full one is as good as a new one),
 * so more clients than places never means more memory.
 */
#ifndef VINVEIL_API_RATE_LIMIT_H
#define VINVEIL_API_RATE_LIMIT_H

#include "vehicle/access.h"

#include <pthread.h>

#define RATE_LIMIT_SETS 256
#define RATE_LIMIT_WAYS 8

struct rate_bucket {
	char client_id[CLIENT_ID_LENGTH_MAX + 1]; /* empty: free */
	uint64_t tokens_milli;
	int64_t at_ms; /* monotonic: when tokens_milli was true */
};

struct rate_limit {
	pthread_mutex_t locks[RATE_LIMIT_SETS];
	struct rate_bucket buckets[RATE_LIMIT_SETS][RATE_LIMIT_WAYS];
};

struct rate_verdict {
	bool is_allowed;
	uint32_t burst, window_seconds; /* the policy: q and w */
	uint32_t remaining;
	uint32_t reset_seconds; /* until the bucket is full again */
	uint32_t retry_after_seconds;
};

void rate_limit_init(struct rate_limit *limit);
void rate_limit_release(struct rate_limit *limit);

/* limits: both members at least 1. */
void rate_limit_take(struct rate_limit *limit, const char *client_id, const struct client_limits *limits, uint32_t cost,
		     int64_t now_ms, struct rate_verdict *ret_verdict);

#endif
