/*
 * PKCS #7 (CMS, RFC 5652) in the one form that is needed: certificates and nothing else, no content and no signers, as
 * EST answers with them (RFC 7030 section 4.1.3, "certs-only").
 */
#ifndef VINVEIL_CRYPTO_PKCS7_H
#define VINVEIL_CRYPTO_PKCS7_H

#include "crypto/certificate.h"

/* pem: one certificate or more, kept in their order. Appends the DER. RESULT_INVALID when there is none. */
MUST_USE enum result pkcs7_wrap_certificates(struct span pem, struct buf *ret_der, struct note *note);

#endif
