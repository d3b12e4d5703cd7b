/*
 * Idempotency-Key (product rule 11): a POST that was answered once is answered again without being done again,
 * for 24 hours, within one client and route. What was asked is remembered as keyd's HMAC of it, because a plain hash of
 * a body that holds a VIN gives the VIN away. Neither a private key nor a VIN is ever stored: an answer that held a
 * private key is made anew (provisioning's `superseded`). One process answers a registry's requests: a record without
 * an answer that is not running in it is taken over at once.
 *
 *   begin ─┬─ RUN ──────── the flow ──┬── complete (the answer is final)
 *          │                          └── abandon (429, 5xx: trying again may help)
 *          ├─ ANSWER: send record.status and record.body again
 *          └─ ANSWER_ANEW: run provisioning with superseded = &record.serial, then complete
 */
#ifndef VINVEIL_VEHICLE_IDEMPOTENCY_H
#define VINVEIL_VEHICLE_IDEMPOTENCY_H

#include "vehicle/flow.h"

#define IDEMPOTENCY_KEY_LENGTH_MAX 128
#define IDEMPOTENCY_KEPT_MS	   ((int64_t)24 * 3600 * 1000)
#define IDEMPOTENCY_STALE_MS	   ((int64_t)60 * 1000) /* still "running" after that: its process died */

enum idempotency_decision { IDEMPOTENCY_RUN, IDEMPOTENCY_ANSWER, IDEMPOTENCY_ANSWER_ANEW };

struct idempotency {
	enum idempotency_decision decision;
	struct idempotency_record record; /* texts in the request's arena */
};

/*
 * key: 1..128 printable ASCII, else VALUE_INVALID. route: its template, "POST /v1/vehicles/{referenceId}/certificates".
 * content: what was asked, that is the target as it was sent and the body. REQUEST_IN_PROGRESS, IDEMPOTENCY_MISMATCH.
 */
enum problem idempotency_begin(struct flow_request *request, const char *route, struct span key,
			       const struct span content[static 2], struct idempotency *ret_idempotency);

/*
 * Keeps the final answer. serial: of an answer that held a private key, with its Reference ID: body is then not kept;
 * NULL otherwise, and then an answer that was to be made anew stands as it was. A failure here is not the request's:
 * the caller logs it and answers all the same.
 */
MUST_USE enum result idempotency_complete(struct flow_request *request, struct idempotency *idempotency, int status,
					  const char *body, const struct serial *serial,
					  const struct uuid *reference_id);

/* The request came to nothing: the key is free again. */
MUST_USE enum result idempotency_abandon(struct flow_request *request, struct idempotency *idempotency);

#endif
