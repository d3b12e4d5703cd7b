/*
 * The reject file of an import: CSV, "line,reason" and a line for each that was not taken; never a VIN.
 *
 * What concerns a chunk is on disk before the chunk is committed, so after a crash the file may hold more than the
 * registry knows of, never less; a resume cuts that off and goes on. Lines are in the file's order; those found
 * to be duplicates follow at the end.
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_IMPORT_REJECTS_H
#define VINVEIL_PROGRAMS_VINVEIL_IMPORT_REJECTS_H

#include "adapters/registry/sqlite.h"
#include "base/file.h"

struct import_rejects {
	char path[PATH_SIZE];
	int descriptor; /* -1: nothing was rejected yet, and there is no file */
	uint64_t count;
	enum result result; /* the first failure sticks */
	struct note note;
};

/* RESULT_CONFLICT when the path holds something else than a reject file. Changes nothing. */
MUST_USE enum result import_rejects_check(const char *path, struct note *note);

/*
 * last_line 0: a new import; an old reject file is removed. Else what concerns lines up to it is kept. RESULT_CONFLICT
 * when the path holds something else than a reject file.
 */
MUST_USE enum result import_rejects_open(const char *path, uint64_t last_line, struct import_rejects *ret_rejects,
					 struct note *note);
/* Durable when it returns RESULT_OK. */
MUST_USE enum result import_rejects_add(struct import_rejects *rejects, struct span lines, size_t count,
					struct note *note);
/* Has the shape of import_rejected, with the rejects as context: written, but not yet durable. */
void import_rejects_add_duplicate(void *rejects, uint64_t line, enum import_rejection why);
/* Makes all durable and closes; tells a failure of any duplicate's line. */
MUST_USE enum result import_rejects_close(struct import_rejects *rejects, struct note *note);

#endif
