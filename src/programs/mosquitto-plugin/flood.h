/*
 * The limit of one vehicle's messages: a bucket of tokens, refilled by time. A message costs one for each
 * FLOOD_TOKEN_SIZE bytes of it that are begun, because what is behind the broker takes bytes: those that one vehicle
 * could send otherwise would keep ingest busy for all. A vehicle that connects anew finds its bucket as it left it;
 * what it left is forgotten when it would be full again.
 */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_FLOOD_H
#define VINVEIL_MOSQUITTO_PLUGIN_FLOOD_H

#include "base/uuid.h"

#define FLOOD_TOKEN_SIZE 4096

struct flood_limit {
	uint32_t per_second, burst;
};

struct flood_bucket {
	double tokens;
	int64_t at_ms; /* monotonic */
};

void flood_bucket_fill(struct flood_bucket *bucket, const struct flood_limit *limit, int64_t now_ms);
/* One message of that size; false: too many. A full bucket is enough for any. */
bool flood_bucket_take(struct flood_bucket *bucket, const struct flood_limit *limit, size_t size, int64_t now_ms);

/* What vehicles that are gone have left. Bounded: a place may be taken over, and then the bucket counts as full. */
#define FLOOD_LEFT_MAX 4096 /* a power of two */
struct flood_left {
	struct {
		struct uuid reference_id;
		struct flood_bucket bucket;
	} entries[FLOOD_LEFT_MAX];
};

void flood_leave(struct flood_left *left, const struct uuid *reference_id, const struct flood_bucket *bucket);
/* Full when nothing was left. */
struct flood_bucket flood_return(const struct flood_left *left, const struct uuid *reference_id,
				 const struct flood_limit *limit, int64_t now_ms);

#endif
