/*
 * The registry's questions about connected vehicles: commands, alerts, claims, what the device gateway must refuse,
 * signal documents. Each over one connection, as in sqlite_read.h.
 */
#ifndef VINVEIL_ADAPTERS_REGISTRY_SQLITE_FLEET_READ_H
#define VINVEIL_ADAPTERS_REGISTRY_SQLITE_FLEET_READ_H

#include "adapters/registry/sqlite_read.h"

MUST_USE enum result read_certificate(struct sqlite_db *db, const struct serial *serial,
				      struct certificate_record *ret_record, struct note *note);
MUST_USE enum result read_denied(struct sqlite_db *db, int64_t at_ms, struct arena *arena,
				 struct denied_certificate **ret_denied, size_t *ret_count, struct note *note);
MUST_USE enum result read_suspended(struct sqlite_db *db, struct arena *arena, struct uuid **ret_ids, size_t *ret_count,
				    struct note *note);

MUST_USE enum result read_command(struct sqlite_db *db, const struct tenant_id *tenant, const struct uuid *reference_id,
				  const struct uuid *command_id, struct arena *arena,
				  struct remote_command *ret_command, struct note *note);
/* before: NULL for the newest. */
MUST_USE enum result read_commands(struct sqlite_db *db, const struct tenant_id *tenant,
				   const struct uuid *reference_id, const struct uuid *before, size_t limit,
				   struct arena *arena, struct remote_command **ret_commands, size_t *ret_count,
				   struct note *note);
MUST_USE enum result read_waiting_commands(struct sqlite_db *db, const struct tenant_id *tenant,
					   const struct uuid *reference_id, int64_t at_ms, size_t limit,
					   struct arena *arena, struct remote_command **ret_commands, size_t *ret_count,
					   struct note *note);
MUST_USE enum result read_open_commands(struct sqlite_db *db, int64_t after_ms, int64_t until_ms, size_t limit,
					struct arena *arena, struct remote_command **ret_commands, size_t *ret_count,
					struct note *note);
MUST_USE enum result read_alerts(struct sqlite_db *db, const struct tenant_id *tenant, const struct alert_query *query,
				 struct arena *arena, struct alert **ret_alerts, size_t *ret_count, struct note *note);

MUST_USE enum result read_claim_by_serial(struct sqlite_db *db, const struct serial *serial, struct claim *ret_claim,
					  struct note *note);
MUST_USE enum result read_claim(struct sqlite_db *db, const struct tenant_id *tenant, const char *name,
				struct claim *ret_claim, struct note *note);
MUST_USE enum result read_claims(struct sqlite_db *db, const struct tenant_id *tenant, struct arena *arena,
				 struct claim **ret_claims, size_t *ret_count, struct note *note);
MUST_USE enum result read_ownership_count(struct sqlite_db *db, const struct serial *claim, int64_t at_ms,
					  size_t *ret_count, struct note *note);
MUST_USE enum result read_ownership(struct sqlite_db *db, const uint8_t token_sha256[SHA256_SIZE], int64_t at_ms,
				    struct arena *arena, struct ownership *ret_ownership, struct note *note);
MUST_USE enum result read_signal_document(struct sqlite_db *db, const struct tenant_id *tenant,
					  enum signal_document_kind kind, bool with_bytes, struct arena *arena,
					  struct signal_document *ret_document, struct note *note);

#endif
