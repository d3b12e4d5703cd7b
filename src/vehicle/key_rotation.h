/*
 * Rotation of a tenant's index and sealing keys (product rule 13), beside running conversions and provisionings.
 *
 *   begin     keyd makes the new generation; from now on provisioning seals under it and writes indexes of both
 *   re-seal   every vehicle without an index of the new generation gets blob and index anew; conversions find a
 *             vehicle by either index all the while
 *   settle    provisionings that had asked keyd before the beginning come to their end; one that is still later finds
 *             its indexes refused by the registry, and asks again
 *   drop      the registry removes the old indexes, which it refuses unless every vehicle has a newer one
 *   finish    keyd forgets the old generation
 *
 * Each step is durable by itself and found again: after a kill at any instant, key_rotation_run() goes on where it
 * was. A vehicle that changes in between is read again; one whose blob does not open is counted, named to the
 * progress callback, and keeps the old generation alive.
 */
#ifndef VINVEIL_VEHICLE_KEY_ROTATION_H
#define VINVEIL_VEHICLE_KEY_ROTATION_H

#include "base/arena.h"
#include "vehicle/flow.h"

enum key_rotation_step {
	KEY_ROTATION_BEGUN,
	KEY_ROTATION_RESEALING,
	KEY_ROTATION_SETTLING,
	KEY_ROTATION_DROPPING,
	KEY_ROTATION_FINISHED,
};

struct key_rotation_progress {
	enum key_rotation_step step;
	struct key_generations generations;
	uint64_t resealed; /* in this run */
	uint64_t dropped;  /* index rows of the old generation removed in this run */
	uint64_t corrupt;  /* vehicles whose blob does not open */
	struct uuid last_corrupt;
};

#define KEY_ROTATION_BATCH_DEFAULT  64
#define KEY_ROTATION_SETTLE_DEFAULT 2000
#define KEY_ROTATION_RETRIES_MAX    30 /* of a keyd or registry that is away, a second apart */

struct key_rotation {
	const struct platform *platform; /* registry, keys, audit, clock, entropy */
	struct tenant_id tenant;
	const char *actor;  /* for the audit leaves */
	bool only_continue; /* begin nothing: RESULT_ABSENT when no rotation is under way */
	size_t batch;	    /* vehicles a change set, at most KEY_RESEAL_BATCH_MAX; 0: default */
	int64_t settle_ms;  /* 0: default; negative: none (nothing else runs) */
	/* Told after each change. Returning false stops the run there (RESULT_CONFLICT), to be continued later; may be
	   NULL. */
	bool (*progress)(void *context, const struct key_rotation_progress *progress);
	void (*sleep_ms)(void *context, int64_t ms); /* NULL: nanosleep */
	void *context;
};

/*
 * Runs a whole rotation, or the rest of one that was begun. RESULT_CORRUPT when vehicles are left that do not open
 * (the old generation stays); RESULT_UNAVAILABLE when keyd or registry stay away.
 */
MUST_USE enum result key_rotation_run(struct key_rotation *rotation, struct key_rotation_progress *ret_progress,
				      struct note *note);

/*
 * For vinveild's housekeeping: continues what is under way for any tenant, `rotation.tenant` being filled in for each.
 * Returns the first failure, having tried all.
 */
MUST_USE enum result key_rotation_continue_all(struct key_rotation *rotation, struct note *note);

#endif
