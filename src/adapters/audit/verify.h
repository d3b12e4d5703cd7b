/*
 * Offline verification of an audit log, from its files alone and the log's public key: what `vinveil audit verify`
 * runs, and what shows that nobody changed, dropped or reordered an entry that a checkpoint covers. Nothing is
 * written; a log that is being appended to at the same time may be verified (up to its newest checkpoint).
 */
#ifndef VINVEIL_ADAPTERS_AUDIT_VERIFY_H
#define VINVEIL_ADAPTERS_AUDIT_VERIFY_H

#include "adapters/audit/note.h"
#include "base/buf.h"

struct audit_verify_config {
	const char *directory;
	const char *origin;
	const struct verifier_key *key;
	/* Called now and then; may be NULL. */
	void (*progress)(void *context, uint64_t entries_done, uint64_t entries_total);
	void *context;
};

/* Where it fails: the file within the directory, the byte in it, the entry concerned, and why. */
struct audit_verify_failure {
	char file[32];
	uint64_t offset;
	bool has_index; /* the failure belongs to one entry */
	uint64_t index;
	char what[160]; /* no content of the entry */
};

struct audit_verify_report {
	uint64_t checkpoint_size;
	struct merkle_hash root;
	uint64_t entry_count; /* with those after the checkpoint; of a running log only those that it covers */
	bool is_live;	      /* a process has the log open: what is after the checkpoint was not judged */
	struct audit_verify_failure failure; /* written for RESULT_CORRUPT, and only then */
};

/*
 * Checks every entry (framing, JSON, leaf hash), every derived hash of every level, every index record, the root
 * against the checkpoint, the checkpoint's signature, and that nothing stands behind the last entry. RESULT_CORRUPT:
 * the first thing found wrong is in ret_report->failure. RESULT_ABSENT: no checkpoint there yet.
 */
MUST_USE enum result audit_verify(const struct audit_verify_config *config, struct audit_verify_report *ret_report,
				  struct note *note);

#define AUDIT_PROOF_SIZE_MAX (SIGNED_NOTE_SIZE_MAX + MERKLE_PROOF_MAX * 45 + 128)

/* A proof that entry `index` is in the tree of `checkpoint` (the signed note), as C2SP tlog-proof text. */
MUST_USE enum result audit_proof_format(uint64_t index, const struct merkle_proof *proof, struct span checkpoint,
					struct buf *ret_text);
/*
 * The same made from the files. ret_leaf: the entry itself. RESULT_ABSENT: the newest checkpoint does not cover it.
 * RESULT_CORRUPT: the proof that the files give does not hold.
 */
MUST_USE enum result audit_proof_make(const struct audit_verify_config *config, uint64_t index, struct buf *ret_text,
				      struct buf *ret_leaf, struct note *note);
/*
 * Checks a tlog-proof of a leaf, offline. RESULT_INVALID: malformed or of another origin; RESULT_DENIED: a signature
 * or the inclusion does not hold.
 */
MUST_USE enum result audit_proof_verify(struct span text, struct span leaf, const char *origin,
					const struct verifier_key *key, uint64_t *ret_index, struct note *note);

#endif
