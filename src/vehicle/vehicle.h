/*
 * The vehicle's record and its lifecycle. The registry row is the one source of truth of the tie between
 * Reference ID, device and (sealed) VIN.
 */
#ifndef VINVEIL_VEHICLE_VEHICLE_H
#define VINVEIL_VEHICLE_VEHICLE_H

#include "base/uuid.h"
#include "crypto/certificate.h"
#include "vehicle/tenant.h"

#define DEVICE_ID_LENGTH_MAX 64
#define DEVICE_ID_SIZE	     (DEVICE_ID_LENGTH_MAX + 1)
#define ATTRIBUTES_SIZE_MAX  8192
#define SEALED_VIN_SIZE	     64

/* The VIN under a key that only keyd can derive, bound to tenant, Reference ID and generation; opaque here. */
struct sealed_vin {
	uint8_t bytes[SEALED_VIN_SIZE];
};

/* Stored values: never renumber. */
enum vehicle_state {
	VEHICLE_PROVISIONED = 1,
	VEHICLE_ACTIVE = 2,
	VEHICLE_SUSPENDED = 3,
	VEHICLE_DECOMMISSIONED = 4,
};

struct vehicle {
	struct uuid reference_id;
	struct tenant_id tenant;
	char device_id[DEVICE_ID_SIZE]; /* empty: none (null on the wire) */
	enum vehicle_state state;
	enum vehicle_state state_before_suspension; /* meaningful while suspended */
	struct sealed_vin sealed;
	int64_t created_at_ms, updated_at_ms;
	uint32_t version;	/* 1 at creation, +1 a change; the ETag */
	const char *attributes; /* a JSON object as text, in the reader's arena; NULL: {} */
};

/* What can happen to a vehicle's state. */
enum vehicle_event {
	VEHICLE_CONNECTS,
	VEHICLE_IS_SUSPENDED,
	VEHICLE_IS_RESUMED,
	VEHICLE_CHANGES_DEVICE, /* TCU update or delete */
	VEHICLE_IS_DECOMMISSIONED,
};

const char *vehicle_state_name(enum vehicle_state state);
MUST_USE enum result vehicle_state_parse(struct span text, enum vehicle_state *ret_state);
/* The one transition table (product rule 2). RESULT_CONFLICT when the event is not allowed in the state. */
MUST_USE enum result vehicle_transition(const struct vehicle *vehicle, enum vehicle_event event,
					enum vehicle_state *ret_state);

/* 1..64 printable ASCII characters without space. RESULT_INVALID. */
MUST_USE enum result device_id_parse(struct span text, char ret_device_id[static DEVICE_ID_SIZE]);

/* Stored values: never renumber. */
enum history_event {
	HISTORY_PROVISIONED = 1,
	HISTORY_DEVICE_CHANGED = 2,
	HISTORY_DEVICE_REMOVED = 3,
	HISTORY_CERTIFICATE_ISSUED = 4,
	HISTORY_CERTIFICATE_REVOKED = 5,
	HISTORY_STATE_CHANGED = 6,
	HISTORY_REFERENCE_ID_ROTATED = 7,
	HISTORY_ATTRIBUTES_CHANGED = 8,
};
const char *history_event_name(enum history_event event);

#define CLIENT_ID_LENGTH_MAX 64

/* One line of a vehicle's history. Unused texts are empty. */
struct history_entry {
	uint64_t number; /* registry's order, for paging; 0 in a write */
	int64_t at_ms;
	char actor[CLIENT_ID_LENGTH_MAX + 1];
	enum history_event event;
	char from[DEVICE_ID_SIZE], to[DEVICE_ID_SIZE]; /* device IDs or state names, by event */
	bool has_serial;
	struct serial serial;
	enum revocation_reason reason;
};

/* A certificate that was issued to a vehicle's device. */
struct certificate_record {
	struct serial serial;
	struct uuid reference_id;
	struct tenant_id tenant;
	char device_id[DEVICE_ID_SIZE];
	uint8_t spki_sha256[SHA256_SIZE];
	int64_t not_before_ms, not_after_ms;
	bool is_revoked;
	int64_t revoked_at_ms;
	enum revocation_reason reason;
};

/* A line of the manufacturer's manifest. */
struct device_manifest_entry {
	struct tenant_id tenant;
	char device_id[DEVICE_ID_SIZE];
	char model[65], manufacturer[65]; /* empty: not said */
	bool has_key;
	uint8_t public_key_sha256[SHA256_SIZE]; /* of the DER SubjectPublicKeyInfo */
};

#endif
