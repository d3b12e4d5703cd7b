/*
 * What a program that holds somebody else's OpenSSL object (a broker's plugin, with the certificate of a connection)
 * may know of it. The certificate's signature was verified by whoever made the connection; what is read here is who it
 * speaks of, and what for.
 */
#ifndef VINVEIL_CRYPTO_PEER_CERTIFICATE_H
#define VINVEIL_CRYPTO_PEER_CERTIFICATE_H

#include "crypto/certificate.h"

#define PEER_URI_SIZE 129 /* with its NUL */

struct peer_certificate {
	struct serial serial; /* right-aligned when shorter */
	int64_t not_before_ms, not_after_ms;
	char common_name[65];	 /* empty unless there is exactly one, of 1 to 64 printable ASCII characters */
	char uri[PEER_URI_SIZE]; /* of the SubjectAltName when that is exactly one URI; empty otherwise */
	bool has_alternative_names;
	bool is_for_clients; /* extended key usage is there and says clientAuth */
	bool is_ca;	     /* basic constraints say so, or it is of version 1 and says nothing */
};

/* x509: an X509 *, borrowed. RESULT_INVALID: it cannot be read, or its serial number is negative or too long. */
MUST_USE enum result peer_certificate_read(void *x509, struct peer_certificate *ret_certificate);
/* For an X509 * that was handed over; NULL is allowed. */
void peer_certificate_release(void *x509);

#endif
