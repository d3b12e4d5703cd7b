/*
 * A vehicle's certificates (product rule 1). A certificate is live while it is issued to the vehicle's current
 * device, unexpired and unrevoked; a vehicle has at most CERTIFICATES_LIVE_MAX. Issuing and revoking move the
 * vehicle's version, so that two requests at once can never pass that bound together.
 */
#ifndef VINVEIL_VEHICLE_CERTIFICATES_H
#define VINVEIL_VEHICLE_CERTIFICATES_H

#include "vehicle/flow.h"

#define CERTIFICATES_LIVE_MAX 2

/* What a vehicle needs to connect. Zero-initialised is releasable; release wipes the private key. */
struct credentials {
	struct buf certificate_pem;
	struct buf chain_pem;	    /* device issuer, then device root */
	struct buf private_key_pem; /* empty unless made here: given out once, kept nowhere */
	struct serial serial;
	int64_t not_before_ms, not_after_ms;
};
#define CREDENTIALS_CLEANUP __attribute__((cleanup(credentials_release)))
void credentials_release(struct credentials *credentials);

struct certificate_renewal {
	struct span csr;	       /* PEM, or base64 of DER */
	bool revoke_others;	       /* the key is lost, or may be: what is live now is revoked in the same change */
	enum revocation_reason reason; /* with revoke_others; REVOCATION_UNSPECIFIED becomes superseded */
};

/*
 * A further certificate for the vehicle's current device. PROBLEM_CSR_INVALID, KEY_MISMATCH, KEY_REUSED,
 * CERTIFICATE_LIMIT (two live, and revoke_others not asked for), VEHICLE_NOT_PROVISIONABLE (suspended or
 * decommissioned), DEVICE_MISMATCH (it has no device).
 */
enum problem certificates_renew(struct flow_request *request, const struct uuid *reference_id,
				const struct certificate_renewal *renewal, struct credentials *ret_credentials);

bool certificate_is_live(const struct certificate_record *record, const struct vehicle *vehicle, int64_t now_ms);

/* The CRL as of now: whatever is revoked and has not expired. Blocks; thread-safe. */
MUST_USE enum result crl_make(const struct platform *platform, struct buf *ret_der, struct note *note);

#endif
