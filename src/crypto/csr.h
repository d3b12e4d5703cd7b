/*
 * A CSR that was judged, for those who issue from it. Private to crypto/.
 */
#ifndef VINVEIL_CRYPTO_CSR_H
#define VINVEIL_CRYPTO_CSR_H

#include "crypto/library.h"

/* As csr_check(); the caller frees the parsed request. */
MUST_USE enum result csr_parse(struct span der, X509_REQ **ret_request, struct note *note);

#endif
