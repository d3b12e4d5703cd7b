#include "adapters/registry/sqlite_db.h"

#include "adapters/registry/sqlite_schema.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void configure_sqlite(void)
{
	/* Memory statistics cost a global lock at every allocation. Refused when SQLite runs already: no harm. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

enum result sqlite_db_result(struct sqlite_db *db, int code, struct note *note)
{
	if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
		return RESULT_OK;
	/* SQLite's messages name tables and columns, never values. */
	note_set(note, "sqlite: %s (code %d)", db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code),
		 code);
	switch (code & 0xff) {
	case SQLITE_CONSTRAINT:
		return RESULT_CONFLICT;
	case SQLITE_NOMEM:
		return RESULT_MEMORY;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_FULL:
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_PROTOCOL:
	case SQLITE_INTERRUPT:
	case SQLITE_NOLFS:
		return RESULT_UNAVAILABLE;
	case SQLITE_IOERR:
		return code == SQLITE_IOERR_CORRUPTFS ? RESULT_CORRUPT : RESULT_UNAVAILABLE;
	case SQLITE_TOOBIG:
		return RESULT_EXHAUSTED;
	default: /* CORRUPT, NOTADB, and what only a damaged schema can cause */
		return RESULT_CORRUPT;
	}
}

enum result sqlite_db_execute(struct sqlite_db *db, const char *text, struct note *note)
{
	return sqlite_db_result(db, sqlite3_exec(db->handle, text, NULL, NULL, NULL), note);
}

/* SQLite would make the file readable for all; -wal and -shm take the mode of the file. */
static enum result make_private(const char *path, struct note *note)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0) {
		note_set(note, "%s: %s", path, strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	close(fd);
	return RESULT_OK;
}

static enum result set_pragmas(struct sqlite_db *db, const struct sqlite_db_options *options, struct note *note)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "PRAGMA page_size=4096;"
		 "PRAGMA journal_mode=WAL;"
		 "PRAGMA synchronous=FULL;"
		 "PRAGMA wal_autocheckpoint=10000;"
		 "PRAGMA journal_size_limit=67108864;"
		 "PRAGMA secure_delete=%s;"
		 "PRAGMA temp_store=%s;"
		 "PRAGMA trusted_schema=OFF;"
		 "PRAGMA cell_size_check=%s;"
		 "PRAGMA cache_size=-%u;"
		 "PRAGMA mmap_size=%lld;",
		 options->is_bulk ? "OFF" : "ON", options->is_bulk ? "FILE" : "MEMORY",
		 options->only_reads ? "OFF" : "ON", options->cache_kib, (long long)options->mmap_bytes);
	return sqlite_db_execute(db, text, note);
}

/* An empty file is not yet anyone's. */
static enum result check_is_ours(struct sqlite_db *db, struct note *note)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(db->handle,
				      "SELECT (SELECT application_id FROM pragma_application_id) = " SQLITE_REGISTRY_ID
				      " OR (SELECT count(*) FROM sqlite_schema) = 0",
				      -1, &statement, NULL);
	bool is_ours = false;

	if (code == SQLITE_OK) {
		code = sqlite3_step(statement);
		is_ours = code == SQLITE_ROW && sqlite3_column_int(statement, 0) == 1;
	}
	enum result result = sqlite_db_result(db, code, note);
	sqlite3_finalize(statement);
	TRY(result);
	if (is_ours)
		return RESULT_OK;
	note_set(note, "this SQLite database is not a vinveil registry");
	return RESULT_INVALID;
}

static enum result open_handle(const char *path, const struct sqlite_db_options *options, struct sqlite_db *db,
			       struct note *note)
{
	int code = sqlite3_open_v2(path, &db->handle,
				   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);

	TRY(sqlite_db_result(db, code, note));
	sqlite3_busy_timeout(db->handle, (int)options->busy_timeout_ms);
	TRY(check_is_ours(db, note));
	return set_pragmas(db, options, note);
}

enum result sqlite_db_open(const char *path, const struct sqlite_db_options *options, struct sqlite_db *ret_db,
			   struct note *note)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct sqlite_db db = {0};

	pthread_once(&once, configure_sqlite);
	if (options->must_exist && access(path, F_OK) != 0) {
		note_set(note, "%s: %s", path, strerror(errno));
		return RESULT_ABSENT;
	}
	if (!options->must_exist)
		TRY(make_private(path, note));
	enum result result = open_handle(path, options, &db, note);
	if (result != RESULT_OK) {
		sqlite_db_close(&db);
		return result;
	}
	*ret_db = db;
	return RESULT_OK;
}

void sqlite_db_close(struct sqlite_db *db)
{
	for (size_t i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize(db->statements[i]);
	sqlite3_close(db->handle);
	*db = (struct sqlite_db){0};
}

void sqlite_db_rollback(struct sqlite_db *db)
{
	/* SQLite has rolled back by itself after some errors. */
	if (db->handle != NULL && sqlite3_get_autocommit(db->handle) == 0)
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
	sqlite_db_forget_names(db);
}

void sqlite_db_forget_names(struct sqlite_db *db)
{
	memset(db->tenants, 0, sizeof(db->tenants));
	memset(db->actors, 0, sizeof(db->actors));
}

/* ---- names ----------------------------------------------------------------------------------------- */

static struct name_number *name_slot(struct name_number *cache, const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (const char *at = name; *at != '\0'; at++)
		hash = (hash ^ (uint8_t)*at) * 16777619u;
	return &cache[hash % NAME_CACHE_SIZE];
}

static bool name_is_known(const struct name_number *slot, const char *name)
{
	return slot->number != 0 && strcmp(slot->name, name) == 0;
}

static void name_remember(struct name_number *slot, const char *name, int64_t number)
{
	assert(strlen(name) < sizeof(slot->name));
	memcpy(slot->name, name, strlen(name) + 1);
	slot->number = number;
}

enum result sqlite_db_tenant(struct sqlite_db *db, const char *id, int64_t *ret_number, struct note *note)
{
	struct name_number *slot = name_slot(db->tenants, id);

	if (!name_is_known(slot, id)) {
		SQL_CLEANUP struct sql query = {0};

		TRY(sql_begin(db, SQL_TENANT_NUMBER, &query, note));
		sql_text(&query, 1, id);
		TRY(sql_row(&query, note));
		name_remember(slot, id, sql_column_number(&query, 0));
	}
	*ret_number = slot->number;
	return RESULT_OK;
}

enum result sqlite_db_actor(struct sqlite_db *db, const char *name, int64_t *ret_number, struct note *note)
{
	struct name_number *slot = name_slot(db->actors, name);

	if (!name_is_known(slot, name)) {
		SQL_CLEANUP struct sql insert = {0}, query = {0};

		TRY(sql_begin(db, SQL_INSERT_ACTOR, &insert, note));
		sql_text(&insert, 1, name);
		TRY(sql_run(&insert, note));
		TRY(sql_begin(db, SQL_ACTOR_NUMBER, &query, note));
		sql_text(&query, 1, name);
		TRY(sql_row(&query, note));
		name_remember(slot, name, sql_column_number(&query, 0));
	}
	*ret_number = slot->number;
	return RESULT_OK;
}

/* ---- statements ------------------------------------------------------------------------------------ */

enum result sql_begin(struct sqlite_db *db, enum sql_statement which, struct sql *ret_query, struct note *note)
{
	if (db->statements[which] == NULL) {
		int code = sqlite3_prepare_v3(db->handle, sql_statements[which], -1, SQLITE_PREPARE_PERSISTENT,
					      &db->statements[which], NULL);
		TRY(sqlite_db_result(db, code, note));
	}
	assert(!sqlite3_stmt_busy(db->statements[which]));
	*ret_query = (struct sql){.db = db, .statement = db->statements[which], .code = SQLITE_OK};
	return RESULT_OK;
}

void sql_again(struct sql *query)
{
	sqlite3_reset(query->statement);
}

void sql_end(struct sql *query)
{
	if (query->statement == NULL)
		return;
	sqlite3_reset(query->statement);
	sqlite3_clear_bindings(query->statement);
	query->statement = NULL;
}

static void keep_first(struct sql *query, int code)
{
	if (query->code == SQLITE_OK)
		query->code = code;
}

void sql_number(struct sql *query, int index, int64_t number)
{
	keep_first(query, sqlite3_bind_int64(query->statement, index, number));
}

void sql_text(struct sql *query, int index, const char *text)
{
	keep_first(query, sqlite3_bind_text(query->statement, index, text, -1, SQLITE_STATIC));
}

void sql_text_or_null(struct sql *query, int index, const char *text)
{
	if (text == NULL || text[0] == '\0')
		sql_null(query, index);
	else
		sql_text(query, index, text);
}

void sql_blob(struct sql *query, int index, const void *bytes, size_t size)
{
	keep_first(query, sqlite3_bind_blob64(query->statement, index, bytes, size, SQLITE_STATIC));
}

void sql_null(struct sql *query, int index)
{
	keep_first(query, sqlite3_bind_null(query->statement, index));
}

enum result sql_step(struct sql *query, bool *ret_has_row, struct note *note)
{
	int code = query->code;

	if (code == SQLITE_OK)
		code = sqlite3_step(query->statement);
	TRY(sqlite_db_result(query->db, code, note));
	*ret_has_row = code == SQLITE_ROW;
	return RESULT_OK;
}

enum result sql_row(struct sql *query, struct note *note)
{
	bool has_row = false;

	TRY(sql_step(query, &has_row, note));
	return has_row ? RESULT_OK : RESULT_ABSENT;
}

enum result sql_run(struct sql *query, struct note *note)
{
	bool has_row = true;

	while (has_row)
		TRY(sql_step(query, &has_row, note));
	return RESULT_OK;
}

int64_t sql_changes(struct sql *query)
{
	return sqlite3_changes64(query->db->handle);
}

int64_t sql_column_number(struct sql *query, int column)
{
	return sqlite3_column_int64(query->statement, column);
}

bool sql_column_is_null(struct sql *query, int column)
{
	return sqlite3_column_type(query->statement, column) == SQLITE_NULL;
}

enum result sql_column_blob(struct sql *query, int column, void *ret_bytes, size_t size)
{
	const void *bytes = sqlite3_column_blob(query->statement, column);

	if (bytes == NULL || (size_t)sqlite3_column_bytes(query->statement, column) != size)
		return RESULT_CORRUPT;
	memcpy(ret_bytes, bytes, size);
	return RESULT_OK;
}

enum result sql_column_text(struct sql *query, int column, char *ret_text, size_t size)
{
	const unsigned char *text = sqlite3_column_text(query->statement, column);
	size_t length = (size_t)sqlite3_column_bytes(query->statement, column);

	if (text == NULL)
		length = 0;
	if (length >= size)
		return RESULT_CORRUPT;
	memset(ret_text, 0, size);
	if (length > 0)
		memcpy(ret_text, text, length);
	return RESULT_OK;
}

enum result sql_column_arena_text(struct sql *query, int column, struct arena *arena, const char **ret_text)
{
	const unsigned char *text = sqlite3_column_text(query->statement, column);

	if (text == NULL) {
		*ret_text = NULL;
		return RESULT_OK;
	}
	const char *copy =
		arena_copy_text(arena, span_of(text, (size_t)sqlite3_column_bytes(query->statement, column)));
	if (copy == NULL)
		return RESULT_MEMORY;
	*ret_text = copy;
	return RESULT_OK;
}
