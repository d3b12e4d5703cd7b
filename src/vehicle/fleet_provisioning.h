/*
 * Fleet provisioning by claim, in two steps, as AWS IoT has it: a certificate is issued ahead for a CSR, with a token
 * that proves to whom; then the token, a VIN and a device become a vehicle. Between the two the certificate is an
 * ownership in the registry (claim.h), and the gateway denies it.
 *
 * The certificate's name is the Reference ID, which is not known yet. So it is issued under a fresh one, which becomes
 * that of a VIN seen for the first time; or, when the CSR's common name is a device that is attached to a vehicle of
 * the claim's tenant without a live certificate, under that vehicle's own. A known vehicle whose name it is not gets
 * another certificate for the same key, and the first is denied to its end.
 *
 * A claim's key lies in every unit of a batch, so it may be in the wrong hands. What it can ask is therefore bounded:
 * OWNERSHIPS_PER_CLAIM_MAX wait at once, each for an hour or until it is provisioned, which the claim's count bounds;
 * and each answer that tells something of a VIN costs a token, whose ownership goes on waiting.
 */
#ifndef VINVEIL_VEHICLE_FLEET_PROVISIONING_H
#define VINVEIL_VEHICLE_FLEET_PROVISIONING_H

#include "vehicle/claims.h"
#include "vehicle/provisioning.h"

#define OWNERSHIP_TOKEN_BYTES  32
#define OWNERSHIP_TOKEN_LENGTH (2 * OWNERSHIP_TOKEN_BYTES) /* lower-case hex */

/* Zero-initialised is releasable; release wipes the token. */
struct claimed_certificate {
	char token[OWNERSHIP_TOKEN_LENGTH + 1];
	struct buf der;
};
void claimed_certificate_release(struct claimed_certificate *certificate);
#define CLAIMED_CERTIFICATE_CLEANUP __attribute__((cleanup(claimed_certificate_release)))

/*
 * claim: as claims_authenticate() found it; the request is of its tenant. csr: PEM, or base64 of DER. CSR_INVALID;
 * RATE_LIMITED when too many wait. When it returns NONE the gateway denies the certificate already.
 */
enum problem fleet_provisioning_create(struct flow_request *request, const struct claim *claim, struct span csr,
				       struct claimed_certificate *ret_certificate);

struct claimed_provisioning {
	struct span token;
	struct span vin; /* secret; the owner wipes it */
	struct span device_id;
};

/*
 * As provisioning_run() with the certificate that the token is of: credentials in the answer are to be used in its
 * place. OWNERSHIP_INVALID alike for a token that is unknown, used, over, or another claim's. A refusal after the VIN
 * was looked up has used the token.
 */
enum problem fleet_provisioning_run(struct flow_request *request, const struct claim *claim,
				    const struct claimed_provisioning *input, struct provisioned *ret_provisioned);

#endif
