/*
 * Conversion (product flow 4): hashed VIN → Reference ID. The hottest path: what arrives together goes to keyd
 * once and to the registry once.
 *
 * Scope and rate are the floor above's; the purpose is judged here. For a single lookup the caller checks the purpose,
 * runs a batch of conversions, and records each one's leaf.
 */
#ifndef VINVEIL_VEHICLE_CONVERSION_H
#define VINVEIL_VEHICLE_CONVERSION_H

#include "vehicle/flow.h"

#define CONVERSION_BATCH_MAX 100 /* of one lookup-batch request */

/* One of many independent conversions, of any tenants. */
struct conversion {
	struct tenant_id tenant;
	struct hashed_vin hashed_vin; /* wiped by conversion_run */
	/* filled by conversion_run: NONE with the ID, NOT_FOUND, BUDGET_EXHAUSTED, UNAVAILABLE, INTERNAL */
	enum problem ret_problem;
	struct uuid ret_reference_id;
};

/* Any number; grouped by tenant inside. Blocks; thread-safe; allocates nothing. */
void conversion_run(const struct platform *platform, struct conversion *conversions, size_t count, struct note *note);

/* PROBLEM_PURPOSE_NOT_ALLOWED unless it is on the client's list: only then may it stand in the audit trail. */
enum problem conversion_check_purpose(const struct client *client, const char *purpose);

/* The outcome into the event: Reference ID, outcome, problem. */
void conversion_note(const struct conversion *conversion, struct audit_event *event);

struct conversion_result {
	bool found;
	struct uuid reference_id;
};

/*
 * Up to CONVERSION_BATCH_MAX at once, in the order asked, all or nothing. Wipes `vins`. The event lists every Reference
 * ID given out, each once. PROBLEM_VALUE_INVALID for none or too many.
 */
enum problem conversion_lookup_batch(struct flow_request *request, const char *purpose, struct hashed_vin *vins,
				     size_t count, struct conversion_result *ret_results);

#endif
