/*
 * The audit trail's rules (product rule 10): every allowed or refused request of an authenticated principal has
 * its own durable leaf before its answer leaves, and a registry change carries its leaf in its own
 * transaction (the outbox).
 *
 * Leaf: one JSON object, members in this order, absent ones left out:
 *   leafId, at, actor, tenantId, action, outcome, problem, referenceId | referenceIds, purpose, deviceId, newDeviceId,
 *   serialNumber, state, version, revokedSerialNumbers, revealRequestId, reason, ticket, approvedBy, subject, count,
 *   requestId, sourceAddress
 *
 * No VIN, no hashed VIN, no VIN index, no key.
 */
#ifndef VINVEIL_VEHICLE_AUDIT_H
#define VINVEIL_VEHICLE_AUDIT_H

#include "vehicle/ports/registry.h"
#include "vehicle/problem.h"

struct platform;

enum audit_outcome { AUDIT_ALLOWED, AUDIT_REFUSED, AUDIT_ABSENT, AUDIT_FAILED };

struct audit_event {
	const char *action; /* "reference-id.lookup", "vehicle.provision", …: from the route table */
	enum audit_outcome outcome;
	const char *problem; /* NULL when allowed */
	const char *actor;   /* client ID */
	struct tenant_id tenant;
	struct uuid request_id;
	const char *source_address;
	bool has_reference_id;
	struct uuid reference_id;
	const struct uuid *reference_ids; /* batch: every Reference ID that was given out */
	size_t reference_id_count;
	const char *purpose, *device_id, *new_device_id, *reason, *ticket, *approved_by;
	const char *subject; /* what else it was about: a client ID, a tenant ID, a file */
	bool has_serial, has_reveal_request_id;
	struct serial serial;
	struct uuid reveal_request_id;
	/* What a committed change made of a vehicle: a restore replays the trail from these (vehicle/restoration.h). */
	const char *state;	      /* the lifecycle state it now has; NULL: its row did not change */
	uint32_t version;	      /* its row's version now: leaves may stand in another order than their changes */
	const struct serial *revoked; /* every certificate that was revoked with it */
	size_t revoked_count;
	uint64_t count;	  /* of coalesced refusals, manifest lines, imported rows; 0: left out */
	bool is_recorded; /* its leaf was committed with a change: do not record it again */
};

const char *audit_outcome_name(enum audit_outcome outcome);
/* How a request ended, in the trail's words: none is allowed, not-found absent, what is our own fault failed. */
enum audit_outcome audit_outcome_of(enum problem problem);

/* Makes the leaf (fresh leaf ID, time now) in the arena. */
MUST_USE enum result audit_format(const struct platform *platform, const struct audit_event *event, struct arena *arena,
				  struct audit_leaf *ret_leaf);

/* Appends leaves and waits until they are durable. */
MUST_USE enum result audit_append(struct audit_log *log, const struct audit_leaf *leaves, size_t count);

/* Appends the event's leaf and waits until it is durable; does nothing when is_recorded. */
MUST_USE enum result audit_record(const struct platform *platform, struct audit_event *event, struct arena *arena);

/*
 * Commits the writes and the event's leaf as one change, then appends the leaf and waits. The event's outcome is
 * to be AUDIT_ALLOWED. Once committed the event is_recorded, whatever the result. When the commit succeeded but the log
 * is away the result is RESULT_UNAVAILABLE and the change stands: the leaf is owed (owed_leaves.h) and follows later,
 * and asking again finds the change made.
 */
MUST_USE enum result audit_commit(const struct platform *platform, struct audit_event *event, struct arena *arena,
				  const struct registry_write *writes, size_t count,
				  enum registry_conflict *ret_conflict, struct note *note);

/* At start, before the first request: brings the outbox's leaves into the log, each exactly once. `contains`
   looks for a leaf ID in the log from an index on. */
typedef enum result audit_contains(void *context, const struct uuid *leaf_id, uint64_t from_index);
MUST_USE enum result audit_drain_outbox(const struct platform *platform, audit_contains *contains, void *context,
					size_t *ret_drained, struct note *note);

#endif
