#include "adapters/registry/sqlite_schema.h"

#include "adapters/registry/sqlite_db.h"

/*
 * Small numbers stand for what repeats (tenant, actor, state, event), times that mostly equal another are kept as the
 * distance to it: SQLite stores 0, 1 and NULL in no byte at all. doc/registry-format.md explains each table.
 */
static const char migration_1[] =
	"PRAGMA application_id = " SQLITE_REGISTRY_ID ";"

	"CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT;"

	"CREATE TABLE probe (number INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;"

	"CREATE TABLE tenant (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, check_digit INTEGER NOT NULL,"
	" manifest_required INTEGER NOT NULL, created_at INTEGER NOT NULL,"
	" dropped_generation INTEGER NOT NULL DEFAULT 0) STRICT;"

	"CREATE TABLE actor (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"

	"CREATE TABLE vehicle (number INTEGER PRIMARY KEY, reference_id BLOB NOT NULL, tenant INTEGER NOT NULL,"
	" device_id TEXT, state INTEGER NOT NULL, state_before INTEGER, sealed BLOB NOT NULL,"
	" generation INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_after INTEGER NOT NULL,"
	" version INTEGER NOT NULL, attributes TEXT) STRICT;" SQL_INDEX_REFERENCE_ID ";" SQL_INDEX_DEVICE_ID
	";" SQL_INDEX_STATE ";"

	"CREATE TABLE generation_count (tenant INTEGER NOT NULL, generation INTEGER NOT NULL,"
	" vehicles INTEGER NOT NULL, PRIMARY KEY (tenant, generation)) STRICT, WITHOUT ROWID;"

	"CREATE TABLE vin_index (tenant INTEGER NOT NULL, generation INTEGER NOT NULL, vin_index BLOB NOT NULL,"
	" vehicle INTEGER NOT NULL, reference_id BLOB NOT NULL, PRIMARY KEY (tenant, generation, vin_index))"
	" STRICT, WITHOUT ROWID;"

	"CREATE TABLE history (vehicle INTEGER NOT NULL, number INTEGER NOT NULL, after INTEGER NOT NULL,"
	" actor INTEGER NOT NULL, event INTEGER NOT NULL, value_from TEXT, value_to TEXT, serial BLOB,"
	" reason INTEGER, PRIMARY KEY (vehicle, number)) STRICT, WITHOUT ROWID;"

	"CREATE TABLE certified_key (number INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, spki_sha256 BLOB NOT NULL,"
	" vehicle INTEGER NOT NULL, device_id TEXT NOT NULL, UNIQUE (tenant, spki_sha256)) STRICT;"

	"CREATE TABLE certificate (number INTEGER PRIMARY KEY, serial BLOB NOT NULL UNIQUE, vehicle INTEGER NOT NULL,"
	" certified_key INTEGER NOT NULL, not_before INTEGER NOT NULL, not_after INTEGER NOT NULL,"
	" revoked_at INTEGER, reason INTEGER) STRICT;"
	"CREATE INDEX certificate_vehicle ON certificate (vehicle);"
	"CREATE INDEX certificate_revoked ON certificate (not_after) WHERE revoked_at IS NOT NULL;"

	"CREATE TABLE device (tenant INTEGER NOT NULL, device_id TEXT NOT NULL, model TEXT, manufacturer TEXT,"
	" public_key_sha256 BLOB, PRIMARY KEY (tenant, device_id)) STRICT, WITHOUT ROWID;"

	"CREATE TABLE client (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, tenant INTEGER NOT NULL,"
	" scopes INTEGER NOT NULL, requests_per_second INTEGER NOT NULL, burst INTEGER NOT NULL,"
	" state INTEGER NOT NULL, created_at INTEGER NOT NULL, version INTEGER NOT NULL) STRICT;"
	"CREATE TABLE client_purpose (client INTEGER NOT NULL, position INTEGER NOT NULL, purpose TEXT NOT NULL,"
	" PRIMARY KEY (client, position)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE client_fingerprint (fingerprint BLOB PRIMARY KEY NOT NULL, client INTEGER NOT NULL,"
	" position INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE INDEX client_fingerprint_client ON client_fingerprint (client, position);"

	"CREATE TABLE reveal (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, tenant INTEGER NOT NULL,"
	" reference_id BLOB NOT NULL, purpose TEXT NOT NULL, reason TEXT NOT NULL, ticket TEXT,"
	" requested_by TEXT NOT NULL, approved_by TEXT, status INTEGER NOT NULL, created_at INTEGER NOT NULL,"
	" expires_at INTEGER NOT NULL) STRICT;"

	"CREATE TABLE idempotency (number INTEGER PRIMARY KEY, client_id TEXT NOT NULL, route TEXT NOT NULL,"
	" key TEXT NOT NULL, fingerprint BLOB NOT NULL, status INTEGER NOT NULL, body TEXT, serial BLOB,"
	" reference_id BLOB, created_at INTEGER NOT NULL, UNIQUE (client_id, route, key)) STRICT;"
	"CREATE INDEX idempotency_created_at ON idempotency (created_at);"

	"CREATE TABLE outbox (number INTEGER PRIMARY KEY, leaf_id BLOB NOT NULL UNIQUE, json BLOB NOT NULL,"
	" log_size INTEGER NOT NULL) STRICT;"

	"CREATE TABLE import_progress (number INTEGER PRIMARY KEY CHECK (number = 1), file TEXT NOT NULL,"
	" tenant INTEGER NOT NULL, phase INTEGER NOT NULL, byte_offset INTEGER NOT NULL, line INTEGER NOT NULL,"
	" chunk INTEGER NOT NULL, rows INTEGER NOT NULL) STRICT;"
	"CREATE TABLE import_rejected (line INTEGER PRIMARY KEY, reason INTEGER NOT NULL) STRICT;"
	"CREATE TABLE import_index (vehicle INTEGER NOT NULL, tenant INTEGER NOT NULL, generation INTEGER NOT NULL,"
	" vin_index BLOB NOT NULL) STRICT;";

/* What connected vehicles bring with them. Partial indexes hold only what is still open, revoked or waiting. */
static const char migration_2[] =
	"ALTER TABLE tenant ADD COLUMN telemetry_retention_days INTEGER NOT NULL DEFAULT 0;"

	"CREATE TABLE command (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, vehicle INTEGER NOT NULL,"
	" name TEXT NOT NULL, payload TEXT NOT NULL, status INTEGER NOT NULL, is_final INTEGER NOT NULL,"
	" reason_code TEXT, reason_text TEXT, result TEXT, created_by INTEGER NOT NULL, created_at INTEGER NOT NULL,"
	" updated_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, version INTEGER NOT NULL) STRICT;"
	"CREATE INDEX command_vehicle ON command (vehicle);"
	"CREATE INDEX command_waiting ON command (vehicle) WHERE status = 1;"
	"CREATE INDEX command_due ON command (expires_at) WHERE status < 3;"
	"CREATE INDEX command_over ON command (updated_at) WHERE status > 2;"

	"CREATE TABLE alert (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, tenant INTEGER NOT NULL,"
	" kind INTEGER NOT NULL, at INTEGER NOT NULL, reference_id BLOB, detail TEXT NOT NULL) STRICT;"
	"CREATE INDEX alert_tenant ON alert (tenant, at);"
	"CREATE INDEX alert_reference_id ON alert (reference_id, kind, at) WHERE reference_id IS NOT NULL;"
	"CREATE INDEX alert_at ON alert (at);"

	"CREATE TABLE claim (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, tenant INTEGER NOT NULL,"
	" serial BLOB NOT NULL UNIQUE, count_max INTEGER NOT NULL, used INTEGER NOT NULL, revoked_at INTEGER,"
	" not_after INTEGER NOT NULL, created_at INTEGER NOT NULL) STRICT;"
	"CREATE INDEX claim_tenant ON claim (tenant);"
	"CREATE INDEX claim_revoked ON claim (not_after) WHERE revoked_at IS NOT NULL;"

	"CREATE TABLE ownership (number INTEGER PRIMARY KEY, token_sha256 BLOB NOT NULL UNIQUE, claim INTEGER NOT NULL,"
	" reference_id BLOB NOT NULL, serial BLOB NOT NULL UNIQUE, spki_sha256 BLOB NOT NULL,"
	" not_before INTEGER NOT NULL, not_after INTEGER NOT NULL, created_at INTEGER NOT NULL,"
	" expires_at INTEGER NOT NULL, taken_at INTEGER, csr BLOB) STRICT;"
	"CREATE INDEX ownership_waiting ON ownership (claim, expires_at) WHERE taken_at IS NULL;"
	"CREATE INDEX ownership_not_after ON ownership (not_after);"

	"CREATE TABLE signal_document (number INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, kind INTEGER NOT NULL,"
	" sync_id TEXT NOT NULL, created_at INTEGER NOT NULL, bytes BLOB NOT NULL,"
	" UNIQUE (tenant, kind, sync_id)) STRICT;"
	"CREATE INDEX signal_document_kind ON signal_document (tenant, kind);";

const char *const sqlite_migrations[] = {migration_1, migration_2};
const size_t sqlite_migration_count = sizeof(sqlite_migrations) / sizeof(sqlite_migrations[0]);

/* One value, from statements that come before there is a schema to prepare others against. */
static enum result read_number(struct sqlite_db *db, const char *text, int64_t *ret_number, struct note *note)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(db->handle, text, -1, &statement, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	enum result result = sqlite_db_result(db, code, note);
	if (result == RESULT_OK)
		*ret_number = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return result;
}

static enum result read_version(struct sqlite_db *db, int64_t *ret_version, struct note *note)
{
	int64_t tables = 0;

	TRY(read_number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_version'", &tables, note));
	if (tables == 0) {
		*ret_version = 0;
		return RESULT_OK;
	}
	return read_number(db, "SELECT coalesce(max(version), 0) FROM schema_version", ret_version, note);
}

static enum result record_version(struct sqlite_db *db, int64_t version, int64_t now_ms, struct note *note)
{
	char text[128];

	sqlite3_snprintf(sizeof(text), text, "INSERT INTO schema_version VALUES (%lld, %lld)", (long long)version,
			 (long long)now_ms);
	return sqlite_db_execute(db, text, note);
}

/* Another process may have migrated meanwhile, so the version is read within the transaction. */
static enum result migrate_one(struct sqlite_db *db, const char *const *migrations, size_t count, int64_t now_ms,
			       bool *ret_is_current, struct note *note)
{
	int64_t version = 0;

	TRY(sqlite_db_execute(db, "BEGIN IMMEDIATE", note));
	TRY(read_version(db, &version, note));
	if (version > (int64_t)count) {
		note_set(note,
			 "the registry has schema version %lld, this program knows up to %zu: run a newer vinveil",
			 (long long)version, count);
		return RESULT_INVALID;
	}
	*ret_is_current = version == (int64_t)count;
	if (!*ret_is_current) {
		TRY(sqlite_db_execute(db, migrations[version], note));
		TRY(record_version(db, version + 1, now_ms, note));
	}
	return sqlite_db_execute(db, "COMMIT", note);
}

enum result sqlite_migrate(struct sqlite_db *db, const char *const *migrations, size_t count, int64_t now_ms,
			   struct note *note)
{
	int64_t version = 0;
	bool is_current = false;

	TRY(read_version(db, &version, note));
	if (version == (int64_t)count)
		return RESULT_OK;
	while (!is_current) {
		enum result result = migrate_one(db, migrations, count, now_ms, &is_current, note);
		if (result != RESULT_OK) {
			sqlite_db_rollback(db);
			return result;
		}
	}
	return RESULT_OK;
}
