/*
 * Provisioning (product flow 1; rules 1, 2, 3, 5, 7): a VIN and a device become a vehicle under a new
 * Reference ID, with a certificate; a VIN that is known is validated against its row, and gets a certificate
 * only when it has none that lives.
 *
 * Requests at once for one VIN or one device can make only one vehicle, because the registry's unique indexes
 * decide; who loses reads the row that won and goes on as if it had come later. A certificate that was signed for
 * the losing side is dropped before anybody sees it.
 */
#ifndef VINVEIL_VEHICLE_PROVISIONING_H
#define VINVEIL_VEHICLE_PROVISIONING_H

#include "vehicle/certificates.h"

#include <jansson.h>

#define PURPOSE_PROVISIONING "provisioning"

/* What the body said, unjudged. Borrowed. */
struct provisioning {
	struct span vin; /* secret; the owner wipes it */
	struct span device_id;
	struct span csr;		  /* PEM, or base64 of DER; empty: the key is made here */
	const json_t *attributes;	  /* an object, for a new vehicle; NULL: none */
	const struct ownership *prepared; /* a certificate that was issued ahead, through a claim; NULL: none. Its
					     Reference ID becomes a new vehicle's; its key is the only one asked for */
	const struct serial *superseded;  /* replay of an answer that held a private key (rule 11): this one, when
					     live, is revoked and replaced; NULL otherwise */
};

struct provisioned {
	bool is_created; /* 201, else 200 */
	struct vehicle vehicle;
	bool has_credentials; /* the prepared certificate counts as none: whoever asks has it */
	struct credentials credentials;
	bool check_digit_fails; /* only under policy warn: the answer carries a warning */
};
/* Wipes the key. */
void provisioned_release(struct provisioned *provisioned);
#define PROVISIONED_CLEANUP __attribute__((cleanup(provisioned_release)))

/*
 * With a prepared certificate the vehicle always gets one, or the request is refused: CERTIFICATE_LIMIT when one lives;
 * CLAIM_REFUSED and OWNERSHIP_INVALID when claim or token are no longer good (they are used in the same change).
 */
enum problem provisioning_run(struct flow_request *request, const struct provisioning *input,
			      struct provisioned *ret_provisioned);

#endif
