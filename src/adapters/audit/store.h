/*
 * The files of a log (doc/audit-log-format.md), shared by the running log and by offline verification: names, reading
 * of entries, index records and hashes. Holds no state of the log. Reading is thread-safe.
 */
#ifndef VINVEIL_ADAPTERS_AUDIT_STORE_H
#define VINVEIL_ADAPTERS_AUDIT_STORE_H

#include "adapters/audit/leaf.h"
#include "crypto/merkle.h"

#define SEGMENT_ENTRIES ((uint64_t)65536)
#define TILE_HASHES	256
#define TILE_LEVELS_MAX 8
#define FRAME_SIZE	2 /* the length before an entry */
#define STORE_NAME_SIZE 32
#define CHECKPOINT_FILE "checkpoint"
#define LOCK_FILE	"lock"
#define INDEX_FILE	"index"
#define STORE_FILE_MODE 0600

struct audit_store {
	struct merkle_reader reader; /* the tree, out of the hash files */
	int directory_fd;
	int index_fd; /* -1: not there */
	int hash_fds[TILE_LEVELS_MAX];
	bool is_writable;   /* missing derived files are made when they are needed */
	bool has_new_files; /* the directory must be synced */
};

/* Zero-initialised is not releasable: fds of 0. store_open makes it so, even when it fails. */
MUST_USE enum result store_open(const char *directory, bool is_writable, struct audit_store *ret_store,
				struct note *note);
void store_close(struct audit_store *store);

void segment_name(uint64_t segment, char ret_name[static STORE_NAME_SIZE]);
void hashes_name(unsigned level, char ret_name[static STORE_NAME_SIZE]);

/* All of it or RESULT_CORRUPT (the file ends before) or RESULT_UNAVAILABLE (the disk). */
MUST_USE enum result read_at(int fd, void *ret_bytes, size_t size, uint64_t offset, struct note *note);
MUST_USE enum result write_at(int fd, const void *bytes, size_t size, uint64_t offset, struct note *note);
MUST_USE enum result file_size_get(int fd, uint64_t *ret_size, struct note *note);

/* RESULT_ABSENT when it is not there. */
MUST_USE enum result segment_open(const struct audit_store *store, uint64_t segment, int flags, int *ret_fd,
				  struct note *note);

/* Hashes [first, first + count) of a tile level. */
MUST_USE enum result store_read_hashes(const struct audit_store *store, unsigned level, uint64_t first, size_t count,
				       struct merkle_hash *ret_hashes, struct note *note);
MUST_USE enum result store_write_hashes(struct audit_store *store, unsigned level, uint64_t first, size_t count,
					const struct merkle_hash *hashes, struct note *note);
/* The root over 2^n hashes; destroys them. */
MUST_USE enum result hashes_fold(struct merkle_hash *hashes, size_t count, struct merkle_hash *ret_root);

MUST_USE enum result store_read_record(const struct audit_store *store, uint64_t index, struct index_record *ret_record,
				       struct note *note);

/* ---- entries, one after the other ---------------------------------------------------------------------- */

#define ENTRY_WINDOW_SIZE ((size_t)256 << 10)

struct entry_reader {
	const struct audit_store *store;
	int fd;			/* of the segment that `index` is in; -1: not opened yet */
	uint64_t index, offset; /* of the next entry */
	uint8_t *window;
	uint64_t window_offset;
	size_t window_size;
};

/* Where `index` lies must be known (offset 0 at the start of a segment). */
MUST_USE enum result entry_reader_open(struct entry_reader *ret_reader, const struct audit_store *store, uint64_t index,
				       uint64_t offset);
void entry_reader_close(struct entry_reader *reader);
/*
 * The next entry, borrowed until the next call; reader->index and ->offset then name the one after it, so it began at
 * offset - FRAME_SIZE - size (in the segment of index - 1). RESULT_ABSENT: the end (a length of 0, the end of the
 * file, or no next segment). RESULT_CORRUPT: a length that cannot be, or an entry that the file cuts off.
 */
MUST_USE enum result entry_reader_next(struct entry_reader *reader, struct span *ret_entry, struct note *note);

#endif
