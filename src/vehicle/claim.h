/*
 * Claims: what a batch of new telematics units leaves the factory with, to fetch certificates of their own (fleet
 * provisioning by claim, EST simpleenroll). A claim certificate may do nothing else; it is limited in count, time and
 * tenant, and revocable. Ownership: a certificate that was issued ahead of its vehicle, denied at the gateway until the
 * vehicle is provisioned with its token (one hour, once).
 */
#ifndef VINVEIL_VEHICLE_CLAIM_H
#define VINVEIL_VEHICLE_CLAIM_H

#include "vehicle/vehicle.h"

#define CLAIM_NAME_LENGTH_MAX	 48 /* [a-z0-9][a-z0-9-]*, unique in the installation; the certificate's CN */
#define OWNERSHIP_LIFETIME_MS	 ((int64_t)60 * 60 * 1000)
#define OWNERSHIPS_PER_CLAIM_MAX 1024 /* that wait at once */

struct claim {
	char name[CLAIM_NAME_LENGTH_MAX + 1];
	struct tenant_id tenant;
	struct serial serial; /* of its certificate */
	uint32_t count_max;   /* vehicles that may be given certificates through it */
	uint32_t used;
	bool is_revoked;
	int64_t revoked_at_ms;
	int64_t not_after_ms;
	int64_t created_at_ms;
};

/* RESULT_INVALID for what is no name of a claim, one of UUID form too: only a vehicle's certificate has such a CN. */
MUST_USE enum result claim_name_parse(struct span text, char ret_name[static CLAIM_NAME_LENGTH_MAX + 1]);

struct ownership {
	uint8_t token_sha256[SHA256_SIZE];
	char claim[CLAIM_NAME_LENGTH_MAX + 1];
	struct tenant_id tenant;
	struct uuid reference_id; /* the CN it was issued under */
	struct serial serial;
	uint8_t spki_sha256[SHA256_SIZE];
	int64_t not_before_ms, not_after_ms;
	int64_t created_at_ms, expires_at_ms;
	struct span csr; /* DER, in the reader's arena: another certificate may have to be issued for the same key */
};

#endif
