/*
 * What every flow stands on: the ports, and who is asking.
 *
 * A flow (provisioning, conversion, tcu_change, …) is straight-line blocking code over these. It returns enum
 * problem: PROBLEM_NONE with its ret_… filled, or what the caller is to be told. It never answers, logs or
 * sends; the floor above does. Each flow fills the request's audit_event as soon as it knows of whom it
 * speaks, and commits changes only through audit_commit(), so that no change is without its leaf.
 */
#ifndef VINVEIL_VEHICLE_FLOW_H
#define VINVEIL_VEHICLE_FLOW_H

#include "base/clock.h"
#include "vehicle/audit.h"
#include "vehicle/owed_leaves.h"
#include "vehicle/ports/agent_format.h"
#include "vehicle/ports/cert_authority.h"
#include "vehicle/ports/device_gateway.h"
#include "vehicle/ports/registry.h"
#include "vehicle/ports/telemetry_control.h"
#include "vehicle/ports/telemetry_store.h"
#include "vehicle/problem.h"

struct platform {
	struct registry *registry;
	struct key_service *keys;
	struct cert_authority *authority;
	struct audit_log *audit;
	struct device_gateway *gateway;		     /* NULL: no broker is served */
	struct telemetry_store *telemetry;	     /* for reading; NULL: there is none */
	struct telemetry_control *telemetry_control; /* NULL: there is none */
	struct agent_format *agent_format;	     /* NULL: no edge agents are served */
	struct owed_leaves *owed; /* NULL: what the log refuses waits in the outbox for the next start */
	struct clock *clock;
	struct entropy *entropy;
};

/* One request of an authenticated client. Borrowed by the flow for the call. */
struct flow_request {
	const struct platform *platform;
	const struct client *client;
	struct tenant tenant; /* the client's tenant with its policies */
	struct arena *arena;
	struct audit_event *event;
	struct note note; /* foreign detail of a failure, for the log */
	char detail[160]; /* a sentence for the caller that says more than the problem's own; may stay empty; no secrets
			   */
};

/* How a vehicle is named in a body: by exactly one of three. Secret when it holds a VIN or hash. */
struct vehicle_name {
	enum { VEHICLE_BY_REFERENCE_ID, VEHICLE_BY_HASHED_VIN, VEHICLE_BY_VIN } by;
	struct uuid reference_id;
	struct hashed_vin hashed_vin;
	struct vin vin;
};

/* Kinds of failure below → what a caller is told: UNAVAILABLE, BUDGET_EXHAUSTED, NOT_FOUND, INTERNAL, … */
enum problem problem_of_result(enum result result);

/*
 * Finds the vehicle that a body names, in the caller's tenant. By VIN or hash this is a conversion (rule 7): the
 * event's purpose is set to implied_purpose and the Reference ID noted. PROBLEM_NOT_FOUND alike for unknown and
 * foreign.
 */
enum problem vehicle_find(struct flow_request *request, const struct vehicle_name *name, const char *implied_purpose,
			  struct vehicle *ret_vehicle);

#endif
