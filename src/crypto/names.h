/*
 * Who a CSR asks to be, and who a certificate says it is, for a renewal, in which the two must be the same (RFC 7030
 * section 4.2.2). Read by a strict DER reader; the spans point into what was read.
 */
#ifndef VINVEIL_CRYPTO_NAMES_H
#define VINVEIL_CRYPTO_NAMES_H

#include "crypto/certificate.h"

struct certified_names {
	struct span subject;	  /* Name, with tag and length */
	struct span alternatives; /* GeneralNames of the SubjectAltName, with tag and length; empty: it has none */
};

/*
 * Of a CSR in DER: the extensions that it asks for (RFC 2985 section 5.4.2) are looked through. RESULT_INVALID when it
 * is no CSR, or says the same thing twice. Its signature is not looked at.
 */
MUST_USE enum result csr_read_names(struct span der, struct certified_names *ret_names);
MUST_USE enum result certificate_read_names(struct span der, struct certified_names *ret_names);

/*
 * Byte for byte, but that a text may be a PrintableString on one side and a UTF8String on the other: the same letters
 * are the same name (RFC 5280 section 7.1), and clients do not agree on how to write them.
 */
bool names_are_same(const struct certified_names *one, const struct certified_names *other);

/* The one common name of a subject, of 1 to 64 printable ASCII characters. RESULT_INVALID when it is another or none.
 */
MUST_USE enum result names_read_common_name(const struct certified_names *names, char ret_name[static 65]);

#endif
