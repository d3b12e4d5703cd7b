/*
 * Adapter `openssl` of the port vehicle/ports/cert_authority.h: the device issuer whose key lies in the vault's
 * directory (adapters/keys/local.h). Issues device and claim certificates and CRLs, nothing else. Its issuance budget
 * and CRL number are durable. After opening, no file is opened any more. Thread-safe.
 */
#ifndef VINVEIL_ADAPTERS_AUTHORITY_OPENSSL_H
#define VINVEIL_ADAPTERS_AUTHORITY_OPENSSL_H

#include "base/clock.h"
#include "base/entropy.h"
#include "vehicle/ports/cert_authority.h"

#define AUTHORITY_DEVICE_DAYS_DEFAULT 90
#define AUTHORITY_CRL_DAYS_DEFAULT    7

struct authority_openssl_config {
	const char *directory; /* the vault's */
	int64_t device_days;   /* validity of a device certificate; never beyond the issuer's own end; 0: default */
	int64_t crl_days;      /* nextUpdate; 0: default */
	int64_t issuances_per_hour;
	struct clock *clock;	 /* NULL: clock_system() */
	struct entropy *entropy; /* NULL: entropy_system() */
};

/* Results as keys_local_open(), which locks the directory for both. */
MUST_USE enum result authority_openssl_open(const struct authority_openssl_config *config,
					    struct cert_authority **ret_authority, struct note *note);
void authority_openssl_close(struct cert_authority *authority);

#endif
