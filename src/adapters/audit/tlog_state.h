/*
 * The running log's state, shared by the files of this adapter: sequencer.c (appending), derive.c (hashes and index),
 * signing.c (checkpoints), recovery.c (opening), query.c (reading), tlog.c (the rest). Private to this folder.
 *
 * Locks, in the order in which they may be taken: signing_mutex, derive_mutex, then one of queue_mutex,
 * checkpoint_mutex, status_mutex or ids_mutex. Sizes that several threads read are atomic and only grow:
 *   checkpoint size <= derived_size <= durable_size
 */
#ifndef VINVEIL_ADAPTERS_AUDIT_TLOG_STATE_H
#define VINVEIL_ADAPTERS_AUDIT_TLOG_STATE_H

#include "adapters/audit/note.h"
#include "adapters/audit/store.h"
#include "adapters/audit/tlog.h"
#include "base/file.h"

#include <pthread.h>
#include <stdatomic.h>

struct queued_append {
	audit_append_done *done;
	void *context;
	size_t leaf_count;
};

/* What shares one write and one sync: the leaves already framed, and who waits for them. */
struct append_group {
	struct buf frames;
	struct queued_append *appends;
	size_t append_count, append_capacity;
	uint64_t leaf_count;
};

/* The open end of the log: the sequencer's alone, once the log is open. */
struct log_end {
	int fd;		      /* the segment of the next entry; -1: it must be opened */
	uint64_t segment;     /* its number */
	uint64_t offset;      /* where the next entry goes */
	uint64_t prepared;    /* the file is written (with zeros from offset on) up to here */
	bool needs_repair;    /* a write failed: cut back to `offset` before the next one */
	bool is_sync_suspect; /* a sync failed: what the page cache says must be read again from the disk */
};

/* The newest signed checkpoint. */
struct signed_head {
	struct buf note;
	uint64_t size;
	struct merkle_hash root;
};

/* Leaf IDs from an index on, for audit_tlog_contains(): open addressing, power of two. */
struct id_set {
	struct uuid *ids;
	uint64_t *indexes; /* index + 1; 0: free */
	size_t capacity, count;
	uint64_t from, to; /* holds the entries in [from, to) */
};

struct tlog {
	struct audit_log base;
	struct audit_store store;
	char directory[PATH_SIZE];
	char origin[VERIFIER_KEY_NAME_MAX + 1];
	struct key_service *signer;
	struct clock *clock;
	int64_t interval_ms;
	size_t preallocation;
	int lock_fd;

	/* The queue: filled by append, emptied by the sequencer. */
	pthread_mutex_t queue_mutex;
	pthread_cond_t queue_filled;
	struct append_group groups[2];
	struct append_group *queue; /* the one being filled */
	uint64_t size;		    /* durable, being written, and queued */
	bool is_closing;
	pthread_t sequencer;
	bool has_sequencer;

	struct log_end end;
	_Atomic uint64_t durable_size;
	atomic_bool is_broken; /* what is on disk is not what was acknowledged: nothing is accepted any more */
	_Atomic uint64_t group_count, failure_count;

	pthread_mutex_t derive_mutex;
	uint64_t derive_offset; /* in its segment, of entry derived_size */
	_Atomic uint64_t derived_size;

	/* The checkpoint thread. */
	pthread_mutex_t signing_mutex; /* held while a checkpoint is made */
	pthread_t signing_thread;
	bool has_signing_thread;
	pthread_mutex_t wake_mutex;
	pthread_cond_t wake; /* something became durable, or the log closes */
	bool is_stopping, is_idle;

	pthread_mutex_t checkpoint_mutex;
	struct signed_head head;
	_Atomic uint64_t head_size;
	_Atomic int64_t uncovered_since_ms; /* monotonic; 0: the head covers all */

	pthread_mutex_t status_mutex;
	char write_failure[NOTE_SIZE], sign_failure[NOTE_SIZE];

	pthread_mutex_t ids_mutex;
	struct id_set ids;
};

static inline struct tlog *tlog_of(struct audit_log *log)
{
	return (struct tlog *)log;
}

/* ---- sequencer.c ------------------------------------------------------------------------------------ */

enum result tlog_append(struct audit_log *base, const struct audit_leaf *leaves, size_t count, audit_append_done *done,
			void *context);
void *sequencer_run(void *log);
void append_group_release(struct append_group *group);

/* ---- derive.c ---------------------------------------------------------------------------------------- */

/* Brings hashes and index up to `size`, which must be durable. */
MUST_USE enum result derive_until(struct tlog *log, uint64_t size, struct note *note);
/* While opening: goes on to the end of the entries, wherever that is. */
MUST_USE enum result derive_to_end(struct tlog *log, struct note *note);
MUST_USE enum result derive_flush(struct tlog *log, struct note *note);

/* ---- signing.c --------------------------------------------------------------------------------------- */

MUST_USE enum result signing_make_checkpoint(struct tlog *log, struct note *note);
void *signing_run(void *log);
void signing_wake(struct tlog *log);
/* Takes over the note's bytes. */
void signing_set_head(struct tlog *log, struct buf *take_note, const struct checkpoint *checkpoint);

/* ---- recovery.c -------------------------------------------------------------------------------------- */

MUST_USE enum result recovery_run(struct tlog *log, const struct audit_tlog_config *config, struct note *note);

/* ---- query.c ----------------------------------------------------------------------------------------- */

enum result tlog_read(struct audit_log *base, uint64_t index, struct arena *arena, struct span *ret_json,
		      struct note *note);
enum result tlog_query(struct audit_log *base, const struct audit_query *query, struct arena *arena,
		       struct audit_found *ret_found, size_t *ret_count, uint64_t *ret_next, struct note *note);
enum result tlog_checkpoint(struct audit_log *base, struct buf *ret_note, struct note *note);
enum result tlog_prove(struct audit_log *base, uint64_t index, struct merkle_proof *ret_proof, uint64_t *ret_tree_size,
		       struct note *note);
enum result tlog_tile(struct audit_log *base, int level, uint64_t number, unsigned width, struct buf *ret_bytes,
		      struct note *note);

#endif
