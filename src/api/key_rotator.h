/*
 * Carries out key rotations that were begun (`vinveil keys rotate` asks keyd for the new generation), on a thread of
 * its own: looks every few seconds, and at start, whether any tenant has two live generations, and re-seals and
 * re-indexes its vehicles beside everything else (vehicle/key_rotation.h).
 */
#ifndef VINVEIL_API_KEY_ROTATOR_H
#define VINVEIL_API_KEY_ROTATOR_H

#include "vehicle/flow.h"

struct key_rotator;

/* settle_ms: how long requests that asked keyd before a rotation may still go on; 0: a default. */
MUST_USE enum result key_rotator_open(const struct platform *platform, int64_t settle_ms,
				      struct key_rotator **ret_rotator);
/* Stops after the change under way; what is left is continued at the next start. NULL is allowed. */
void key_rotator_close(struct key_rotator *rotator);

#endif
