/*
 * Claims (claim.h): their administration, within the caller's own tenant, and who a claim certificate speaks for. The
 * certificate itself is made beside keyd, by root (`vinveil claim add`); here it is made known, with its limits.
 */
#ifndef VINVEIL_VEHICLE_CLAIMS_H
#define VINVEIL_VEHICLE_CLAIMS_H

#include "vehicle/flow.h"

#define CLAIM_COUNT_MAX 10000000

/*
 * name: its certificate's common name. certificate_pem: of the device issuer, of the claim profile, not expired; the
 * claim ends with it. count_max: 1 to CLAIM_COUNT_MAX. VALUE_INVALID with a detail; VIN_NOT_ALLOWED;
 * ALREADY_EXISTS (name or certificate).
 */
struct claim_registration {
	struct span name;
	struct span certificate_pem;
	int64_t count_max;
};
enum problem claims_register(struct flow_request *request, const struct claim_registration *registration,
			     struct claim *ret_claim);

/* Oldest first, in the request's arena. */
enum problem claims_list(struct flow_request *request, struct claim **ret_claims, size_t *ret_count);
enum problem claims_get(struct flow_request *request, const char *name, struct claim *ret_claim);

/* From the answer on nobody gets anything by it, and its sessions at the gateway end. Revoking again changes nothing.
 */
enum problem claims_revoke(struct flow_request *request, const char *name, struct claim *ret_claim);

/* "active", "revoked", "expired", "used-up" */
const char *claim_state_name(const struct claim *claim, int64_t now_ms);

/*
 * Whose request is it that a claim certificate asks for? UNAUTHENTICATED: nobody's. CLAIM_REFUSED: it is revoked, over
 * or used up; *ret_claim is set then, too, because the refusal is its tenant's. Else as problem_of_result(). What uses
 * the claim says so in its change set (REGISTRY_USE_CLAIM), which decides.
 */
enum problem claims_authenticate(const struct platform *platform, const struct serial *serial, struct claim *ret_claim,
				 struct note *note);

#endif
