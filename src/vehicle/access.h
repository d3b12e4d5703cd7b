/*
 * Who may what: client applications, their scopes, purposes, limits and state. Rights come from the
 * registry's row alone, found by the certificate's fingerprint; the certificate itself grants nothing.
 */
#ifndef VINVEIL_VEHICLE_ACCESS_H
#define VINVEIL_VEHICLE_ACCESS_H

#include "vehicle/vehicle.h"

/* Bits of a set; names by scope_name(): "vehicle:provision", … Stored: never renumber. */
enum scope {
	SCOPE_VEHICLE_PROVISION = 1 << 0,
	SCOPE_VEHICLE_READ = 1 << 1,
	SCOPE_VEHICLE_WRITE = 1 << 2,
	SCOPE_VEHICLE_ERASE = 1 << 3,
	SCOPE_AUDIT_READ = 1 << 4,
	SCOPE_REFID_LOOKUP = 1 << 5,
	SCOPE_REFID_LOOKUP_BATCH = 1 << 6,
	SCOPE_TCU_CHANGE = 1 << 7,
	SCOPE_DEVICE_MANIFEST = 1 << 8,
	SCOPE_VIN_REVEAL = 1 << 9,
	SCOPE_VIN_APPROVE = 1 << 10,
	SCOPE_SIGNAL_READ = 1 << 11,
	SCOPE_COMMAND_SEND = 1 << 12,
	SCOPE_ADMIN = 1 << 13,
	SCOPE_PLATFORM = 1 << 14,
	SCOPE_PLATFORM_AUDIT = 1 << 15,
};
#define SCOPE_COUNT 16

#define PURPOSES_MAX	   16
#define PURPOSE_LENGTH_MAX 48
#define FINGERPRINTS_MAX   2 /* two, so that a certificate can be replaced without a gap */

enum client_state { CLIENT_ACTIVE = 1, CLIENT_SUSPENDED = 2 };

struct client_limits {
	uint32_t requests_per_second; /* token bucket; a batch costs a token an item */
	uint32_t burst;
};
#define CLIENT_REQUESTS_PER_SECOND_DEFAULT 200
#define CLIENT_BURST_DEFAULT		   400

struct client {
	char id[CLIENT_ID_LENGTH_MAX + 1]; /* [a-z0-9][a-z0-9-]*: chosen by the operator, unique in the installation */
	struct tenant_id tenant;
	uint32_t scopes;
	char purposes[PURPOSES_MAX][PURPOSE_LENGTH_MAX + 1];
	size_t purpose_count;
	struct client_limits limits; /* zero: the installation's default */
	enum client_state state;
	uint8_t fingerprints[FINGERPRINTS_MAX][SHA256_SIZE];
	size_t fingerprint_count;
	int64_t created_at_ms;
	uint32_t version; /* 1 at creation, +1 a change: two changes at once never overwrite each other */
};

const char *scope_name(enum scope scope);
MUST_USE enum result scope_parse(struct span text, enum scope *ret_scope);
MUST_USE enum result client_id_parse(struct span text, char ret_id[static CLIENT_ID_LENGTH_MAX + 1]);
MUST_USE enum result purpose_parse(struct span text, char ret_purpose[static PURPOSE_LENGTH_MAX + 1]);
bool client_has_scope(const struct client *client, enum scope scope);
bool client_has_purpose(const struct client *client, const char *purpose);

#endif
