/*
 * A device authority in this process: a real issuer under a fresh root. Counts what it signs, and can be made
 * to fail.
 */
#ifndef VINVEIL_TESTS_FAKE_AUTHORITY_H
#define VINVEIL_TESTS_FAKE_AUTHORITY_H

#include "base/clock.h"
#include "vehicle/ports/cert_authority.h"

#include <stdatomic.h>

#define FAKE_VALIDITY_MS ((int64_t)90 * 24 * 3600 * 1000)

struct fake_authority {
	struct cert_authority authority;
	struct issuer *issuer;
	struct buf certificate_pem;
	struct clock *clock;
	enum result issue_result; /* RESULT_OK: works */
	atomic_int issued;
	size_t revoked_count; /* on the last CRL */
};

enum result fake_authority_init(struct fake_authority *authority, struct clock *clock);
void fake_authority_release(struct fake_authority *authority);

#endif
