/*
 * X.509 extensions, built as values and not from configuration text, so that no name in them can be
 * misread as syntax. All return false when the memory is used up. Private to crypto/.
 */
#ifndef VINVEIL_CRYPTO_EXTENSION_H
#define VINVEIL_CRYPTO_EXTENSION_H

#include "crypto/library.h"

/* Bits of KeyUsage, RFC 5280 section 4.2.1.3. */
enum { USAGE_DIGITAL_SIGNATURE = 0, USAGE_KEY_CERT_SIGN = 5, USAGE_CRL_SIGN = 6 };

/* Critical. path_length < 0: unlimited. */
bool extension_add_ca(X509 *certificate, int path_length);
bool extension_add_not_ca(X509 *certificate);
/* Critical. second < 0: none. */
bool extension_add_key_usage(X509 *certificate, int first, int second);
bool extension_add_purpose(X509 *certificate, int purpose_nid);
/* From the certificate's own public key: 160 bits of SHA-256 (RFC 7093 section 2, method 1). */
bool extension_add_subject_key(X509 *certificate);

/* AuthorityKeyIdentifier with the key ID alone; the caller frees. NULL when the memory is used up. */
AUTHORITY_KEYID *authority_key_make(const ASN1_OCTET_STRING *key_id);
bool extension_add_authority_key(X509 *certificate, const ASN1_OCTET_STRING *key_id);

/* SubjectAltName grows name by name and is then added whole, not critical: the subject is never empty. */
bool names_add_uri(GENERAL_NAMES *names, const char *uri);
/* DNS name, or numeric IP address. */
bool names_add_host(GENERAL_NAMES *names, const char *host);
bool extension_add_names(X509 *certificate, GENERAL_NAMES *names);

#endif
