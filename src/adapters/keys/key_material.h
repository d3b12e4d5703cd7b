/*
 * Making, exporting and importing what the vault holds: for `vinveil init`, `vinveil keys export|import` and
 * `vinveil restore`, run with keyd stopped. Nothing here ever overwrites a key.
 */
#ifndef VINVEIL_ADAPTERS_KEYS_KEY_MATERIAL_H
#define VINVEIL_ADAPTERS_KEYS_KEY_MATERIAL_H

#include "base/buf.h"
#include "base/entropy.h"
#include "crypto/merkle.h"

/*
 * Makes the directory (0700), root.key, audit.key, device-issuer.key and empty state. RESULT_CONFLICT when any of
 * them is there. ret_issuer_csr: DER, to be signed by the device root (issuer_issue_intermediate), after which
 * keys_local_install_issuer() completes the vault.
 */
MUST_USE enum result keys_local_create(const char *directory, struct entropy *entropy, struct buf *ret_issuer_csr,
				       struct note *note);

/* Writes device-issuer.pem and device-root.pem. RESULT_INVALID when the certificate is not of device-issuer.key. */
MUST_USE enum result keys_local_install_issuer(const char *directory, struct span issuer_pem, struct span root_pem,
					       struct note *note);

/* The verifier key of the audit log (C2SP signed-note: "<origin>+<id>+<base64>"), for auditors. */
MUST_USE enum result keys_local_verifier_key(const char *directory, const char *origin, struct buf *ret_text,
					     struct note *note);

/*
 * Everything that a backup of registry and log lacks: root, audit and issuer keys, both certificates, tenants with
 * their generations, the last checkpoint, the CRL number; wrapped by the passphrase (scrypt N 2^17, r 8, p 1;
 * AES-256-GCM; doc/key-export.md). Export is written by the caller (file_create, 0600). RESULT_INVALID for a
 * passphrase shorter than KEY_EXPORT_PASSPHRASE_MIN.
 */
#define KEY_EXPORT_PASSPHRASE_MIN 12
#define KEY_EXPORT_SIZE_MAX	  ((size_t)256 << 10)
MUST_USE enum result keys_local_export(const char *directory, struct entropy *entropy, struct span passphrase,
				       struct buf *ret_export, struct note *note);
/* Into a directory without keys. RESULT_DENIED: wrong passphrase or damaged file; RESULT_INVALID: no such file. */
MUST_USE enum result keys_local_import(const char *directory, struct span export_file, struct span passphrase,
				       struct note *note);

/*
 * `restore --accept-loss`: forgets what was signed last in favour of a smaller or other tree, which the operator
 * answers for. RESULT_CONFLICT while keyd runs.
 */
MUST_USE enum result keys_local_accept_loss(const char *directory, uint64_t size, const struct merkle_hash *root,
					    struct note *note);

#endif
