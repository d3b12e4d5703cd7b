#include "adapters/registry/sqlite_fleet_read.h"

/* ---- rows of unknown number ------------------------------------------------------------------------ */

/* Reads the row at hand into the element. */
typedef enum result row_reader(struct sql *query, struct arena *arena, void *element);

struct rows {
	row_reader *read;
	size_t element_size;
	size_t limit;
};

/* All that the query yields, at most rows->limit. */
static enum result read_rows(struct sql *query, const struct rows *rows, struct arena *arena, void *ret_elements,
			     size_t *ret_count, struct note *note)
{
	uint8_t *elements = arena_alloc(arena, rows->limit * rows->element_size + 1);
	bool has_row = false;
	size_t count = 0;

	if (elements == NULL)
		return RESULT_MEMORY;
	TRY(sql_step(query, &has_row, note));
	while (has_row && count < rows->limit) {
		TRY(rows->read(query, arena, elements + count * rows->element_size));
		count++;
		TRY(sql_step(query, &has_row, note));
	}
	memcpy(ret_elements, &elements, sizeof(elements)); /* a pointer to the elements' own type */
	*ret_count = count;
	return RESULT_OK;
}

static enum result arena_blob(struct sql *query, int column, struct arena *arena, struct span *ret_bytes)
{
	const void *bytes = sqlite3_column_blob(query->statement, column);
	size_t size = (size_t)sqlite3_column_bytes(query->statement, column);
	uint8_t *copy = arena_alloc(arena, size + 1);

	if (copy == NULL)
		return RESULT_MEMORY;
	if (size > 0)
		memcpy(copy, bytes, size);
	*ret_bytes = span_of(copy, size);
	return RESULT_OK;
}

/* ---- what the gateway admits and refuses ----------------------------------------------------------- */

enum result read_certificate(struct sqlite_db *db, const struct serial *serial, struct certificate_record *ret_record,
			     struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct certificate_record record = {0};

	TRY(sql_begin(db, SQL_FIND_CERTIFICATE, &query, note));
	sql_blob(&query, 1, serial->bytes, SERIAL_SIZE);
	TRY(sql_row(&query, note));
	TRY(read_certificate_row(&query, &record));
	TRY(sql_column_blob(&query, 7, record.reference_id.bytes, UUID_SIZE));
	TRY(sql_column_text(&query, 8, record.tenant.text, sizeof(record.tenant.text)));
	*ret_record = record;
	return RESULT_OK;
}

static enum result denied_from_row(struct sql *query, struct arena *arena, void *element)
{
	struct denied_certificate *denied = element;

	(void)arena;
	TRY(sql_column_blob(query, 0, denied->serial.bytes, SERIAL_SIZE));
	TRY(sql_column_blob(query, 1, denied->reference_id.bytes, UUID_SIZE));
	denied->not_after_ms = sql_column_number(query, 2);
	return RESULT_OK;
}

static enum result collect_denied(struct sqlite_db *db, int64_t at_ms, struct arena *arena,
				  struct denied_certificate **ret_denied, size_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct rows rows = {denied_from_row, sizeof(**ret_denied), 0};

	TRY(read_row_count(db, SQL_COUNT_DENIED, &at_ms, &rows.limit, note));
	TRY(sql_begin(db, SQL_SCAN_DENIED, &query, note));
	sql_number(&query, 1, at_ms);
	return read_rows(&query, &rows, arena, ret_denied, ret_count, note);
}

enum result read_denied(struct sqlite_db *db, int64_t at_ms, struct arena *arena,
			struct denied_certificate **ret_denied, size_t *ret_count, struct note *note)
{
	TRY(read_begin(db, note));
	return read_end(db, collect_denied(db, at_ms, arena, ret_denied, ret_count, note), note);
}

static enum result id_from_row(struct sql *query, struct arena *arena, void *element)
{
	(void)arena;
	return sql_column_blob(query, 0, ((struct uuid *)element)->bytes, UUID_SIZE);
}

static enum result collect_suspended(struct sqlite_db *db, struct arena *arena, struct uuid **ret_ids,
				     size_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct rows rows = {id_from_row, sizeof(**ret_ids), 0};

	TRY(read_row_count(db, SQL_COUNT_SUSPENDED, NULL, &rows.limit, note));
	TRY(sql_begin(db, SQL_SCAN_SUSPENDED, &query, note));
	return read_rows(&query, &rows, arena, ret_ids, ret_count, note);
}

enum result read_suspended(struct sqlite_db *db, struct arena *arena, struct uuid **ret_ids, size_t *ret_count,
			   struct note *note)
{
	TRY(read_begin(db, note));
	return read_end(db, collect_suspended(db, arena, ret_ids, ret_count, note), note);
}

/* ---- commands -------------------------------------------------------------------------------------- */

static enum result command_from_row(struct sql *query, struct arena *arena, void *element)
{
	struct remote_command *command = element;

	TRY(sql_column_blob(query, 0, command->id.bytes, UUID_SIZE));
	TRY(sql_column_text(query, 1, command->tenant.text, sizeof(command->tenant.text)));
	TRY(sql_column_blob(query, 2, command->reference_id.bytes, UUID_SIZE));
	TRY(sql_column_text(query, 3, command->name, sizeof(command->name)));
	TRY(sql_column_arena_text(query, 4, arena, &command->payload));
	command->status = (enum command_status)sql_column_number(query, 5);
	command->is_final = sql_column_number(query, 6) != 0;
	TRY(sql_column_text(query, 7, command->reason_code, sizeof(command->reason_code)));
	TRY(sql_column_text(query, 8, command->reason_text, sizeof(command->reason_text)));
	TRY(sql_column_arena_text(query, 9, arena, &command->result));
	TRY(sql_column_text(query, 10, command->created_by, sizeof(command->created_by)));
	command->created_at_ms = sql_column_number(query, 11);
	command->updated_at_ms = sql_column_number(query, 12);
	command->expires_at_ms = sql_column_number(query, 13);
	command->version = (uint32_t)sql_column_number(query, 14);
	return RESULT_OK;
}

enum result read_command(struct sqlite_db *db, const struct tenant_id *tenant, const struct uuid *reference_id,
			 const struct uuid *command_id, struct arena *arena, struct remote_command *ret_command,
			 struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct remote_command command = {0};
	int64_t tenant_number;

	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(sql_begin(db, SQL_GET_COMMAND, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_blob(&query, 2, reference_id->bytes, UUID_SIZE);
	sql_blob(&query, 3, command_id->bytes, UUID_SIZE);
	TRY(sql_row(&query, note));
	TRY(command_from_row(&query, arena, &command));
	*ret_command = command;
	return RESULT_OK;
}

static enum result collect_commands(struct sql *query, size_t limit, struct arena *arena,
				    struct remote_command **ret_commands, size_t *ret_count, struct note *note)
{
	const struct rows rows = {command_from_row, sizeof(**ret_commands), limit};

	return read_rows(query, &rows, arena, ret_commands, ret_count, note);
}

enum result read_commands(struct sqlite_db *db, const struct tenant_id *tenant, const struct uuid *reference_id,
			  const struct uuid *before, size_t limit, struct arena *arena,
			  struct remote_command **ret_commands, size_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant_number;

	limit = read_bounded(limit);
	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(read_check_vehicle(db, tenant_number, reference_id, note));
	TRY(sql_begin(db, SQL_LIST_COMMANDS, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_blob(&query, 2, reference_id->bytes, UUID_SIZE);
	if (before != NULL)
		sql_blob(&query, 3, before->bytes, UUID_SIZE);
	sql_number(&query, 4, (int64_t)limit);
	return collect_commands(&query, limit, arena, ret_commands, ret_count, note);
}

enum result read_waiting_commands(struct sqlite_db *db, const struct tenant_id *tenant, const struct uuid *reference_id,
				  int64_t at_ms, size_t limit, struct arena *arena,
				  struct remote_command **ret_commands, size_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant_number;

	limit = read_bounded(limit);
	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(sql_begin(db, SQL_LIST_WAITING_COMMANDS, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_blob(&query, 2, reference_id->bytes, UUID_SIZE);
	sql_number(&query, 3, at_ms);
	sql_number(&query, 4, (int64_t)limit);
	return collect_commands(&query, limit, arena, ret_commands, ret_count, note);
}

enum result read_open_commands(struct sqlite_db *db, int64_t after_ms, int64_t until_ms, size_t limit,
			       struct arena *arena, struct remote_command **ret_commands, size_t *ret_count,
			       struct note *note)
{
	SQL_CLEANUP struct sql query = {0};

	limit = read_bounded(limit);
	TRY(sql_begin(db, SQL_LIST_OPEN_COMMANDS, &query, note));
	sql_number(&query, 1, after_ms);
	sql_number(&query, 2, until_ms);
	sql_number(&query, 3, (int64_t)limit);
	return collect_commands(&query, limit, arena, ret_commands, ret_count, note);
}

/* ---- alerts ---------------------------------------------------------------------------------------- */

static enum result alert_from_row(struct sql *query, struct arena *arena, void *element)
{
	struct alert *alert = element;

	(void)arena;
	alert->number = (uint64_t)sql_column_number(query, 0);
	TRY(sql_column_blob(query, 1, alert->id.bytes, UUID_SIZE));
	alert->kind = (enum alert_kind)sql_column_number(query, 2);
	alert->at_ms = sql_column_number(query, 3);
	alert->has_reference_id = !sql_column_is_null(query, 4);
	if (alert->has_reference_id)
		TRY(sql_column_blob(query, 4, alert->reference_id.bytes, UUID_SIZE));
	return sql_column_text(query, 5, alert->detail, sizeof(alert->detail));
}

enum result read_alerts(struct sqlite_db *db, const struct tenant_id *tenant, const struct alert_query *wanted,
			struct arena *arena, struct alert **ret_alerts, size_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	const struct rows rows = {alert_from_row, sizeof(**ret_alerts), read_bounded(wanted->limit)};
	int64_t tenant_number;
	struct alert *alerts;

	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(sql_begin(db, SQL_LIST_ALERTS, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_number(&query, 2, wanted->from_ms);
	sql_number(&query, 3, wanted->to_ms != 0 ? wanted->to_ms : INT64_MAX);
	sql_number(&query, 4, wanted->kind);
	sql_number(&query, 5, (int64_t)(wanted->before & INT64_MAX));
	sql_number(&query, 6, (int64_t)rows.limit);
	TRY(read_rows(&query, &rows, arena, &alerts, ret_count, note));
	for (size_t i = 0; i < *ret_count; i++)
		alerts[i].tenant = *tenant;
	*ret_alerts = alerts;
	return RESULT_OK;
}

/* ---- claims ---------------------------------------------------------------------------------------- */

static enum result claim_from_row(struct sql *query, struct arena *arena, void *element)
{
	struct claim *claim = element;

	(void)arena;
	TRY(sql_column_text(query, 0, claim->name, sizeof(claim->name)));
	TRY(sql_column_text(query, 1, claim->tenant.text, sizeof(claim->tenant.text)));
	TRY(sql_column_blob(query, 2, claim->serial.bytes, SERIAL_SIZE));
	claim->count_max = (uint32_t)sql_column_number(query, 3);
	claim->used = (uint32_t)sql_column_number(query, 4);
	claim->is_revoked = !sql_column_is_null(query, 5);
	claim->revoked_at_ms = sql_column_number(query, 5);
	claim->not_after_ms = sql_column_number(query, 6);
	claim->created_at_ms = sql_column_number(query, 7);
	return RESULT_OK;
}

static enum result one_claim(struct sql *query, struct claim *ret_claim, struct note *note)
{
	struct claim claim = {0};

	TRY(sql_row(query, note));
	TRY(claim_from_row(query, NULL, &claim));
	*ret_claim = claim;
	return RESULT_OK;
}

enum result read_claim_by_serial(struct sqlite_db *db, const struct serial *serial, struct claim *ret_claim,
				 struct note *note)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(db, SQL_FIND_CLAIM, &query, note));
	sql_blob(&query, 1, serial->bytes, SERIAL_SIZE);
	return one_claim(&query, ret_claim, note);
}

enum result read_claim(struct sqlite_db *db, const struct tenant_id *tenant, const char *name, struct claim *ret_claim,
		       struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant_number;

	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(sql_begin(db, SQL_GET_CLAIM, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_text(&query, 2, name);
	return one_claim(&query, ret_claim, note);
}

static enum result collect_claims(struct sqlite_db *db, int64_t tenant_number, struct arena *arena,
				  struct claim **ret_claims, size_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct rows rows = {claim_from_row, sizeof(**ret_claims), 0};

	TRY(read_row_count(db, SQL_COUNT_CLAIMS, &tenant_number, &rows.limit, note));
	TRY(sql_begin(db, SQL_LIST_CLAIMS, &query, note));
	sql_number(&query, 1, tenant_number);
	return read_rows(&query, &rows, arena, ret_claims, ret_count, note);
}

enum result read_claims(struct sqlite_db *db, const struct tenant_id *tenant, struct arena *arena,
			struct claim **ret_claims, size_t *ret_count, struct note *note)
{
	int64_t tenant_number;

	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(read_begin(db, note));
	return read_end(db, collect_claims(db, tenant_number, arena, ret_claims, ret_count, note), note);
}

enum result read_ownership_count(struct sqlite_db *db, const struct serial *claim, int64_t at_ms, size_t *ret_count,
				 struct note *note)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(db, SQL_COUNT_OWNERSHIPS_OF, &query, note));
	sql_blob(&query, 1, claim->bytes, SERIAL_SIZE);
	sql_number(&query, 2, at_ms);
	TRY(sql_row(&query, note));
	*ret_count = (size_t)sql_column_number(&query, 0);
	return RESULT_OK;
}

enum result read_ownership(struct sqlite_db *db, const uint8_t token_sha256[SHA256_SIZE], int64_t at_ms,
			   struct arena *arena, struct ownership *ret_ownership, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct ownership ownership = {0};

	TRY(sql_begin(db, SQL_FIND_OWNERSHIP, &query, note));
	sql_blob(&query, 1, token_sha256, SHA256_SIZE);
	sql_number(&query, 2, at_ms);
	TRY(sql_row(&query, note));
	memcpy(ownership.token_sha256, token_sha256, SHA256_SIZE);
	TRY(sql_column_text(&query, 0, ownership.claim, sizeof(ownership.claim)));
	TRY(sql_column_text(&query, 1, ownership.tenant.text, sizeof(ownership.tenant.text)));
	TRY(sql_column_blob(&query, 2, ownership.reference_id.bytes, UUID_SIZE));
	TRY(sql_column_blob(&query, 3, ownership.serial.bytes, SERIAL_SIZE));
	TRY(sql_column_blob(&query, 4, ownership.spki_sha256, SHA256_SIZE));
	ownership.not_before_ms = sql_column_number(&query, 5);
	ownership.not_after_ms = sql_column_number(&query, 6);
	ownership.created_at_ms = sql_column_number(&query, 7);
	ownership.expires_at_ms = sql_column_number(&query, 8);
	TRY(arena_blob(&query, 9, arena, &ownership.csr));
	*ret_ownership = ownership;
	return RESULT_OK;
}

/* ---- signal documents ------------------------------------------------------------------------------ */

enum result read_signal_document(struct sqlite_db *db, const struct tenant_id *tenant, enum signal_document_kind kind,
				 bool with_bytes, struct arena *arena, struct signal_document *ret_document,
				 struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct signal_document document = {.tenant = *tenant, .kind = kind};
	int64_t tenant_number;

	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(sql_begin(db, SQL_GET_SIGNAL_DOCUMENT, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_number(&query, 2, kind);
	sql_number(&query, 3, with_bytes);
	TRY(sql_row(&query, note));
	TRY(sql_column_text(&query, 0, document.sync_id, sizeof(document.sync_id)));
	document.created_at_ms = sql_column_number(&query, 1);
	if (with_bytes)
		TRY(arena_blob(&query, 2, arena, &document.bytes));
	*ret_document = document;
	return RESULT_OK;
}
