/*
 * One connection to one of the store's files, with the statements of its kind. Internal to the adapter.
 */
#ifndef VINVEIL_ADAPTERS_TELEMETRY_SQLITE_DB_H
#define VINVEIL_ADAPTERS_TELEMETRY_SQLITE_DB_H

#include "base/result.h"
#include "base/span.h"

#include <sqlite3.h>
#include <sys/types.h>

#define DB_STATEMENTS_MAX 40

struct db {
	sqlite3 *handle;
	const char *const *texts; /* of the statements */
	sqlite3_stmt *statements[DB_STATEMENTS_MAX];
};

struct db_kind {
	const char *application_id, *schema;
	const char *const *texts;
	int cache_kib;
};

/* Made with this mode when it is missing, unless is_read_only (then RESULT_ABSENT). */
MUST_USE enum result db_open(const char *path, const struct db_kind *kind, bool is_read_only, mode_t mode,
			     struct db *ret_db, struct note *note);
/* Zero-initialised is allowed. */
void db_close(struct db *db);
MUST_USE enum result db_execute(struct db *db, const char *text, struct note *note);
/* What an SQLite code means. */
enum result db_result(struct db *db, int code, struct note *note);
void db_rollback(struct db *db);

/*
 * A statement in use; db_done() makes it free again.
 *
 *	sqlite3_stmt *DB_STATEMENT query = NULL;
 *	TRY(db_prepare(db, DAY_INSERT, &query, note));
 */
MUST_USE enum result db_prepare(struct db *db, int which, sqlite3_stmt **ret_statement, struct note *note);
void db_done(sqlite3_stmt **statement);
#define DB_STATEMENT __attribute__((cleanup(db_done)))

/* RESULT_ABSENT: no (more) row. Failed binds are told by the step, as a misuse would be. */
MUST_USE enum result db_step(struct db *db, sqlite3_stmt *statement, struct note *note);
/* A statement without rows. */
MUST_USE enum result db_run(struct db *db, sqlite3_stmt *statement, struct note *note);

static inline struct span db_column_span(sqlite3_stmt *statement, int column)
{
	const void *data = sqlite3_column_blob(statement, column);

	return span_of(data, (size_t)sqlite3_column_bytes(statement, column));
}

#endif
