/*
 * One connection to SQLite and its prepared statements, and the few helpers with which they are used:
 *
 *	SQL_CLEANUP struct sql query = {0};
 *	TRY(sql_begin(db, SQL_GET_TENANT, &query, note));
 *	sql_text(&query, 1, id);
 *	TRY(sql_row(&query, note));
 *	number = sql_column_number(&query, 0);
 *
 * A failed bind sticks and is told by the step. A connection is used by one thread at a time.
 */
#ifndef VINVEIL_ADAPTERS_REGISTRY_SQLITE_DB_H
#define VINVEIL_ADAPTERS_REGISTRY_SQLITE_DB_H

#include "adapters/registry/sqlite_statements.h"
#include "base/clock.h"
#include "vehicle/ports/registry.h"

#include <sqlite3.h>

#define NAME_CACHE_SIZE 32

/* The number that stands for a tenant's or actor's name in other tables. Numbers never change. */
struct name_number {
	char name[CLIENT_ID_LENGTH_MAX + 1];
	int64_t number;
};

struct sqlite_db {
	sqlite3 *handle;
	sqlite3_stmt *statements[SQL_COUNT];
	struct name_number tenants[NAME_CACHE_SIZE], actors[NAME_CACHE_SIZE];
};

struct sqlite_db_options {
	uint32_t cache_kib;
	int64_t mmap_bytes;
	uint32_t busy_timeout_ms;
	bool must_exist;
	bool is_bulk;	 /* an import: sorts on disk, leaves what it deletes */
	bool only_reads; /* pages are not checked cell by cell: a damaged one cannot spread */
};

#define DB_CLEANUP __attribute__((cleanup(sqlite_db_close)))

MUST_USE enum result sqlite_db_open(const char *path, const struct sqlite_db_options *options, struct sqlite_db *ret_db,
				    struct note *note);
void sqlite_db_close(struct sqlite_db *db);
/* The result that an SQLite code means, with the detail in the note. SQLITE_CONSTRAINT is RESULT_CONFLICT. */
enum result sqlite_db_result(struct sqlite_db *db, int code, struct note *note);
/* Statements without parameters or rows of interest, not kept. */
MUST_USE enum result sqlite_db_execute(struct sqlite_db *db, const char *text, struct note *note);
/* Rolls back if a transaction is open, and forgets names that may have been in it. */
void sqlite_db_rollback(struct sqlite_db *db);
/* After a savepoint was rolled back: names it added are gone. */
void sqlite_db_forget_names(struct sqlite_db *db);

/* RESULT_ABSENT when there is no such tenant. */
MUST_USE enum result sqlite_db_tenant(struct sqlite_db *db, const char *id, int64_t *ret_number, struct note *note);
/* The actor's number, made when there is none: within a write transaction only. */
MUST_USE enum result sqlite_db_actor(struct sqlite_db *db, const char *name, int64_t *ret_number, struct note *note);

struct sql {
	struct sqlite_db *db;
	sqlite3_stmt *statement;
	int code; /* the first bind that failed */
};

#define SQL_CLEANUP __attribute__((cleanup(sql_end)))

MUST_USE enum result sql_begin(struct sqlite_db *db, enum sql_statement which, struct sql *ret_query,
			       struct note *note);
void sql_end(struct sql *query);
/* Ready for other values. */
void sql_again(struct sql *query);

void sql_number(struct sql *query, int index, int64_t number);
void sql_text(struct sql *query, int index, const char *text); /* borrowed until sql_end */
void sql_text_or_null(struct sql *query, int index, const char *text);
void sql_blob(struct sql *query, int index, const void *bytes, size_t size); /* borrowed until sql_end */
void sql_null(struct sql *query, int index);

MUST_USE enum result sql_step(struct sql *query, bool *ret_has_row, struct note *note);
/* RESULT_ABSENT when there is no row. */
MUST_USE enum result sql_row(struct sql *query, struct note *note);
/* For writes: runs to the end. */
MUST_USE enum result sql_run(struct sql *query, struct note *note);
/* Rows that the last write changed. */
int64_t sql_changes(struct sql *query);

int64_t sql_column_number(struct sql *query, int column);
bool sql_column_is_null(struct sql *query, int column);
/* RESULT_CORRUPT unless it has exactly this size. */
MUST_USE enum result sql_column_blob(struct sql *query, int column, void *ret_bytes, size_t size);
/* RESULT_CORRUPT when it does not fit; NULL is "". */
MUST_USE enum result sql_column_text(struct sql *query, int column, char *ret_text, size_t size);
/* NULL is NULL. RESULT_MEMORY when the arena is full. */
MUST_USE enum result sql_column_arena_text(struct sql *query, int column, struct arena *arena, const char **ret_text);

#endif
