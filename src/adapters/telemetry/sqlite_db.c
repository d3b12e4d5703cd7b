#include "adapters/telemetry/sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 5000

enum result db_result(struct db *db, int code, struct note *note)
{
	if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
		return RESULT_OK;
	/* SQLite's messages name tables and columns, never values. */
	note_set(note, "sqlite: %s (code %d)", db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code),
		 code);
	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return RESULT_MEMORY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_SCHEMA:
	case SQLITE_ERROR: /* a table is missing */
	case SQLITE_FORMAT:
		return RESULT_CORRUPT;
	case SQLITE_CONSTRAINT:
		return RESULT_CONFLICT;
	default: /* full, busy, no permission, an error of the disk */
		return RESULT_UNAVAILABLE;
	}
}

enum result db_execute(struct db *db, const char *text, struct note *note)
{
	return db_result(db, sqlite3_exec(db->handle, text, NULL, NULL, NULL), note);
}

/* SQLite would make it readable for all; what it puts beside it takes the mode of the file. */
static enum result make_file(const char *path, mode_t mode, struct note *note)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);

	if (fd < 0 || fchmod(fd, mode) != 0) {
		note_set(note, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return RESULT_UNAVAILABLE;
	}
	close(fd);
	return RESULT_OK;
}

/*
 * Who may only read can open a database in WAL mode while -wal and -shm are there, and cannot make them: so they stay
 * when the last writer closes. The limit of the journal's size has -wal emptied then.
 */
static void keep_journal(struct db *db)
{
	int is_kept = 1;

	sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_PERSIST_WAL, &is_kept);
}

static enum result query_number(struct db *db, const char *text, int64_t *ret_number, struct note *note)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(db->handle, text, -1, &statement, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	enum result result = db_result(db, code, note);
	*ret_number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	sqlite3_finalize(statement);
	return result;
}

static enum result configure(struct db *db, const struct db_kind *kind, bool is_read_only, struct note *note)
{
	char text[512];

	snprintf(
		text, sizeof(text),
		"PRAGMA cache_size=-%d;PRAGMA temp_store=MEMORY;PRAGMA trusted_schema=OFF;PRAGMA cell_size_check=ON;%s",
		kind->cache_kib,
		is_read_only ? "PRAGMA query_only=ON;PRAGMA mmap_size=268435456;"
			     : "PRAGMA page_size=4096;PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;"
			       "PRAGMA wal_autocheckpoint=8000;PRAGMA journal_size_limit=67108864;"
			       "PRAGMA secure_delete=ON;");
	return db_execute(db, text, note);
}

/* An empty file becomes ours, in one transaction; another's is left alone. */
static enum result check_schema(struct db *db, const struct db_kind *kind, bool is_read_only, struct note *note)
{
	int64_t application_id = 0, tables = 0;
	char ours[16], text[64];

	TRY(query_number(db, "PRAGMA application_id", &application_id, note));
	snprintf(ours, sizeof(ours), "%lld", (long long)application_id);
	if (strcmp(ours, kind->application_id) == 0)
		return RESULT_OK;
	TRY(query_number(db, "SELECT count(*) FROM sqlite_schema", &tables, note));
	if (is_read_only && tables == 0)
		return RESULT_ABSENT; /* just being made */
	if (tables != 0) {
		note_set(note, "this SQLite database is not one of the telemetry store's");
		return RESULT_CORRUPT;
	}
	TRY(db_execute(db, "BEGIN IMMEDIATE", note));
	snprintf(text, sizeof(text), "PRAGMA application_id=%s", kind->application_id);
	enum result result = db_execute(db, kind->schema, note);
	if (result == RESULT_OK)
		result = db_execute(db, text, note);
	if (result == RESULT_OK)
		result = db_execute(db, "COMMIT", note);
	if (result != RESULT_OK)
		db_rollback(db);
	return result;
}

enum result db_open(const char *path, const struct db_kind *kind, bool is_read_only, mode_t mode, struct db *ret_db,
		    struct note *note)
{
	struct db db = {.texts = kind->texts};
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

	if (is_read_only && access(path, F_OK) != 0)
		return RESULT_ABSENT;
	if (!is_read_only)
		TRY(make_file(path, mode, note));
	int code = sqlite3_open_v2(path, &db.handle,
				   flags | (is_read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE), NULL);
	enum result result = db_result(&db, code, note);
	if (result == RESULT_OK) {
		sqlite3_busy_timeout(db.handle, BUSY_TIMEOUT_MS);
		if (!is_read_only)
			keep_journal(&db);
		result = configure(&db, kind, is_read_only, note);
	}
	if (result == RESULT_OK)
		result = check_schema(&db, kind, is_read_only, note);
	if (result != RESULT_OK) {
		db_close(&db);
		return result;
	}
	*ret_db = db;
	return RESULT_OK;
}

void db_close(struct db *db)
{
	for (size_t i = 0; i < DB_STATEMENTS_MAX; i++)
		sqlite3_finalize(db->statements[i]);
	sqlite3_close(db->handle);
	*db = (struct db){0};
}

void db_rollback(struct db *db)
{
	/* SQLite has rolled back by itself after some errors. */
	if (db->handle != NULL && sqlite3_get_autocommit(db->handle) == 0)
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

enum result db_prepare(struct db *db, int which, sqlite3_stmt **ret_statement, struct note *note)
{
	if (db->statements[which] == NULL)
		TRY(db_result(db,
			      sqlite3_prepare_v3(db->handle, db->texts[which], -1, SQLITE_PREPARE_PERSISTENT,
						 &db->statements[which], NULL),
			      note));
	*ret_statement = db->statements[which];
	return RESULT_OK;
}

void db_done(sqlite3_stmt **statement)
{
	if (*statement == NULL)
		return;
	sqlite3_reset(*statement);
	sqlite3_clear_bindings(*statement);
}

enum result db_step(struct db *db, sqlite3_stmt *statement, struct note *note)
{
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW)
		return RESULT_OK;
	if (code == SQLITE_DONE)
		return RESULT_ABSENT;
	return db_result(db, code, note);
}

enum result db_run(struct db *db, sqlite3_stmt *statement, struct note *note)
{
	enum result result = db_step(db, statement, note);

	sqlite3_reset(statement);
	return result == RESULT_ABSENT ? RESULT_OK : result;
}
