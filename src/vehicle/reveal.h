/*
 * Reveal (product flow 7): Reference ID → VIN, the break-glass path. One principal asks with purpose and reason,
 * another approves, the first opens, once.
 *
 *   pending --approve (another principal, purpose allowed)--> approved --open (the asker)--> opened
 *
 * A pending request expires after REVEAL_PENDING_MS, an approved one REVEAL_APPROVED_MS after its approval.
 *
 * Opening is committed, with its leaf, before keyd is asked: whatever happens then, one approval never gives the
 * VIN twice. When keyd fails, a second change with a leaf of its own takes the opening back, so that the approval is
 * not burned; when that change fails too (or the process dies in between), it is burned, and the asker asks anew.
 */
#ifndef VINVEIL_VEHICLE_REVEAL_H
#define VINVEIL_VEHICLE_REVEAL_H

#include "vehicle/flow.h"

#define REVEAL_PENDING_MS  ((int64_t)24 * 3600 * 1000)
#define REVEAL_APPROVED_MS ((int64_t)3600 * 1000)

struct reveal_input {
	struct uuid reference_id;
	struct span purpose;
	struct span reason; /* 1..1024 bytes */
	struct span ticket; /* at most 128; empty: none */
};

/* PURPOSE_NOT_ALLOWED, VALUE_INVALID, VIN_NOT_ALLOWED, NOT_FOUND. */
enum problem reveal_ask(struct flow_request *request, const struct reveal_input *input,
			struct reveal_request *ret_reveal);
enum problem reveal_get(struct flow_request *request, const struct uuid *id, struct reveal_request *ret_reveal);
/* SAME_PERSON for the asker, REVEAL_GONE when used or expired. What is approved already is returned as it stands. */
enum problem reveal_approve(struct flow_request *request, const struct uuid *id, struct reveal_request *ret_reveal);
/* The caller wipes *ret_vin. SAME_PERSON for anybody but the asker, REVEAL_NOT_APPROVED, REVEAL_GONE. */
enum problem reveal_open(struct flow_request *request, const struct uuid *id, struct vin *ret_vin);

/* "pending", "approved", "opened"; "expired" once its time is over. */
const char *reveal_status_name(const struct reveal_request *reveal, int64_t now_ms);

#endif
