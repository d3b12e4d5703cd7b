/*
 * How simulated vehicles get their Reference IDs and certificates: through the API, as a factory does it (in parallel),
 * or over MQTT with a claim certificate, as telematics units do it themselves (AWS IoT's fleet provisioning topics).
 * Keys are made here; VINs follow from seed and number.
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_SIMULATE_PROVISION_H
#define VINVEIL_PROGRAMS_VINVEIL_SIMULATE_PROVISION_H

#include "programs/vinveil/command.h"
#include "programs/vinveil/mqtt_loop.h"
#include "programs/vinveil/simulate_credentials.h"

struct provisioning {
	const struct invocation *invocation; /* says where the API is and as whom */
	const char *directory;		     /* of the credentials */
	uint32_t seed;
	struct vehicle_identity *vehicles; /* those without a Reference ID get one */
	size_t count;
	size_t parallel;
	const volatile int *is_stopped;
	/* for claims */
	const struct mqtt_endpoint *endpoint;
	const char *claim_certificate, *claim_key, *template_name;
};

struct provisioning_counts {
	size_t wanted, done;
	double seconds;
};

/* Tells the manifest of their devices through the API. An exit code, with the error told. */
int provision_devices(const struct provisioning *provisioning);
/* EXIT_DONE when every vehicle has credentials. */
int provision_by_api(const struct provisioning *provisioning, struct provisioning_counts *ret_counts);
int provision_by_claim(const struct provisioning *provisioning, struct provisioning_counts *ret_counts);

/* ---- what both do ----------------------------------------------------------------------------------------- */

/* Vehicles without a Reference ID. */
size_t provisioning_count_wanted(const struct provisioning *provisioning);

/* A key of its own for a vehicle, and a CSR for it as PEM. Both bufs are appended to. */
MUST_USE enum result vehicle_make_key(struct buf *ret_key_pem, struct buf *ret_csr_pem, struct note *note);

#endif
