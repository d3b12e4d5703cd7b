/*
 * Import. Into a registry with vehicles each row goes the ordinary way and is refused where a unique index says so.
 * Into an empty one, the secondary indexes are dropped, VIN indexes are set aside in import_index, a vehicle's number
 * is its line, and everything is built by sorting at the end, which is several times as fast. Each step is a
 * transaction of its own that leaves a phase from which the next open goes on.
 */
#include "adapters/registry/sqlite_import.h"

#include "adapters/registry/sqlite.h"
#include "adapters/registry/sqlite_lock.h"
#include "adapters/registry/sqlite_read.h"
#include "adapters/registry/sqlite_schema.h"
#include "adapters/registry/sqlite_write.h"

#include <stdlib.h>
#include <unistd.h>

/* Stored values: never renumber. */
enum import_phase {
	IMPORT_NONE = 0,
	IMPORT_BESIDE = 1,   /* among other vehicles: all indexes stand */
	IMPORT_LOADING = 2,  /* the registry was empty: no unique index stands */
	IMPORT_BUILDING = 3, /* all rows are in */
	IMPORT_BUILT = 4,    /* all indexes stand; what was rejected is still to be told */
};

struct import_state {
	char file[IMPORT_FILE_IDENTITY_SIZE];
	int64_t tenant;
	enum import_phase phase;
	struct import_position position;
};

struct registry_import {
	struct sqlite_db db;
	int lock_fd;
	struct clock *clock;
	struct tenant_id tenant;
	char actor[CLIENT_ID_LENGTH_MAX + 1];
	struct import_state state;
};

static enum result read_state(struct sqlite_db *db, struct import_state *ret_state, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct import_state state = {0};
	bool has_row = false;

	TRY(sql_begin(db, SQL_GET_IMPORT, &query, note));
	TRY(sql_step(&query, &has_row, note));
	if (has_row) {
		TRY(sql_column_text(&query, 0, state.file, sizeof(state.file)));
		state.tenant = sql_column_number(&query, 1);
		state.phase = (enum import_phase)sql_column_number(&query, 2);
		state.position.byte_offset = (uint64_t)sql_column_number(&query, 3);
		state.position.line = (uint64_t)sql_column_number(&query, 4);
		state.position.chunk = (uint64_t)sql_column_number(&query, 5);
		state.position.rows = (uint64_t)sql_column_number(&query, 6);
	}
	*ret_state = state;
	return RESULT_OK;
}

enum result sqlite_import_check(struct sqlite_db *db, bool *ret_is_unbuilt, struct note *note)
{
	struct import_state state;

	TRY(read_state(db, &state, note));
	if (state.phase == IMPORT_LOADING) {
		note_set(note, "an import stopped after line %llu: run the same import again to complete it",
			 (unsigned long long)state.position.line);
		return RESULT_UNAVAILABLE;
	}
	*ret_is_unbuilt = state.phase == IMPORT_BUILDING;
	return RESULT_OK;
}

static enum result set_phase(struct sqlite_db *db, enum import_phase phase, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(db, SQL_SET_IMPORT_PHASE, &query, note));
	sql_number(&query, 1, phase);
	return sql_run(&query, note);
}

/* ---- building -------------------------------------------------------------------------------------- */

/* In an empty registry a vehicle's number is its line. The first line of equal ones stays. */
#define REJECT_REPEATED(reason, table, number, unique_columns, condition)                                    \
	"INSERT OR IGNORE INTO import_rejected SELECT number, " reason " FROM (SELECT " number " AS number," \
	" row_number() OVER (PARTITION BY " unique_columns " ORDER BY " number ") AS place FROM " table      \
	" WHERE " condition ") WHERE place > 1;"

static const char remove_rejected[] =
	"DELETE FROM import_index WHERE vehicle IN (SELECT line FROM import_rejected);"
	"DELETE FROM vin_index WHERE vehicle IN (SELECT line FROM import_rejected);"
	"DELETE FROM history WHERE vehicle IN (SELECT line FROM import_rejected);"
	"DELETE FROM vehicle WHERE number IN (SELECT line FROM import_rejected);"
	"DELETE FROM generation_count;"
	"INSERT INTO generation_count SELECT tenant, generation, count(*) FROM vehicle GROUP BY tenant, generation;";

/* Each step can be run again when a crash undid it. A build that meets equal values rejects them and is run again. */
struct build_step {
	const char *is_done; /* yields a row */
	const char *build;
	const char *reject; /* NULL: cannot be refused */
};

/* VIN indexes first: the pages that import_index frees are then used by the other indexes. */
static const struct build_step build_steps[] = {
	{
		.is_done = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM import_index)",
		.build = "INSERT INTO vin_index SELECT i.tenant, i.generation, i.vin_index, i.vehicle, v.reference_id"
			 " FROM import_index i CROSS JOIN vehicle v ON v.number = i.vehicle"
			 " ORDER BY i.tenant, i.generation, i.vin_index; DELETE FROM import_index;",
		.reject = REJECT_REPEATED("2", "import_index", "vehicle", "tenant, generation, vin_index", "true"),
	},
	{
		.is_done = "SELECT 1 FROM sqlite_schema WHERE name = 'vehicle_device_id'",
		.build = SQL_INDEX_DEVICE_ID,
		.reject = REJECT_REPEATED("3", "vehicle", "number", "tenant, device_id", "device_id IS NOT NULL"),
	},
	{
		.is_done = "SELECT 1 FROM sqlite_schema WHERE name = 'vehicle_reference_id'",
		.build = SQL_INDEX_REFERENCE_ID,
		.reject = REJECT_REPEATED("1", "vehicle", "number", "reference_id", "true"),
	},
	{
		.is_done = "SELECT 1 FROM sqlite_schema WHERE name = 'vehicle_state'",
		.build = SQL_INDEX_STATE,
	},
};

static enum result yields_row(struct sqlite_db *db, const char *text, bool *ret_yields, struct note *note)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(db->handle, text, -1, &statement, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	enum result result = sqlite_db_result(db, code, note);
	if (result == RESULT_OK)
		*ret_yields = code == SQLITE_ROW;
	sqlite3_finalize(statement);
	return result;
}

static enum result in_transaction(struct sqlite_db *db, const char *text, struct note *note)
{
	TRY(sqlite_db_execute(db, "BEGIN IMMEDIATE", note));
	enum result result = sqlite_db_execute(db, text, note);
	if (result == RESULT_OK)
		result = sqlite_db_execute(db, "COMMIT", note);
	if (result != RESULT_OK)
		sqlite_db_rollback(db);
	return result;
}

static enum result reject_repeated(struct sqlite_db *db, const struct build_step *step, struct note *note)
{
	TRY(sqlite_db_execute(db, "BEGIN IMMEDIATE", note));
	enum result result = sqlite_db_execute(db, step->reject, note);
	if (result == RESULT_OK)
		result = sqlite_db_execute(db, remove_rejected, note);
	if (result == RESULT_OK)
		result = sqlite_db_execute(db, "COMMIT", note);
	if (result != RESULT_OK)
		sqlite_db_rollback(db);
	return result;
}

static enum result run_step(struct sqlite_db *db, const struct build_step *step, struct note *note)
{
	bool is_done = false;

	TRY(yields_row(db, step->is_done, &is_done, note));
	if (is_done)
		return RESULT_OK;
	enum result result = in_transaction(db, step->build, note);
	if (result != RESULT_CONFLICT || step->reject == NULL)
		return result;
	TRY(reject_repeated(db, step, note));
	return in_transaction(db, step->build, note);
}

enum result sqlite_import_build(struct sqlite_db *db, struct note *note)
{
	for (size_t i = 0; i < sizeof(build_steps) / sizeof(build_steps[0]); i++)
		TRY(run_step(db, &build_steps[i], note));
	return set_phase(db, IMPORT_BUILT, note);
}

/* ---- opening --------------------------------------------------------------------------------------- */

static enum result ensure_tenant(struct registry_import *import, const struct tenant *new_tenant, struct note *note)
{
	struct write write = {.db = &import->db, .note = note};
	int64_t number;
	enum result result = sqlite_db_tenant(&import->db, import->tenant.text, &number, note);

	if (result == RESULT_ABSENT && new_tenant != NULL && tenant_id_equal(&new_tenant->id, &import->tenant))
		return write_one(&write,
				 &(struct registry_write){.kind = REGISTRY_INSERT_TENANT, .tenant = new_tenant});
	if (result == RESULT_ABSENT)
		note_set(note, "there is no tenant \"%s\"", import->tenant.text);
	return result;
}

/* In one transaction: from here on the server refuses to serve until the import is finished. */
static enum result begin_import(struct registry_import *import, const char *file, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	bool has_vehicles = true;
	int64_t tenant;

	TRY(sqlite_db_execute(&import->db, "BEGIN IMMEDIATE; DELETE FROM import_rejected; DELETE FROM import_index;",
			      note));
	TRY(yields_row(&import->db, "SELECT 1 FROM vehicle LIMIT 1", &has_vehicles, note));
	TRY(sqlite_db_tenant(&import->db, import->tenant.text, &tenant, note));
	TRY(sql_begin(&import->db, SQL_BEGIN_IMPORT, &query, note));
	sql_text(&query, 1, file);
	sql_number(&query, 2, tenant);
	sql_number(&query, 3, has_vehicles ? IMPORT_BESIDE : IMPORT_LOADING);
	TRY(sql_run(&query, note));
	sql_end(&query);
	if (!has_vehicles)
		TRY(sqlite_db_execute(
			&import->db,
			"DROP INDEX vehicle_device_id; DROP INDEX vehicle_reference_id; DROP INDEX vehicle_state;"
			"DELETE FROM generation_count;",
			note));
	return sqlite_db_execute(&import->db, "COMMIT", note);
}

static enum result begin_or_go_on(struct registry_import *import, const char *file, struct note *note)
{
	struct import_state *state = &import->state;
	int64_t tenant;

	TRY(sqlite_db_tenant(&import->db, import->tenant.text, &tenant, note));
	TRY(read_state(&import->db, state, note));
	if (state->phase != IMPORT_NONE && strcmp(state->file, file) == 0 && state->tenant == tenant)
		return RESULT_OK;
	if (state->phase == IMPORT_LOADING || state->phase == IMPORT_BUILDING) {
		note_set(note, "the import of another file stopped after line %llu: run that import again first",
			 (unsigned long long)state->position.line);
		return RESULT_CONFLICT;
	}
	enum result result = begin_import(import, file, note);
	if (result != RESULT_OK) {
		sqlite_db_rollback(&import->db);
		return result;
	}
	return read_state(&import->db, state, note);
}

/*
 * Bulk loading only appends, and pages that are appended need no rollback journal, while a WAL would write each of them
 * twice. Whoever opens the registry next sets WAL again, after SQLite has rolled back what a crash left.
 */
static enum result choose_journal(struct registry_import *import, struct note *note)
{
	bool is_bulk = import->state.phase == IMPORT_LOADING || import->state.phase == IMPORT_BUILDING;

	return is_bulk ? sqlite_db_execute(&import->db, "PRAGMA journal_mode=TRUNCATE", note) : RESULT_OK;
}

static enum result open_import(struct registry_import *import, const char *path,
			       const struct registry_import_options *options, const struct tenant *new_tenant,
			       struct note *note)
{
	const struct sqlite_db_options db_options = {
		.cache_kib = options->cache_kib != 0 ? options->cache_kib : 262144,
		.busy_timeout_ms = 10000,
		.is_bulk = true,
	};

	TRY(registry_lock_take(path, REGISTRY_LOCK_ALONE, &import->lock_fd, note));
	TRY(sqlite_db_open(path, &db_options, &import->db, note));
	TRY(sqlite_migrate(&import->db, sqlite_migrations, sqlite_migration_count, clock_now_ms(import->clock), note));
	TRY(ensure_tenant(import, new_tenant, note));
	TRY(begin_or_go_on(import, options->file_identity, note));
	return choose_journal(import, note);
}

enum result registry_import_open(const char *path, const struct registry_import_options *options,
				 const struct tenant *new_tenant, struct registry_import **ret_import,
				 struct import_position *ret_position, struct note *note)
{
	struct registry_import *import = calloc(1, sizeof(*import));

	if (import == NULL)
		return RESULT_MEMORY;
	import->lock_fd = -1;
	import->clock = options->clock != NULL ? options->clock : clock_system();
	import->tenant = options->tenant;
	memcpy(import->actor, options->actor, sizeof(import->actor));
	enum result result = open_import(import, path, options, new_tenant, note);
	if (result != RESULT_OK) {
		registry_import_close(import);
		return result;
	}
	*ret_position = import->state.position;
	*ret_import = import;
	return RESULT_OK;
}

enum result registry_import_tenant(struct registry_import *import, struct tenant *ret_tenant, struct note *note)
{
	return read_tenant(&import->db, &import->tenant, ret_tenant, note);
}

void registry_import_close(struct registry_import *import)
{
	if (import == NULL)
		return;
	sqlite_db_close(&import->db);
	if (import->lock_fd >= 0)
		close(import->lock_fd);
	free(import);
}

/* ---- rows ------------------------------------------------------------------------------------------ */

/* What all rows of a chunk share. */
struct chunk {
	struct registry_import *import;
	struct write write;
	int64_t tenant, actor;
	uint64_t stored;
	/* Rows by their newest generation; a chunk rarely has two. */
	uint16_t generation;
	int64_t generation_rows;
};

static uint16_t newest_generation(const struct vin_index_set *set)
{
	uint16_t newest = 0;

	for (size_t i = 0; i < set->count; i++)
		newest = set->indexes[i].generation > newest ? set->indexes[i].generation : newest;
	return newest;
}

static enum result flush_generation(struct chunk *chunk)
{
	if (chunk->generation_rows > 0)
		TRY(write_generation_count(&chunk->write, chunk->tenant, chunk->generation, chunk->generation_rows));
	chunk->generation_rows = 0;
	return RESULT_OK;
}

static enum result count_generation(struct chunk *chunk, uint16_t generation)
{
	if (generation != chunk->generation)
		TRY(flush_generation(chunk));
	chunk->generation = generation;
	chunk->generation_rows++;
	chunk->stored++;
	return RESULT_OK;
}

static enum result write_first_history(struct chunk *chunk, int64_t vehicle)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(chunk->write.db, SQL_IMPORT_HISTORY, &query, chunk->write.note));
	sql_number(&query, 1, vehicle);
	sql_number(&query, 2, chunk->actor);
	return sql_run(&query, chunk->write.note);
}

static enum result stage_indexes(struct chunk *chunk, int64_t vehicle, const struct vin_index_set *set)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(chunk->write.db, SQL_STAGE_INDEX, &query, chunk->write.note));
	sql_number(&query, 1, vehicle);
	sql_number(&query, 2, chunk->tenant);
	for (size_t i = 0; i < set->count; i++) {
		sql_again(&query);
		sql_number(&query, 3, set->indexes[i].generation);
		sql_blob(&query, 4, set->indexes[i].bytes, VIN_INDEX_SIZE);
		TRY(sql_run(&query, chunk->write.note));
	}
	return RESULT_OK;
}

static enum result load_row(struct chunk *chunk, const struct import_row *row)
{
	int64_t number = (int64_t)row->line;
	uint16_t generation = newest_generation(&row->indexes);

	TRY(write_vehicle_row(&chunk->write, number, chunk->tenant, &row->vehicle, generation));
	TRY(write_first_history(chunk, number));
	TRY(stage_indexes(chunk, number, &row->indexes));
	return count_generation(chunk, generation);
}

/* A VIN that is known is told as such, though its device ID is mostly known, too. */
static enum result check_vin_is_new(struct chunk *chunk, const struct vin_index_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		SQL_CLEANUP struct sql query = {0};

		TRY(sql_begin(chunk->write.db, SQL_INDEX_VEHICLE, &query, chunk->write.note));
		sql_number(&query, 1, chunk->tenant);
		sql_number(&query, 2, set->indexes[i].generation);
		sql_blob(&query, 3, set->indexes[i].bytes, VIN_INDEX_SIZE);
		enum result result = sql_row(&query, chunk->write.note);
		if (result == RESULT_OK) {
			chunk->write.conflict = REGISTRY_CONFLICT_VIN_INDEX;
			return RESULT_CONFLICT;
		}
		if (result != RESULT_ABSENT)
			return result;
	}
	return RESULT_OK;
}

/* The vehicle's row is the only one of these writes that can be refused, so nothing has to be undone. */
static enum result insert_row(struct chunk *chunk, const struct import_row *row)
{
	uint16_t generation = newest_generation(&row->indexes);

	TRY(check_vin_is_new(chunk, &row->indexes));
	TRY(write_vehicle_row(&chunk->write, 0, chunk->tenant, &row->vehicle, generation));
	int64_t number = sqlite3_last_insert_rowid(chunk->write.db->handle);
	TRY(write_first_history(chunk, number));
	for (size_t i = 0; i < row->indexes.count; i++)
		TRY(write_index_row(&chunk->write, chunk->tenant, number, &row->indexes.indexes[i]));
	return count_generation(chunk, generation);
}

static enum result reject_line(struct chunk *chunk, uint64_t line)
{
	SQL_CLEANUP struct sql query = {0};
	enum import_rejection why = chunk->write.conflict == REGISTRY_CONFLICT_VIN_INDEX ? IMPORT_DUPLICATE_VIN
				    : chunk->write.conflict == REGISTRY_CONFLICT_DEVICE_ID
					    ? IMPORT_DUPLICATE_DEVICE
					    : IMPORT_DUPLICATE_REFERENCE_ID;

	TRY(sql_begin(chunk->write.db, SQL_REJECT_LINE, &query, chunk->write.note));
	sql_number(&query, 1, (int64_t)line);
	sql_number(&query, 2, why);
	return sql_run(&query, chunk->write.note);
}

static enum result add_rows(struct chunk *chunk, const struct import_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (chunk->import->state.phase == IMPORT_LOADING) {
			TRY(load_row(chunk, &rows[i]));
			continue;
		}
		enum result result = insert_row(chunk, &rows[i]);
		if (result == RESULT_CONFLICT)
			result = reject_line(chunk, rows[i].line);
		TRY(result);
	}
	return flush_generation(chunk);
}

static enum result advance(struct chunk *chunk, const struct import_position *end)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(chunk->write.db, SQL_ADVANCE_IMPORT, &query, chunk->write.note));
	sql_number(&query, 1, (int64_t)end->byte_offset);
	sql_number(&query, 2, (int64_t)end->line);
	sql_number(&query, 3, (int64_t)chunk->stored);
	return sql_run(&query, chunk->write.note);
}

static enum result add_chunk(struct chunk *chunk, const struct import_row *rows, size_t count,
			     const struct import_position *end, const struct audit_leaf *leaf)
{
	struct registry_import *import = chunk->import;
	const struct registry_write add_leaf = {.kind = REGISTRY_ADD_LEAF, .leaf = leaf};

	TRY(sqlite_db_execute(&import->db, "BEGIN IMMEDIATE", chunk->write.note));
	TRY(sqlite_db_tenant(&import->db, import->tenant.text, &chunk->tenant, chunk->write.note));
	TRY(sqlite_db_actor(&import->db, import->actor, &chunk->actor, chunk->write.note));
	TRY(add_rows(chunk, rows, count));
	if (leaf != NULL)
		TRY(write_one(&chunk->write, &add_leaf));
	TRY(advance(chunk, end));
	return sqlite_db_execute(&import->db, "COMMIT", chunk->write.note);
}

static enum result check_rows(const struct registry_import *import, const struct import_row *rows, size_t count,
			      const struct import_position *end, struct note *note)
{
	uint64_t line = import->state.position.line;

	if (import->state.phase != IMPORT_LOADING && import->state.phase != IMPORT_BESIDE) {
		note_set(note, "all rows of this import are in already");
		return RESULT_INVALID;
	}
	if (count > IMPORT_CHUNK_ROWS_MAX || end->line > INT64_MAX || end->byte_offset > INT64_MAX)
		return RESULT_INVALID;
	for (size_t i = 0; i < count; i++) {
		if (rows[i].line <= line || rows[i].line > end->line || rows[i].indexes.count == 0 ||
		    rows[i].indexes.count > KEY_GENERATIONS_MAX)
			return RESULT_INVALID;
		line = rows[i].line;
	}
	return RESULT_OK;
}

enum result registry_import_add(struct registry_import *import, const struct import_row *rows, size_t count,
				const struct import_position *end, const struct audit_leaf *leaf, uint64_t log_size,
				struct note *note)
{
	struct chunk chunk = {.import = import};

	chunk.write = (struct write){.db = &import->db, .log_size = log_size, .note = note};
	TRY(check_rows(import, rows, count, end, note));
	enum result result = add_chunk(&chunk, rows, count, end, leaf);
	if (result != RESULT_OK) {
		sqlite_db_rollback(&import->db);
		return result;
	}
	return read_state(&import->db, &import->state, note);
}

/* ---- the end --------------------------------------------------------------------------------------- */

static enum result tell_rejected(struct registry_import *import, import_rejected *rejected, void *context,
				 uint64_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	bool has_row = false;
	uint64_t count = 0;

	TRY(sql_begin(&import->db, SQL_SCAN_REJECTED, &query, note));
	TRY(sql_step(&query, &has_row, note));
	while (has_row) {
		rejected(context, (uint64_t)sql_column_number(&query, 0),
			 (enum import_rejection)sql_column_number(&query, 1));
		count++;
		TRY(sql_step(&query, &has_row, note));
	}
	*ret_count = count;
	return RESULT_OK;
}

enum result registry_import_finish(struct registry_import *import, import_rejected *rejected, void *context,
				   uint64_t *ret_rows, struct note *note)
{
	bool was_empty = import->state.phase != IMPORT_BESIDE;
	uint64_t count = 0;

	if (import->state.phase == IMPORT_LOADING)
		TRY(set_phase(&import->db, IMPORT_BUILDING, note));
	if (import->state.phase == IMPORT_LOADING || import->state.phase == IMPORT_BUILDING)
		TRY(sqlite_import_build(&import->db, note));
	TRY(read_state(&import->db, &import->state, note));
	TRY(tell_rejected(import, rejected, context, &count, note));
	TRY(in_transaction(&import->db, "DELETE FROM import_rejected; DELETE FROM import_progress;", note));
	TRY(sqlite_db_execute(&import->db, "PRAGMA journal_mode=WAL; PRAGMA wal_checkpoint(TRUNCATE)", note));
	*ret_rows = import->state.position.rows - (was_empty ? count : 0);
	import->state = (struct import_state){0};
	return RESULT_OK;
}
