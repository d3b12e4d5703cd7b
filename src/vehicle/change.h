/*
 * A change of one vehicle under construction: the writes of its change set with the history that tells of
 * them. Entries and records are copied into the request's arena, so a caller need not keep them. Internal to the flows.
 */
#ifndef VINVEIL_VEHICLE_CHANGE_H
#define VINVEIL_VEHICLE_CHANGE_H

#include "vehicle/flow.h"

#define CHANGE_WRITES_MAX 64

struct change {
	struct flow_request *request;
	struct registry_write writes[CHANGE_WRITES_MAX];
	size_t count;
	enum result result; /* the first failure sticks, and change_commit tells it */
	struct gateway_revocation revoked[CHANGE_WRITES_MAX];
	size_t revoked_count;
	const struct ownership *admitted; /* its certificate may connect after the commit; NULL: none */
	bool moves_state;		  /* the lifecycle state: the gateway is told after the commit */
};

void change_init(struct change *change, struct flow_request *request);

/* A write whose records the caller keeps until the commit. */
void change_add(struct change *change, struct registry_write write);

/* time and actor are filled in here */
void change_add_history(struct change *change, const struct uuid *reference_id, struct history_entry entry);
void change_add_device_history(struct change *change, const struct uuid *reference_id, const char *from,
			       const char *to);

/* The new row of a known vehicle: version and update time move on. The caller keeps it until the commit. */
void change_update_vehicle(struct change *change, struct vehicle *vehicle);

/* A new certificate, with its line of history; the event tells its serial number when it is committed. */
void change_add_certificate(struct change *change, const struct certificate_record *record);
void change_revoke(struct change *change, const struct certificate_record *record, enum revocation_reason reason);

/*
 * Uses the claim and the token of a certificate that was issued ahead. is_admitted: the certificate becomes the
 * vehicle's with this change (change_add_certificate), and the gateway lets it in. The caller keeps the ownership until
 * the commit.
 */
void change_take_ownership(struct change *change, const struct ownership *ownership, bool is_admitted);

/*
 * audit_commit, with RESULT_CONFLICT kept apart: *ret_conflict is then set, and REGISTRY_CONFLICT_NONE otherwise. Once
 * the request's event is_recorded the change stands, even when the result is not RESULT_OK.
 */
MUST_USE enum result change_commit(struct change *change, enum registry_conflict *ret_conflict);

#endif
