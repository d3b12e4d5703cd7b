#include "adapters/audit/tlog_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Opening, in this order: what was signed (by the file and by keyd), how far hashes and index can be trusted, the
 * entries after that, the judgement, and only then the first change to the entries: the cut at their end.
 */

struct signed_past {
	struct buf note;
	bool has_file;		/* `checkpoint` is there and well-formed */
	struct checkpoint file; /* borrows from note */
	uint64_t keyd_size;
	struct merkle_hash keyd_root;
};

static void past_release(struct signed_past *past)
{
	buf_release(&past->note);
}

/* A damaged checkpoint file is as good as none: keyd's memory is the authority, and signs another one. */
static enum result read_past(struct tlog *log, struct signed_past *past, struct note *note)
{
	struct signed_note parsed;
	char path[PATH_SIZE];
	enum result result;

	TRY(log->signer->ops->last_checkpoint(log->signer, &past->keyd_size, &past->keyd_root, note));
	TRY(path_join(log->directory, CHECKPOINT_FILE, path));
	past->note.size_max = SIGNED_NOTE_SIZE_MAX;
	result = file_read(path, &past->note, note);
	if (result == RESULT_ABSENT || result == RESULT_EXHAUSTED)
		return RESULT_OK;
	TRY(result);
	if (signed_note_parse(buf_span(&past->note), &parsed, NULL) != RESULT_OK ||
	    checkpoint_parse(parsed.text, &past->file, NULL) != RESULT_OK)
		return RESULT_OK;
	if (!span_is_text(past->file.origin, log->origin)) {
		note_set(note, "audit log: %s is another log's, not that of origin %s", path, log->origin);
		return RESULT_INVALID;
	}
	past->has_file = true;
	return RESULT_OK;
}

/* ---- how far the derived files can be trusted ------------------------------------------------------------ */

static bool has_size(int fd, uint64_t size)
{
	uint64_t actual;

	return size == 0 || (fd >= 0 && file_size_get(fd, &actual, NULL) == RESULT_OK && actual >= size);
}

/* Is the last entry where its index record says? *ret_offset: what follows it. */
static bool find_end(const struct audit_store *store, uint64_t size, uint64_t *ret_offset)
{
	struct index_record record;
	uint8_t frame[FRAME_SIZE];
	bool is_there;
	int fd;

	if (store_read_record(store, size - 1, &record, NULL) != RESULT_OK || !(record.flags & INDEX_WRITTEN) ||
	    segment_open(store, (size - 1) / SEGMENT_ENTRIES, O_RDONLY, &fd, NULL) != RESULT_OK)
		return false;
	is_there = read_at(fd, frame, FRAME_SIZE, record.offset, NULL) == RESULT_OK &&
		   (frame[0] << 8 | frame[1]) == record.length;
	close(fd);
	*ret_offset = size % SEGMENT_ENTRIES == 0 ? 0 : (uint64_t)record.offset + FRAME_SIZE + record.length;
	return is_there;
}

/* Derived files are flushed before each checkpoint: they are whole up to it, or something happened to them. */
static bool can_trust(struct tlog *log, const struct checkpoint *checkpoint, uint64_t *ret_offset)
{
	struct audit_store *store = &log->store;
	struct merkle_hash root;

	if (checkpoint->size == 0)
		return false;
	for (unsigned level = 0; level < TILE_LEVELS_MAX; level++)
		if (!has_size(store->hash_fds[level], (checkpoint->size >> 8 * level) * SHA256_SIZE))
			return false;
	return has_size(store->index_fd, checkpoint->size * INDEX_RECORD_SIZE) &&
	       merkle_root(&store->reader, checkpoint->size, &root) == RESULT_OK &&
	       memcmp(root.bytes, checkpoint->root.bytes, SHA256_SIZE) == 0 &&
	       find_end(store, checkpoint->size, ret_offset);
}

static enum result cut(int fd, uint64_t size, const char *name, struct note *note)
{
	if (fd < 0 || (ftruncate(fd, (off_t)size) == 0 && fdatasync(fd) == 0))
		return RESULT_OK;
	note_set(note, "audit log: cutting %s: %s", name, strerror(errno));
	return RESULT_UNAVAILABLE;
}

static enum result cut_derived(struct audit_store *store, uint64_t size, struct note *note)
{
	for (unsigned level = 0; level < TILE_LEVELS_MAX; level++)
		TRY(cut(store->hash_fds[level], (size >> 8 * level) * SHA256_SIZE, "hashes", note));
	return cut(store->index_fd, size * INDEX_RECORD_SIZE, INDEX_FILE, note);
}

static enum result derive_all(struct tlog *log, const struct signed_past *past, bool rebuild, struct note *note)
{
	uint64_t trusted = 0, offset = 0;

	if (!rebuild && past->has_file && can_trust(log, &past->file, &offset))
		trusted = past->file.size;
	else
		offset = 0;
	/* What lies beyond may be older than what the entries say now. */
	TRY(cut_derived(&log->store, trusted, note));
	atomic_store(&log->derived_size, trusted);
	log->derive_offset = offset;
	return derive_to_end(log, note);
}

/* ---- the judgement ---------------------------------------------------------------------------------------- */

static enum result judge(struct tlog *log, uint64_t size, const struct merkle_hash *root, const char *who,
			 struct note *note)
{
	uint64_t held = atomic_load(&log->derived_size);
	struct merkle_hash actual;

	if (size == 0)
		return RESULT_OK; /* nothing was signed yet */
	if (held < size) {
		note_set(note,
			 "audit log: %s is of %llu entries, but only the first %llu are whole on disk; "
			 "restore the missing ones",
			 who, (unsigned long long)size, (unsigned long long)held);
		return RESULT_CORRUPT;
	}
	TRY(merkle_root(&log->store.reader, size, &actual));
	if (memcmp(actual.bytes, root->bytes, SHA256_SIZE) == 0)
		return RESULT_OK;
	note_set(note, "audit log: %s is of another tree: one of its first %llu entries was changed", who,
		 (unsigned long long)size);
	return RESULT_CORRUPT;
}

static enum result judge_past(struct tlog *log, const struct signed_past *past, struct note *note)
{
	TRY(judge(log, past->keyd_size, &past->keyd_root, "the checkpoint that the key service signed last", note));
	if (past->has_file)
		TRY(judge(log, past->file.size, &past->file.root, "the checkpoint file", note));
	return RESULT_OK;
}

/* A checkpoint that the tree does not fit any more is kept for the auditors under another name. */
static enum result set_lost_aside(struct tlog *log, struct signed_past *past, struct note *note)
{
	if (!past->has_file || judge(log, past->file.size, &past->file.root, "", NULL) == RESULT_OK)
		return RESULT_OK;
	past->has_file = false;
	if (renameat(log->store.directory_fd, CHECKPOINT_FILE, log->store.directory_fd, "checkpoint.lost") == 0)
		return RESULT_OK;
	note_set(note, "audit log: renaming checkpoint: %s", strerror(errno));
	return RESULT_UNAVAILABLE;
}

/* ---- the end of the entries -------------------------------------------------------------------------------- */

/* Cuts a segment and makes durable what stays: after a kill it may be in the page cache only. */
static enum result settle_segment(struct tlog *log, uint64_t segment, bool is_last, uint64_t offset, struct note *note)
{
	char name[STORE_NAME_SIZE];
	enum result result;
	int fd;

	result = segment_open(&log->store, segment, O_RDWR, &fd, note);
	if (result == RESULT_ABSENT)
		return RESULT_OK;
	TRY(result);
	segment_name(segment, name);
	if (is_last) {
		result = cut(fd, offset, name, note);
	} else if (fdatasync(fd) != 0) {
		note_set(note, "audit log: fdatasync of %s: %s", name, strerror(errno));
		result = RESULT_UNAVAILABLE;
	}
	close(fd);
	return result;
}

/* Segments behind the last: begun by a group that a crash cut off in the one before. */
static enum result remove_segments_from(struct tlog *log, uint64_t segment, struct note *note)
{
	int fd = openat(log->store.directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	enum result result = directory == NULL ? RESULT_UNAVAILABLE : RESULT_OK;
	struct dirent *file;

	while (result == RESULT_OK && (file = readdir(directory)) != NULL) {
		char name[STORE_NAME_SIZE];
		char *end;
		uint64_t number;

		if (strncmp(file->d_name, "entries-", 8) != 0)
			continue;
		number = strtoull(file->d_name + 8, &end, 10);
		segment_name(number, name);
		if (number < segment || strcmp(name, file->d_name) != 0)
			continue;
		if (unlinkat(log->store.directory_fd, name, 0) != 0)
			result = RESULT_UNAVAILABLE;
	}
	if (result != RESULT_OK)
		note_set(note, "audit log: removing segments: %s", strerror(errno));
	if (directory != NULL)
		closedir(directory);
	else if (fd >= 0)
		close(fd);
	return result;
}

static enum result settle_entries(struct tlog *log, uint64_t settled, struct note *note)
{
	uint64_t size = atomic_load(&log->derived_size);
	uint64_t last = size / SEGMENT_ENTRIES, offset = size % SEGMENT_ENTRIES == 0 ? 0 : log->derive_offset;

	for (uint64_t segment = settled / SEGMENT_ENTRIES; segment < last; segment++)
		TRY(settle_segment(log, segment, false, 0, note));
	TRY(settle_segment(log, last, true, offset, note));
	TRY(remove_segments_from(log, last + 1, note));
	if (fsync(log->store.directory_fd) != 0) {
		note_set(note, "audit log: fsync of the directory: %s", strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	log->end = (struct log_end){.fd = -1, .segment = last, .offset = offset, .prepared = offset};
	atomic_store(&log->durable_size, size);
	log->size = size;
	return cut_derived(&log->store, size, note);
}

static enum result recover(struct tlog *log, const struct audit_tlog_config *config, struct signed_past *past,
			   struct note *note)
{
	uint64_t settled;

	TRY(read_past(log, past, note));
	TRY(derive_all(log, past, config->rebuild, note));
	if (!config->accept_loss)
		TRY(judge_past(log, past, note));
	else
		TRY(set_lost_aside(log, past, note));
	settled = past->has_file && !config->rebuild ? past->file.size : 0;
	TRY(settle_entries(log, settled, note));
	if (past->has_file)
		signing_set_head(log, &past->note, &past->file);
	if (atomic_load(&log->head_size) < atomic_load(&log->durable_size))
		atomic_store(&log->uncovered_since_ms, clock_monotonic_ms(log->clock));
	return RESULT_OK;
}

enum result recovery_run(struct tlog *log, const struct audit_tlog_config *config, struct note *note)
{
	struct signed_past past = {0};
	enum result result = recover(log, config, &past, note);

	past_release(&past);
	return result;
}
