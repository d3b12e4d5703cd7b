/*
 * A client application's key and certificate, made on the operator's machine: by `vinveil init` for the first
 * clients and by `vinveil client add` for all others. The operator root's key is read here and by no daemon.
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_CLIENT_CERTIFICATE_H
#define VINVEIL_PROGRAMS_VINVEIL_CLIENT_CERTIFICATE_H

#include "base/file.h"
#include "crypto/certificate.h"

#define CLIENT_CERTIFICATE_DAYS_DEFAULT 365

/*
 * Makes a P-256 key and its operator-profile certificate (CN = client ID) and writes them as
 * DIRECTORY/NAME.key (0600) and DIRECTORY/NAME.pem. RESULT_CONFLICT when one of them exists: nothing is overwritten.
 */
MUST_USE enum result client_certificate_make(struct issuer *operator_root, const char *directory, const char *client_id,
					     int64_t days, struct certificate_facts *ret_facts, struct note *note);

/* The operator root from its certificate and its key file (which must be private). */
MUST_USE enum result operator_root_open(const char *certificate_path, const char *key_path, struct issuer **ret_issuer,
					struct note *note);

#endif
