/*
 * Refusals before authentication or by rate limit, coalesced (product rule 10): at most one leaf a second for each
 * source or client, route and problem, with a count; the answers do not wait for it. Fixed memory: what finds no place
 * in the table is counted in one row without a source. Thread-safe.
 */
#ifndef VINVEIL_API_REFUSALS_H
#define VINVEIL_API_REFUSALS_H

#include "vehicle/flow.h"

#define REFUSALS_SIZE 512 /* rows a second */

struct refusals;

MUST_USE enum result refusals_open(const struct platform *platform, struct refusals **ret_refusals);
void refusals_close(struct refusals *refusals);

/* action: a constant. client NULL: not authenticated, source_address says who. Never blocks for long. */
void refusals_add(struct refusals *refusals, const char *action, enum problem problem, const struct client *client,
		  const char *source_address, const struct uuid *request_id);

/* Gives everything counted so far to the audit log; once a second. What the log does not take stays for the next. */
void refusals_flush(struct refusals *refusals);

#endif
