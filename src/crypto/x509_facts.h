/*
 * Single facts of a parsed certificate; what certificate.h and tls.h both read. Private to crypto/.
 */
#ifndef VINVEIL_CRYPTO_X509_FACTS_H
#define VINVEIL_CRYPTO_X509_FACTS_H

#include "crypto/certificate.h"
#include "crypto/library.h"

#define COMMON_NAME_SIZE 65 /* ub-common-name 64 (RFC 5280 appendix A) and a NUL */

/* SHA-256 of the DER. */
MUST_USE enum result x509_fingerprint(X509 *certificate, uint8_t ret_fingerprint[static SHA256_SIZE]);
MUST_USE enum result x509_validity(const X509 *certificate, int64_t *ret_not_before_ms, int64_t *ret_not_after_ms);
/* Empty unless there is exactly one, of 1 to 64 printable ASCII characters. */
void x509_common_name(const X509 *certificate, char ret_name[static COMMON_NAME_SIZE]);
/* Right-aligned when shorter. RESULT_INVALID when it is negative or longer than SERIAL_SIZE. */
MUST_USE enum result x509_serial(const X509 *certificate, struct serial *ret_serial);

#endif
