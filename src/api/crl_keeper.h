/*
 * The CRL as it is served (product rule 16): signed anew at each revocation and daily, kept in memory and in a file,
 * so that a restart serves one at once. Thread-safe.
 */
#ifndef VINVEIL_API_CRL_KEEPER_H
#define VINVEIL_API_CRL_KEEPER_H

#include "vehicle/flow.h"

#define CRL_PERIOD_MS ((int64_t)24 * 3600 * 1000)
#define CRL_RETRY_MS  5000

struct crl_keeper;

/* Reads the file if it is there; the first signing is due at once. */
MUST_USE enum result crl_keeper_open(const struct platform *platform, const char *path, struct crl_keeper **ret_keeper,
				     struct note *note);
void crl_keeper_close(struct crl_keeper *keeper);

/* Certificates were revoked: sign anew soon. Never blocks. */
void crl_keeper_mark(struct crl_keeper *keeper);

/* Signs anew when it is due. Blocks; called by housekeeping. RESULT_OK also when nothing was due. */
MUST_USE enum result crl_keeper_work(struct crl_keeper *keeper, struct note *note);

/* Appends a copy of the DER; RESULT_ABSENT when there is none yet. */
MUST_USE enum result crl_keeper_copy(struct crl_keeper *keeper, struct buf *ret_der);

#endif
