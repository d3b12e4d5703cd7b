/* The names and sizes of the files in a vault (local.h), shared by those who make, open and export it. */
#ifndef VINVEIL_ADAPTERS_KEYS_VAULT_FILES_H
#define VINVEIL_ADAPTERS_KEYS_VAULT_FILES_H

#include "adapters/keys/budget.h"
#include "adapters/keys/local.h"
#include "base/file.h"
#include "crypto/digest.h"

#define VAULT_ROOT_KEY	  "root.key"
#define VAULT_AUDIT_KEY	  "audit.key"
#define VAULT_ISSUER_KEY  "device-issuer.key"
#define VAULT_ISSUER_PEM  "device-issuer.pem"
#define VAULT_DEVICE_ROOT "device-root.pem"
#define VAULT_STATE	  "state"
#define VAULT_TENANTS	  "state/tenants"
#define VAULT_REVEALS	  "state/reveals"
#define VAULT_ISSUANCES	  "state/issuances"
#define VAULT_CHECKPOINT  "state/checkpoint"
#define VAULT_CRL	  "state/crl"

#define ROOT_KEY_SIZE	     32
#define TENANT_RECORD_SIZE   (TENANT_ID_LENGTH_MAX + 2 + 2) /* ID filled with zeros | newest u16 | oldest u16 */
#define TENANTS_CELL_SIZE    (2 + KEYS_TENANTS_MAX * TENANT_RECORD_SIZE)
#define REVEALS_CELL_SIZE    (2 + BUDGET_REVEALS_MAX * 8)
#define ISSUANCES_CELL_SIZE  16
#define CHECKPOINT_CELL_SIZE (8 + SHA256_SIZE) /* size u64 | root */
#define CRL_CELL_SIZE	     8		       /* number u64 */

/* RESULT_CONFLICT when any of the files is there: asked first, so that a vault is left exactly as it is. */
MUST_USE enum result vault_check_none(const char *directory, struct note *note);
/* 0600; RESULT_CONFLICT when it is there. */
MUST_USE enum result vault_create_file(const char *directory, const char *name, struct span content, struct note *note);

/* What a vault starts with, or goes on with after an import: contents of cells. Budgets start unused. */
struct vault_state {
	struct span tenants, checkpoint, crl;
};
MUST_USE enum result vault_create_state(const char *directory, const struct vault_state *state, struct note *note);
MUST_USE enum result vault_create_empty_state(const char *directory, struct note *note);

#endif
