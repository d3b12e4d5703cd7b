/*
 * The registry in one SQLite file (WAL, synchronous=FULL); doc/registry-format.md tells what stands in it.
 * Every function here blocks. One process may open a registry any number of times, and several processes may
 * share it (the daemon, the CLI while it rotates keys); an import has it to itself.
 */
#ifndef VINVEIL_ADAPTERS_REGISTRY_SQLITE_H
#define VINVEIL_ADAPTERS_REGISTRY_SQLITE_H

#include "base/clock.h"
#include "vehicle/ports/registry.h"

/* 0 or NULL means the default. */
struct registry_sqlite_options {
	uint32_t cache_kib;	   /* page cache of the writing connection; 16 MiB */
	uint32_t reader_cache_kib; /* page cache of each reading connection; 4 MiB */
	int64_t mmap_bytes;	   /* how much of the file readers map; 2 GiB (SQLite's most), negative: none */
	uint32_t readers_max;	   /* reading connections; a read beyond that waits for one; 16 */
	uint32_t busy_timeout_ms;  /* how long to wait for another process's write; 10 s */
	struct clock *clock;	   /* for the 24 hours of an Idempotency-Key; the system's */
};

/*
 * Opens the registry, makes it when there is none (its directory must exist), migrates an older schema, and completes
 * the indexes of an import that died after its last row. options may be NULL.
 * RESULT_CONFLICT: an import holds it (the note names the process). RESULT_UNAVAILABLE: an import stopped midway and
 * has to be finished first. RESULT_INVALID: not a registry, or one of a newer version.
 *
 * Beyond the port's contract: a write that names a tenant or vehicle that is not there is RESULT_CONFLICT with
 * _TENANT or _REFERENCE_ID; revoking a serial number that is not there is RESULT_ABSENT; *ret_device of
 * REGISTRY_PUT_DEVICE means something only when the commit succeeded.
 */
MUST_USE enum result registry_sqlite_open(const char *path, const struct registry_sqlite_options *options,
					  struct registry **ret_registry, struct note *note);
/* Finishes what is queued. No other call may be under way. NULL is allowed. */
void registry_sqlite_close(struct registry *registry);

/* For a key rotation's progress: vehicles of the tenant with an index of this generation, of how many. */
MUST_USE enum result registry_sqlite_count_generation(struct registry *registry, const struct tenant_id *tenant,
						      uint16_t generation, uint64_t *ret_done, uint64_t *ret_total,
						      struct note *note);

/* ---- backup ---------------------------------------------------------------------------------------- */

/*
 * Copies the registry as of one instant, beside running readers and writers, to a new file (durable, mode 0600) that
 * appears whole or not at all. RESULT_CONFLICT when `to` exists.
 */
MUST_USE enum result registry_sqlite_backup(const char *from, const char *to, struct note *note);
/* Checks a backup and puts a copy of it in place. RESULT_CONFLICT when a registry is there: move it away first. */
MUST_USE enum result registry_sqlite_restore(const char *backup, const char *path, struct note *note);
/*
 * Reads everything: SQLite's integrity check, and that indexes, counts and vehicles agree. Minutes for
 * millions of vehicles. RESULT_CORRUPT with the first finding in the note.
 */
MUST_USE enum result registry_sqlite_check(const char *path, struct note *note);

/* ---- import ---------------------------------------------------------------------------------------- */

#define IMPORT_CHUNK_ROWS_MAX	  10000
#define IMPORT_FILE_IDENTITY_SIZE 129

/* Stored values: never renumber. */
enum import_rejection {
	IMPORT_DUPLICATE_REFERENCE_ID = 1,
	IMPORT_DUPLICATE_VIN = 2,
	IMPORT_DUPLICATE_DEVICE = 3,
};

struct registry_import_options {
	struct tenant_id tenant;		       /* must exist */
	char actor[CLIENT_ID_LENGTH_MAX + 1];	       /* whom the history names */
	char file_identity[IMPORT_FILE_IDENTITY_SIZE]; /* what tells this file from another: its size and digest */
	uint32_t cache_kib;			       /* 0: 256 MiB, for building indexes */
	struct clock *clock;			       /* NULL: the system's */
};

/* How far an import has come: what the last committed chunk said of itself. */
struct import_position {
	uint64_t byte_offset; /* of the first byte after the chunk */
	uint64_t line;	      /* the last line of the chunk, 1 is the first */
	uint64_t chunk;	      /* chunks committed */
	uint64_t rows;	      /* rows stored; what finish rejects is still in it */
};

struct import_row {
	uint64_t line;
	struct vehicle vehicle; /* number, tenant and version are the registry's to set */
	struct vin_index_set indexes;
};

struct registry_import;

/*
 * Takes the registry for itself (RESULT_CONFLICT with a note that names the process that has it) and makes it when
 * there is none. The tenant must be there, or is an empty registry's `new_tenant` (may be NULL). When an import of
 * the same file was interrupted, *ret_position says where to go on; another file's unfinished import is
 * RESULT_CONFLICT, unless the registry was not empty when that began.
 */
MUST_USE enum result registry_import_open(const char *path, const struct registry_import_options *options,
					  const struct tenant *new_tenant, struct registry_import **ret_import,
					  struct import_position *ret_position, struct note *note);
/* The tenant with its policies: while an import is unfinished nobody else may open the registry to ask. */
MUST_USE enum result registry_import_tenant(struct registry_import *import, struct tenant *ret_tenant,
					    struct note *note);
/*
 * One chunk, in one durable transaction with its audit leaf. Lines ascend from chunk to chunk. `end` says where the
 * chunk ends (byte_offset and line).
 */
MUST_USE enum result registry_import_add(struct registry_import *import, const struct import_row *rows, size_t count,
					 const struct import_position *end, const struct audit_leaf *leaf,
					 uint64_t log_size, struct note *note);

typedef void import_rejected(void *context, uint64_t line, enum import_rejection why);

/*
 * Builds what an import into an empty registry had put off (uniqueness is found out here: of two lines the first
 * stays), names every rejected line in ascending order, and forgets the import. May be repeated after a crash.
 * *ret_rows: stored.
 */
MUST_USE enum result registry_import_finish(struct registry_import *import, import_rejected *rejected, void *context,
					    uint64_t *ret_rows, struct note *note);
/* Lets the registry go; what was committed stays, to be gone on with. NULL is allowed. */
void registry_import_close(struct registry_import *import);

#endif
