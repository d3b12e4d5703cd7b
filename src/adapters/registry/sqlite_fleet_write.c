#include "adapters/registry/sqlite_fleet_write.h"

/* ---- commands and alerts --------------------------------------------------------------------------- */

/* status, is_final, reason_code, reason_text, result from `index` on */
static void bind_outcome(struct sql *query, int index, const struct remote_command *command)
{
	sql_number(query, index, command->status);
	sql_number(query, index + 1, command->is_final);
	sql_text_or_null(query, index + 2, command->reason_code);
	sql_text_or_null(query, index + 3, command->reason_text);
	sql_text_or_null(query, index + 4, command->result);
}

enum result write_insert_command(struct write *write, const struct remote_command *command)
{
	SQL_CLEANUP struct sql query = {0};
	struct vehicle_key key = {0};
	int64_t actor;

	if (command->version != 1)
		return RESULT_INVALID;
	TRY(write_find_vehicle(write, &command->tenant, &command->reference_id, &key));
	TRY(sqlite_db_actor(write->db, command->created_by, &actor, write->note));
	TRY(sql_begin(write->db, SQL_INSERT_COMMAND, &query, write->note));
	sql_blob(&query, 1, command->id.bytes, UUID_SIZE);
	sql_number(&query, 2, key.number);
	sql_text(&query, 3, command->name);
	sql_text(&query, 4, command->payload);
	bind_outcome(&query, 5, command);
	sql_number(&query, 10, actor);
	sql_number(&query, 11, command->created_at_ms);
	sql_number(&query, 12, command->updated_at_ms);
	sql_number(&query, 13, command->expires_at_ms);
	return write_run_unique(write, &query, REGISTRY_CONFLICT_COMMAND);
}

enum result write_update_command(struct write *write, const struct remote_command *command)
{
	SQL_CLEANUP struct sql query = {0};
	struct vehicle_key key = {0};

	TRY(write_find_vehicle(write, &command->tenant, &command->reference_id, &key));
	TRY(sql_begin(write->db, SQL_UPDATE_COMMAND, &query, write->note));
	sql_blob(&query, 1, command->id.bytes, UUID_SIZE);
	sql_number(&query, 2, key.number);
	bind_outcome(&query, 3, command);
	sql_number(&query, 8, command->updated_at_ms);
	sql_number(&query, 9, command->expires_at_ms);
	sql_number(&query, 10, command->version);
	return write_run_expecting_one(write, &query, REGISTRY_CONFLICT_COMMAND);
}

enum result write_insert_alert(struct write *write, const struct alert *alert)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant;

	TRY(write_tenant_number(write, &alert->tenant, &tenant));
	TRY(sql_begin(write->db, SQL_INSERT_ALERT, &query, write->note));
	sql_blob(&query, 1, alert->id.bytes, UUID_SIZE);
	sql_number(&query, 2, tenant);
	sql_number(&query, 3, alert->kind);
	sql_number(&query, 4, alert->at_ms);
	if (alert->has_reference_id)
		sql_blob(&query, 5, alert->reference_id.bytes, UUID_SIZE);
	sql_text(&query, 6, alert->detail);
	sql_number(&query, 7, alert->at_ms - ALERT_INTERVAL_MS);
	TRY(write_run_unique(write, &query, REGISTRY_CONFLICT_ALERT));
	return sql_changes(&query) == 1 ? RESULT_OK : write_refuse(write, REGISTRY_CONFLICT_ALERT);
}

/* ---- claims ---------------------------------------------------------------------------------------- */

enum result write_insert_claim(struct write *write, const struct claim *claim)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant;

	TRY(write_tenant_number(write, &claim->tenant, &tenant));
	TRY(sql_begin(write->db, SQL_INSERT_CLAIM, &query, write->note));
	sql_text(&query, 1, claim->name);
	sql_number(&query, 2, tenant);
	sql_blob(&query, 3, claim->serial.bytes, SERIAL_SIZE);
	sql_number(&query, 4, claim->count_max);
	sql_number(&query, 5, claim->used);
	if (claim->is_revoked)
		sql_number(&query, 6, claim->revoked_at_ms);
	sql_number(&query, 7, claim->not_after_ms);
	sql_number(&query, 8, claim->created_at_ms);
	return write_run_unique(write, &query, REGISTRY_CONFLICT_CLAIM);
}

enum result write_revoke_claim(struct write *write, const struct claim *claim)
{
	SQL_CLEANUP struct sql query = {0}, known = {0};
	int64_t tenant;

	TRY(write_tenant_number(write, &claim->tenant, &tenant));
	TRY(sql_begin(write->db, SQL_REVOKE_CLAIM, &query, write->note));
	sql_text(&query, 1, claim->name);
	sql_number(&query, 2, tenant);
	sql_number(&query, 3, claim->revoked_at_ms);
	TRY(sql_run(&query, write->note));
	if (sql_changes(&query) == 1)
		return RESULT_OK;
	/* As with certificates: revoked already is fine, absent is told. */
	TRY(sql_begin(write->db, SQL_HAS_CLAIM, &known, write->note));
	sql_text(&known, 1, claim->name);
	sql_number(&known, 2, tenant);
	return sql_row(&known, write->note);
}

enum result write_use_claim(struct write *write, const struct registry_write *what)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_USE_CLAIM, &query, write->note));
	sql_text(&query, 1, what->claim_use.name);
	sql_number(&query, 2, what->claim_use.at_ms);
	return write_run_expecting_one(write, &query, REGISTRY_CONFLICT_CLAIM);
}

/* ---- certificates issued ahead --------------------------------------------------------------------- */

static enum result claim_number(struct write *write, const struct ownership *ownership, int64_t *ret_number)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant;

	TRY(write_tenant_number(write, &ownership->tenant, &tenant));
	TRY(sql_begin(write->db, SQL_CLAIM_NUMBER, &query, write->note));
	sql_text(&query, 1, ownership->claim);
	sql_number(&query, 2, tenant);
	enum result result = sql_row(&query, write->note);
	if (result == RESULT_ABSENT)
		return write_refuse(write, REGISTRY_CONFLICT_CLAIM);
	TRY(result);
	*ret_number = sql_column_number(&query, 0);
	return RESULT_OK;
}

static enum result check_room(struct write *write, int64_t claim, int64_t at_ms)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_COUNT_WAITING_OWNERSHIPS, &query, write->note));
	sql_number(&query, 1, claim);
	sql_number(&query, 2, at_ms);
	TRY(sql_row(&query, write->note));
	return sql_column_number(&query, 0) < OWNERSHIPS_PER_CLAIM_MAX
		       ? RESULT_OK
		       : write_refuse(write, REGISTRY_CONFLICT_OWNERSHIP);
}

enum result write_insert_ownership(struct write *write, const struct ownership *ownership)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t claim = 0;

	TRY(claim_number(write, ownership, &claim));
	TRY(check_room(write, claim, ownership->created_at_ms));
	TRY(sql_begin(write->db, SQL_INSERT_OWNERSHIP, &query, write->note));
	sql_blob(&query, 1, ownership->token_sha256, SHA256_SIZE);
	sql_number(&query, 2, claim);
	sql_blob(&query, 3, ownership->reference_id.bytes, UUID_SIZE);
	sql_blob(&query, 4, ownership->serial.bytes, SERIAL_SIZE);
	sql_blob(&query, 5, ownership->spki_sha256, SHA256_SIZE);
	sql_number(&query, 6, ownership->not_before_ms);
	sql_number(&query, 7, ownership->not_after_ms);
	sql_number(&query, 8, ownership->created_at_ms);
	sql_number(&query, 9, ownership->expires_at_ms);
	sql_blob(&query, 10, ownership->csr.data, ownership->csr.size);
	return write_run_unique(write, &query, REGISTRY_CONFLICT_OWNERSHIP);
}

/* Once admitted, the certificate is one of the vehicle's and stands there; otherwise the row goes on denying it. */
enum result write_take_ownership(struct write *write, const struct registry_write *what)
{
	SQL_CLEANUP struct sql query = {0};
	enum sql_statement which = what->ownership_take.is_admitted ? SQL_ADMIT_OWNERSHIP : SQL_TAKE_OWNERSHIP;

	if (what->kind == REGISTRY_SPEND_OWNERSHIP)
		which = SQL_SPEND_OWNERSHIP;
	TRY(sql_begin(write->db, which, &query, write->note));
	sql_blob(&query, 1, what->ownership_take.token_sha256, SHA256_SIZE);
	sql_number(&query, 2, what->ownership_take.at_ms);
	return write_run_expecting_one(write, &query, REGISTRY_CONFLICT_OWNERSHIP);
}

/* ---- signal documents ------------------------------------------------------------------------------ */

enum result write_signal_document(struct write *write, const struct signal_document *document)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant;

	if (document->bytes.size > SIGNAL_DOCUMENT_SIZE_MAX)
		return RESULT_INVALID;
	TRY(write_tenant_number(write, &document->tenant, &tenant));
	TRY(sql_begin(write->db, SQL_PUT_SIGNAL_DOCUMENT, &query, write->note));
	sql_number(&query, 1, tenant);
	sql_number(&query, 2, document->kind);
	sql_text(&query, 3, document->sync_id);
	sql_number(&query, 4, document->created_at_ms);
	sql_blob(&query, 5, document->bytes.data, document->bytes.size);
	return sql_run(&query, write->note);
}
