/*
 * The vault: adapter `local` of the port vehicle/ports/key_service.h, over keys in files. keyd runs it; nobody else
 * opens it while keyd runs (the directory is locked).
 *
 *   DIRECTORY/                0700
 *     root.key                32 random bytes; every tenant key is derived from it
 *     audit.key               Ed25519, PKCS #8 PEM: signs checkpoints
 *     device-issuer.key       P-256, PKCS #8 PEM (adapters/authority/openssl.h)
 *     device-issuer.pem  device-root.pem
 *     state/{tenants,reveals,issuances,checkpoint,crl}   what must outlive a restart (durable_cell.h)
 *
 * Tenant keys: HKDF-SHA-256(root key, salt "", info = label | 00 | tenant | 00 | generation u16 BE), 32 bytes, with the
 * labels "vinveil index key v1", "vinveil sealing key v1", and "vinveil fingerprint key v1" (always generation 0, so
 * that a rotation does not disown the Idempotency-Keys of the last day).
 *
 * After keys_local_open() no file is opened any more, so that a seccomp filter can forbid it. Thread-safe.
 */
#ifndef VINVEIL_ADAPTERS_KEYS_LOCAL_H
#define VINVEIL_ADAPTERS_KEYS_LOCAL_H

#include "adapters/keys/budget.h"
#include "base/clock.h"
#include "base/entropy.h"
#include "vehicle/ports/key_service.h"

#define KEYS_TENANTS_MAX    1024
#define KEYS_ORIGIN_MAX	    128
#define KEYS_ORIGIN_DEFAULT "vinveil.example/audit"

struct keys_local_config {
	const char *directory;
	const char *origin; /* of the audit log: first line of checkpoints and name of the signing key; NULL: default */
	struct key_budgets budgets;
	struct clock *clock;	 /* NULL: clock_system() */
	struct entropy *entropy; /* NULL: entropy_system() */
};

/*
 *   RESULT_ABSENT    a file is missing: `vinveil init` or `vinveil keys import` makes them
 *   RESULT_DENIED    a key file can be read by others
 *   RESULT_CONFLICT  another process has the vault open
 *   RESULT_CORRUPT   a file fails its check
 */
MUST_USE enum result keys_local_open(const struct keys_local_config *config, struct key_service **ret_service,
				     struct note *note);
/* No call may run beside it; NULL is allowed. */
void keys_local_close(struct key_service *service);

#endif
