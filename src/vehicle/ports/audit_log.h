/*
 * Port: the tamper-evident log: an append-only sequence of leaves with a Merkle tree over it. One tree for the
 * installation. Thread-safe.
 */
#ifndef VINVEIL_VEHICLE_PORTS_AUDIT_LOG_H
#define VINVEIL_VEHICLE_PORTS_AUDIT_LOG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/uuid.h"
#include "crypto/merkle.h"

#define AUDIT_LEAF_SIZE_MAX 16384 /* a batch of 100 Reference IDs fits; far below the 65,535 of an entry bundle */

/* Called on the log's own thread, once the leaves are durable (RESULT_OK) or surely not (anything else). Must not
 * block. */
typedef void audit_append_done(void *context, enum result result, uint64_t first_index);

/* What the log needs beside the leaf's bytes to answer queries quickly; all derivable from the leaf. */
struct audit_leaf {
	struct span json; /* copied by append */
	struct uuid leaf_id;
};

struct audit_query {
	int64_t from_ms, to_ms; /* [from, to); 0: open */
	const char *tenant;	/* NULL: any */
	const char *actor, *action, *outcome;
	const struct uuid *reference_id; /* finds single and batch leaves */
	uint64_t before_index;		 /* cursor: entries with a lower index; UINT64_MAX: from the newest */
	size_t limit;
};

struct audit_found {
	uint64_t index;
	struct span json; /* in the caller's arena */
};

struct audit_log;
struct audit_log_ops {
	/* Returns at once; `done` follows exactly once when this returns RESULT_OK, never otherwise. */
	enum result (*append)(struct audit_log *log, const struct audit_leaf *leaves, size_t count,
			      audit_append_done *done, void *context);
	uint64_t (*size)(struct audit_log *log); /* leaves handed out, durable or not */
	uint64_t (*durable_size)(struct audit_log *log);
	enum result (*read)(struct audit_log *log, uint64_t index, struct arena *arena, struct span *ret_json,
			    struct note *note);
	/* Newest first. *ret_next: the cursor for the next page, or 0 when there is none. Bounded work a call, so a
	   page may be short (even empty) and still have a next one. */
	enum result (*query)(struct audit_log *log, const struct audit_query *query, struct arena *arena,
			     struct audit_found *ret_found, size_t *ret_count, uint64_t *ret_next, struct note *note);
	/* The newest signed checkpoint; RESULT_ABSENT before the first. */
	enum result (*checkpoint)(struct audit_log *log, struct buf *ret_note, struct note *note);
	/* Inclusion of an entry in the tree of the newest checkpoint. RESULT_ABSENT when that does not cover it yet. */
	enum result (*prove)(struct audit_log *log, uint64_t index, struct merkle_proof *ret_proof,
			     uint64_t *ret_tree_size, struct note *note);
	/*
	 * C2SP tlog-tiles: level >= 0: hash tile; AUDIT_TILE_ENTRIES: entry bundle. width 256 is the full tile.
	 * RESULT_ABSENT for what the newest checkpoint does not cover. An entry bundle may be as large as
	 * AUDIT_BUNDLE_SIZE_MAX: give ret_bytes that size_max.
	 */
	enum result (*tile)(struct audit_log *log, int level, uint64_t number, unsigned width, struct buf *ret_bytes,
			    struct note *note);
};
#define AUDIT_TILE_ENTRIES    (-1)
#define AUDIT_BUNDLE_SIZE_MAX ((size_t)256 * (2 + AUDIT_LEAF_SIZE_MAX))

struct audit_log {
	const struct audit_log_ops *ops;
};

#endif
