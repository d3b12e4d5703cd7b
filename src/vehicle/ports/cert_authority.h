/*
 * Port: who issues the vehicles' certificates and signs their CRL. Blocks; thread-safe. RESULT_INVALID for a CSR
 * that is judged bad (note: a reason fit for the caller), RESULT_EXHAUSTED beyond the issuance budget.
 */
#ifndef VINVEIL_VEHICLE_PORTS_CERT_AUTHORITY_H
#define VINVEIL_VEHICLE_PORTS_CERT_AUTHORITY_H

#include "crypto/certificate.h"

#define CLAIM_DAYS_MAX 3650

struct issued_certificate {
	struct buf der;
	struct serial serial;
	uint8_t spki_sha256[SHA256_SIZE];
	int64_t not_before_ms, not_after_ms;
};

struct cert_authority;
struct cert_authority_ops {
	/* Device profile only. csr: DER. The caller releases ret_certificate->der. */
	enum result (*issue_device)(struct cert_authority *authority, const struct uuid *reference_id, struct span csr,
				    struct issued_certificate *ret_certificate, struct note *note);
	/*
	 * Claim profile: name (vehicle/claim.h) is its CN; it lives for 1 to CLAIM_DAYS_MAX days, and not longer than
	 * its issuer. For the command line alone: keyd refuses whoever is neither root nor its own user
	 * (RESULT_DENIED), so that a taken-over vinveild cannot make one. RESULT_INVALID also for a bad name or number
	 * of days.
	 */
	enum result (*issue_claim)(struct cert_authority *authority, const char *name, struct span csr, int64_t days,
				   struct issued_certificate *ret_certificate, struct note *note);
	enum result (*sign_crl)(struct cert_authority *authority, const struct revoked_certificate *revoked,
				size_t count, struct buf *ret_der, struct note *note);
	/* PEM: device issuer, then device root. */
	enum result (*get_chain)(struct cert_authority *authority, struct buf *ret_pem, struct note *note);
};

struct cert_authority {
	const struct cert_authority_ops *ops;
};

#endif
