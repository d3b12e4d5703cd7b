/*
 * Copying an audit log, also one that is being appended to: its entries and its checkpoint, which are what counts;
 * everything else in the directory is derived (doc/audit-log-format.md).
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_LOG_COPY_H
#define VINVEIL_PROGRAMS_VINVEIL_LOG_COPY_H

#include "adapters/audit/note.h"
#include "base/buf.h"

/* Whole entries in a log that nobody writes; 0 when there is no log. */
MUST_USE enum result log_count(const char *directory, uint64_t *ret_count, struct note *note);

/*
 * The size that the log's newest checkpoint names, its signature verified; 0 without one (ret_head is then zero).
 */
MUST_USE enum result log_head(const char *directory, const struct verifier_key *key, uint64_t *ret_size,
			      struct merkle_hash *ret_root, struct note *note);

/* What is whole of `from` goes to `to`, a directory without a log. RESULT_CORRUPT: less than its checkpoint covers. */
MUST_USE enum result log_copy(const char *from, const char *to, uint64_t *ret_count, struct note *note);

/* The root over the first `size` entries, from the derived files of a log that was opened since it was copied. */
MUST_USE enum result log_root(const char *directory, uint64_t size, struct merkle_hash *ret_root, struct note *note);

/* DIR/ca/audit-log.vkey, the log's public key; its name is the log's origin. */
MUST_USE enum result log_key_read(const char *path, struct verifier_key *ret_key, struct note *note);

#endif
