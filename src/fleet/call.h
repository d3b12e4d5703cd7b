/*
 * One request of a vehicle or of a claim on its way through the flows: who is asking, the arena, and the audit event.
 * Private to fleet/.
 *
 *   fleet_call_begin → a flow → fleet_call_end: the leaf, unless a change has carried it
 */
#ifndef VINVEIL_FLEET_CALL_H
#define VINVEIL_FLEET_CALL_H

#include "base/pool.h"
#include "fleet/fleet.h"

#include <pthread.h>

#define ACTOR_GATEWAY "gateway" /* who changed it, when a vehicle's own doing at the broker did */

/* Where checkins.c remembers whom it has heard; half a megabyte. */
#define FLEET_CHECKIN_PLACES 65536

#define FLEET_ASSIGNED_MAX 65536 /* a vehicle's place among them follows from its Reference ID */

struct fleet {
	struct fleet_config config;
	const struct platform *platform;
	struct pool *events, *claims; /* apart: no claim can keep what vehicles say waiting */
	struct fleet_counters counters;
	atomic_bool is_failing; /* events could not be handled last time: a lasting failure is logged once */
	/* Vehicles that ingest has been told of; who shares a place with another is told of again. */
	pthread_mutex_t assigned_mutex;
	struct uuid *assigned;
	atomic_uint_fast64_t checkin_times[FLEET_CHECKIN_PLACES];
};

struct fleet_call {
	struct fleet *fleet;
	struct arena arena;
	struct audit_event event;
	struct client client; /* stands for the vehicle or the claim: its ID is the trail's and the history's actor */
	struct flow_request flow;
};

/* actor: at most CLIENT_ID_LENGTH_MAX; "gateway", "claim:NAME". address and action are borrowed until the end.
   RESULT_ABSENT: no such tenant. Fails like the registry; fleet_call_release() is due even then. */
MUST_USE enum result fleet_call_begin(struct fleet_call *call, struct fleet *fleet, const char *action,
				      const char *actor, const struct tenant_id *tenant, const char *address);
/* Records the leaf of how it ended and waits until it is durable. RESULT_OK also when a change has carried it. */
MUST_USE enum result fleet_call_end(struct fleet_call *call, enum problem problem);
void fleet_call_release(struct fleet_call *call);
#define FLEET_CALL_CLEANUP __attribute__((cleanup(fleet_call_release)))

/* events.c: one event, whosever it is. RESULT_OK when it is done with, for good. Blocks; on any thread. */
MUST_USE enum result event_handle(struct fleet *fleet, const struct gateway_event *event, struct note *note);

/* commands.c: a vehicle that has subscribed gets what waits for it; what it reports moves the status table. */
MUST_USE enum result commands_ready(struct fleet *fleet, const struct gateway_event *event,
				    const struct tenant_id *tenant, struct note *note);
MUST_USE enum result commands_reported(struct fleet *fleet, const struct gateway_event *event,
				       const struct tenant_id *tenant, struct note *note);

/* fleet_provisioning.c: the two topics of a claim, each to its accepted or rejected answer. Blocks; on the pool. */
void fleet_provisioning_take(struct fleet *fleet, const struct gateway_claim_message *message);
/* Answers without looking at it: there is no room. Does not block. */
void fleet_provisioning_refuse(struct fleet *fleet, const struct gateway_claim_message *message, enum problem problem);

/* checkins.c: what a FleetWise agent says it has; it is sent what it is missing. RESULT_UNAVAILABLE: it is to come
   again; whatever else is wrong with it is RESULT_OK. */
MUST_USE enum result checkins_take(struct fleet *fleet, const struct gateway_event *event,
				   const struct tenant_id *tenant);

#endif
