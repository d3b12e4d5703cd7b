/*
 * Where simulated vehicles keep what they were given: a file a vehicle, NNNNNN-REFERENCE-ID.pem (0600), with its
 * certificate, chain and private key. No VIN stands there: it follows from the seed and the number.
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_SIMULATE_CREDENTIALS_H
#define VINVEIL_PROGRAMS_VINVEIL_SIMULATE_CREDENTIALS_H

#include "base/file.h"
#include "base/uuid.h"

struct vehicle_identity {
	uint32_t number;		   /* from 1 */
	char reference_id[UUID_TEXT_SIZE]; /* empty: not provisioned yet */
	char path[PATH_SIZE];
};

/* Makes the directory when it is missing; fills in numbers 1 to count and what is known of them. */
MUST_USE enum result credentials_find(const char *directory, struct vehicle_identity *ret_identities, size_t count,
				      struct note *note);
/* Keeps a vehicle's new credentials, in place of those that it had, and fills in the identity. Thread-safe for
   different vehicles. */
MUST_USE enum result credentials_keep(const char *directory, struct vehicle_identity *identity,
				      const char *reference_id, struct span certificate, struct span chain,
				      struct span key_pem, struct note *note);

#endif
