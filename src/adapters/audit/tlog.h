/*
 * The audit log as a C2SP tlog-tiles transparency log in flat files (doc/audit-log-format.md): adapter `tlog` of the
 * port vehicle/ports/audit_log.h.
 *
 *   entries-NNNNNN   what counts: 65,536 entries a file in entry-bundle framing; written and fdatasync'ed before any
 *                    `done` is called
 *   hashes-L         derived: the Merkle hashes of tile level L
 *   index            derived: one 32-byte record an entry, for reading and queries
 *   checkpoint       the newest signed checkpoint
 *   lock             one writer at a time
 *
 * Two threads of its own. The sequencer takes everything that is queued, writes it with one write and one fdatasync,
 * then calls the done callbacks: what arrives while a sync runs shares the next one. The checkpoint thread brings the
 * derived files up and, once an interval when there is something new, has the key service sign a checkpoint. While
 * the key service is away appends go on, and the checkpoint follows when it is back.
 */
#ifndef VINVEIL_ADAPTERS_AUDIT_TLOG_H
#define VINVEIL_ADAPTERS_AUDIT_TLOG_H

#include "base/clock.h"
#include "vehicle/ports/audit_log.h"
#include "vehicle/ports/key_service.h"

#define AUDIT_TLOG_QUEUE_SIZE_DEFAULT	 ((size_t)32 << 20)
#define AUDIT_TLOG_PREALLOCATION_DEFAULT ((size_t)1 << 20)
#define AUDIT_TLOG_INTERVAL_MS_DEFAULT	 1000

/* Zero-initialised but for directory, origin and signer it is complete. Copied by open, but for signer and clock. */
struct audit_tlog_config {
	const char *directory;		/* made (0700) when it is not there */
	const char *origin;		/* the log's name: first line of every checkpoint */
	struct key_service *signer;	/* sign_checkpoint and last_checkpoint; must outlive the log */
	struct clock *clock;		/* NULL: clock_system() */
	int64_t checkpoint_interval_ms; /* 0: the default; negative: only by audit_tlog_checkpoint_now() */
	size_t queue_size_max;		/* bytes that may wait for the disk; beyond it append is RESULT_EXHAUSTED */
	size_t preallocation;		/* zeros written ahead, so that a sync has no metadata to journal; 0: default */
	bool accept_loss;		/* restore only: open even when keyd signed a larger or other tree */
	bool rebuild;			/* make hashes and index anew from the entries */
};

/*
 * Opens and recovers: checks framing and JSON of every entry after the last checkpoint, cuts off what a crash left
 * half-written at the end, brings the derived files up (all anew when they do not fit the checkpoint), and
 * compares the tree with what the key service signed last.
 *
 *   RESULT_CORRUPT      the tree on disk is smaller than, or not an extension of, what keyd signed last (the
 *                       entries are left as they are), or an entry before the last checkpoint is damaged; see note
 *   RESULT_CONFLICT     another process has this log open
 *   RESULT_UNAVAILABLE  keyd does not answer (a log whose past cannot be checked must not grow), or the disk fails
 *   RESULT_INVALID      the configuration
 */
MUST_USE enum result audit_tlog_open(const struct audit_tlog_config *config, struct audit_log **ret_log,
				     struct note *note);
/* Finishes what is queued, tries one last checkpoint, frees; NULL is allowed. No call may run beside it. */
void audit_tlog_close(struct audit_log *log);

/* For metrics and /readyz. */
struct audit_tlog_status {
	uint64_t size, durable_size;
	uint64_t checkpoint_size;
	int64_t checkpoint_age_ms; /* since the newest checkpoint was known to cover all; 0 while it does */
	uint64_t group_count;	   /* groups written: durable_size / group_count is the leaves a sync */
	uint64_t failure_count;	   /* groups that were refused because the disk failed */
	bool is_failing;	   /* the last write failed, or the log refuses to go on until it is opened again */
	char failure[NOTE_SIZE];   /* the last failure of disk or signer, empty while all is well */
};
void audit_tlog_status(struct audit_log *log, struct audit_tlog_status *ret_status);

/* Makes and stores a checkpoint of all that is durable, now. RESULT_OK too when the newest covers it already. */
MUST_USE enum result audit_tlog_checkpoint_now(struct audit_log *log, struct note *note);

/*
 * Is a leaf in the log at from_index or later? RESULT_OK or RESULT_ABSENT. Has the shape of audit_contains
 * (vehicle/audit.h), with the log as context: for draining the outbox. The first call reads all entries from
 * from_index on and remembers their leaf IDs; later calls with the same or a higher from_index are cheap.
 */
MUST_USE enum result audit_tlog_contains(void *log, const struct uuid *leaf_id, uint64_t from_index);
/* Frees what audit_tlog_contains() remembers. */
void audit_tlog_contains_end(struct audit_log *log);

#endif
