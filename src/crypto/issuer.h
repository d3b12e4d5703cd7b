/*
 * What an issuer is inside; shared by issuing and CRLs. Private to crypto/.
 */
#ifndef VINVEIL_CRYPTO_ISSUER_H
#define VINVEIL_CRYPTO_ISSUER_H

#include "crypto/certificate.h"
#include "crypto/library.h"

struct issuer {
	X509 *certificate;
	struct private_key *key;
	int64_t not_before_ms, not_after_ms;
};

/* RESULT_INVALID before 1970 and after 9999. The caller frees; milliseconds are cut off. */
MUST_USE enum result time_from_ms(int64_t at_ms, ASN1_TIME **ret_time);

#endif
