#include "adapters/audit/verify.h"

#include "adapters/audit/store.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define PROGRESS_EVERY 16384
#define BLOCK_ENTRIES  512 /* of hashes and records read at once; divides a segment */

struct verification {
	const struct audit_verify_config *config;
	struct audit_store store;
	struct checkpoint checkpoint;
	struct buf checkpoint_note;
	uint64_t index_count, hash_counts[TILE_LEVELS_MAX];	/* what the files hold */
	struct merkle_hash tiles[TILE_LEVELS_MAX][TILE_HASHES]; /* own hashes of the open tile of each level */
	uint64_t hashes_done[TILE_LEVELS_MAX];
	struct merkle_hash hash_block[BLOCK_ENTRIES];
	uint8_t record_block[BLOCK_ENTRIES][INDEX_RECORD_SIZE];
	struct audit_verify_report *report;
	struct note *note;
};

/* ---- telling what is wrong ------------------------------------------------------------------------------------ */

static void set_place(struct verification *run, const char *file, uint64_t offset)
{
	struct audit_verify_failure *failure = &run->report->failure;

	*failure = (struct audit_verify_failure){.offset = offset};
	snprintf(failure->file, sizeof(failure->file), "%.*s", (int)sizeof(failure->file) - 1, file);
}

static enum result __attribute__((format(printf, 2, 3))) fail(struct verification *run, const char *format, ...)
{
	struct audit_verify_failure *failure = &run->report->failure;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(failure->what, sizeof(failure->what), format, arguments);
	va_end(arguments);
	note_set(run->note, "%s, byte %" PRIu64 ": %s", failure->file, failure->offset, failure->what);
	return RESULT_CORRUPT;
}

static void set_entry_place(struct verification *run, uint64_t index, uint64_t offset)
{
	char name[STORE_NAME_SIZE];

	segment_name(index / SEGMENT_ENTRIES, name);
	set_place(run, name, offset);
	run->report->failure.has_index = true;
	run->report->failure.index = index;
}

static void set_hash_place(struct verification *run, unsigned level, uint64_t number)
{
	char name[STORE_NAME_SIZE];

	hashes_name(level, name);
	set_place(run, name, number * SHA256_SIZE);
}

static bool is_covered(const struct verification *run, uint64_t index)
{
	return index < run->checkpoint.size;
}

/* ---- one entry ----------------------------------------------------------------------------------------------------
 */

/* Does the tree of the checkpoint hold this hash as that leaf, going by the hash files? */
static bool is_in_tree(struct verification *run, uint64_t index, const struct merkle_hash *hash)
{
	struct merkle_proof proof;

	return is_covered(run, index) &&
	       merkle_prove_inclusion(&run->store.reader, index, run->checkpoint.size, &proof) == RESULT_OK &&
	       merkle_verify_inclusion(&proof, index, run->checkpoint.size, hash, &run->checkpoint.root) == RESULT_OK;
}

/* Entry and hash file disagree: the signed root says which of them was changed. */
static enum result blame(struct verification *run, uint64_t index, uint64_t offset, const struct merkle_hash *stored,
			 const struct merkle_hash *actual)
{
	if (is_in_tree(run, index, actual)) {
		set_hash_place(run, 0, index);
		return fail(run, "the hash of entry %" PRIu64 " was changed; the entry itself is what was signed",
			    index);
	}
	set_entry_place(run, index, offset);
	if (is_in_tree(run, index, stored))
		return fail(run, "entry %" PRIu64 " was changed: it is not what was signed", index);
	return fail(run, "entry %" PRIu64 " does not have the hash that hashes-0 holds for it", index);
}

/* A stored hash against our own. Of those after the checkpoint the files may hold none yet. */
static enum result check_hash(struct verification *run, unsigned level, uint64_t number, const struct merkle_hash *own)
{
	struct merkle_hash stored;

	if (number >= run->hash_counts[level]) {
		if (((number + 1) << 8 * level) > run->checkpoint.size)
			return RESULT_OK;
		set_hash_place(run, level, number);
		return fail(run, "the file ends before hash %" PRIu64, number);
	}
	TRY(store_read_hashes(&run->store, level, number, 1, &stored, run->note));
	if (memcmp(stored.bytes, own->bytes, SHA256_SIZE) == 0)
		return RESULT_OK;
	set_hash_place(run, level, number);
	return fail(run, "hash %" PRIu64 " of level %u is not that of the tile below", number, level);
}

/* Our own tree grows by a leaf; whatever tile it completes is compared with the files. */
static enum result add_leaf(struct verification *run, const struct merkle_hash *leaf)
{
	struct merkle_hash hash = *leaf;

	for (unsigned level = 0; level < TILE_LEVELS_MAX; level++) {
		uint64_t number = run->hashes_done[level]++;

		if (level > 0)
			TRY(check_hash(run, level, number, &hash));
		run->tiles[level][number % TILE_HASHES] = hash;
		if ((number + 1) % TILE_HASHES != 0)
			return RESULT_OK;
		TRY(hashes_fold(run->tiles[level], TILE_HASHES, &hash));
	}
	return RESULT_OK;
}

static enum result check_leaf_hash(struct verification *run, uint64_t index, uint64_t offset, struct span entry)
{
	const struct merkle_hash *stored = &run->hash_block[index % BLOCK_ENTRIES];
	struct merkle_hash own;

	TRY(merkle_leaf_hash(entry, &own));
	if (index < run->hash_counts[0]) {
		if (memcmp(stored->bytes, own.bytes, SHA256_SIZE) != 0)
			return blame(run, index, offset, stored, &own);
	} else if (is_covered(run, index)) {
		set_hash_place(run, 0, index);
		return fail(run, "the file ends before the hash of entry %" PRIu64, index);
	}
	return add_leaf(run, &own);
}

static enum result check_record(struct verification *run, uint64_t index, uint64_t offset, uint16_t length,
				const struct leaf_facts *facts)
{
	struct index_record record;
	uint8_t own[INDEX_RECORD_SIZE];

	if (index >= run->index_count && !is_covered(run, index))
		return RESULT_OK;
	index_record_make(facts, (uint32_t)offset, length, &record);
	index_record_format(&record, own);
	if (index < run->index_count && memcmp(own, run->record_block[index % BLOCK_ENTRIES], sizeof(own)) == 0)
		return RESULT_OK;
	set_place(run, INDEX_FILE, index * INDEX_RECORD_SIZE);
	run->report->failure.has_index = true;
	run->report->failure.index = index;
	return fail(run,
		    "the index record of entry %" PRIu64
		    " does not fit the entry; delete index while the log is closed, and it is made anew",
		    index);
}

static enum result check_entry(struct verification *run, uint64_t index, uint64_t offset, struct span entry)
{
	struct leaf_facts facts;
	bool is_json = leaf_scan(entry, &facts) == RESULT_OK;

	/* The hash first: where the signed root can name the culprit, its word is the better one. */
	if (is_json || is_covered(run, index))
		TRY(check_leaf_hash(run, index, offset, entry));
	if (!is_json) {
		set_entry_place(run, index, offset);
		return fail(run, "entry %" PRIu64 " is not a JSON object%s", index,
			    is_covered(run, index) ? "" : "; a crash leaves this, and opening the log cuts it off");
	}
	return check_record(run, index, offset, (uint16_t)entry.size, &facts);
}

/* ---- all of them
 * ----------------------------------------------------------------------------------------------------- */

/* Only zeros that were written ahead may follow the last entry of a file. */
static enum result check_zeros(struct verification *run, uint64_t segment, uint64_t offset)
{
	uint8_t bytes[8192];
	char name[STORE_NAME_SIZE];
	enum result result;
	ssize_t got = 0;
	int fd;

	result = segment_open(&run->store, segment, O_RDONLY, &fd, run->note);
	if (result == RESULT_ABSENT)
		return RESULT_OK;
	TRY(result);
	while (result == RESULT_OK && (got = pread(fd, bytes, sizeof(bytes), (off_t)offset)) > 0) {
		for (ssize_t i = 0; i < got && result == RESULT_OK; i++) {
			if (bytes[i] == 0)
				continue;
			segment_name(segment, name);
			set_place(run, name, offset + (uint64_t)i);
			result = fail(run, "something stands behind the last entry");
		}
		offset += (uint64_t)got;
	}
	close(fd);
	return got < 0 ? RESULT_UNAVAILABLE : result;
}

static enum result load_block(struct verification *run, uint64_t first)
{
	uint64_t hashes = run->hash_counts[0] > first ? run->hash_counts[0] - first : 0;
	uint64_t records = run->index_count > first ? run->index_count - first : 0;

	hashes = hashes < BLOCK_ENTRIES ? hashes : BLOCK_ENTRIES;
	records = records < BLOCK_ENTRIES ? records : BLOCK_ENTRIES;
	if (hashes > 0)
		TRY(store_read_hashes(&run->store, 0, first, (size_t)hashes, run->hash_block, run->note));
	if (records == 0)
		return RESULT_OK;
	return read_at(run->store.index_fd, run->record_block, (size_t)records * INDEX_RECORD_SIZE,
		       first * INDEX_RECORD_SIZE, run->note);
}

static void tell_progress(const struct verification *run, uint64_t done)
{
	uint64_t total = done > run->checkpoint.size ? done : run->checkpoint.size;

	if (run->config->progress != NULL && done % PROGRESS_EVERY == 0)
		run->config->progress(run->config->context, done, total);
}

static enum result next_entry(struct verification *run, struct entry_reader *reader, struct span *ret_entry)
{
	uint64_t index = reader->index;
	enum result result = entry_reader_next(reader, ret_entry, NULL);

	if (result == RESULT_OK || result == RESULT_UNAVAILABLE || (result == RESULT_ABSENT && !is_covered(run, index)))
		return result;
	set_entry_place(run, index, index % SEGMENT_ENTRIES == 0 ? 0 : reader->offset);
	if (result == RESULT_ABSENT)
		return fail(run, "the entries end before entry %" PRIu64 " of the %" PRIu64 " that were signed", index,
			    run->checkpoint.size);
	return fail(run, "the length of entry %" PRIu64 " is wrong, or the entry is cut off%s", index,
		    is_covered(run, index) ? "" : "; a crash leaves this, and opening the log cuts it off");
}

static enum result check_entries(struct verification *run, struct entry_reader *reader, uint64_t until)
{
	struct span entry = {NULL, 0};
	enum result result;

	while (reader->index < until) {
		uint64_t index = reader->index;

		if (index % BLOCK_ENTRIES == 0)
			TRY(load_block(run, index));
		result = next_entry(run, reader, &entry);
		if (result == RESULT_ABSENT)
			return RESULT_OK;
		TRY(result);
		TRY(check_entry(run, index, reader->offset - FRAME_SIZE - entry.size, entry));
		if (reader->index % SEGMENT_ENTRIES == 0)
			TRY(check_zeros(run, index / SEGMENT_ENTRIES, reader->offset));
		tell_progress(run, index + 1);
	}
	return RESULT_OK;
}

/* ---- what stands behind the end
 * ------------------------------------------------------------------------------------------ */

static enum result check_no_more_segments(struct verification *run, uint64_t last)
{
	DIR *directory = opendir(run->config->directory);
	enum result result = RESULT_OK;
	struct dirent *file;

	if (directory == NULL)
		return RESULT_UNAVAILABLE;
	while (result == RESULT_OK && (file = readdir(directory)) != NULL) {
		if (strncmp(file->d_name, "entries-", 8) != 0 || strtoull(file->d_name + 8, NULL, 10) <= last)
			continue;
		set_place(run, file->d_name, 0);
		result = fail(run, "the entries end in an earlier file");
	}
	closedir(directory);
	return result;
}

static enum result check_derived_ends(struct verification *run, uint64_t count)
{
	for (unsigned level = 0; level < TILE_LEVELS_MAX; level++) {
		if (run->hash_counts[level] <= count >> 8 * level)
			continue;
		set_hash_place(run, level, count >> 8 * level);
		return fail(run, "something stands behind the last hash");
	}
	if (run->index_count <= count)
		return RESULT_OK;
	set_place(run, INDEX_FILE, count * INDEX_RECORD_SIZE);
	return fail(run, "something stands behind the last record");
}

static enum result check_ends(struct verification *run, const struct entry_reader *reader)
{
	uint64_t count = reader->index;
	uint64_t offset = count % SEGMENT_ENTRIES == 0 ? 0 : reader->offset;

	TRY(check_zeros(run, count / SEGMENT_ENTRIES, offset));
	TRY(check_no_more_segments(run, count / SEGMENT_ENTRIES));
	return check_derived_ends(run, count);
}

/* ---- the whole
 * ---------------------------------------------------------------------------------------------------------------- */

static enum result read_checkpoint(struct verification *run)
{
	char path[PATH_SIZE];
	struct note reason = {0};

	TRY(path_join(run->config->directory, CHECKPOINT_FILE, path));
	TRY(file_read(path, &run->checkpoint_note, run->note));
	if (checkpoint_read(buf_span(&run->checkpoint_note), run->config->origin, run->config->key, &run->checkpoint,
			    &reason) == RESULT_OK)
		return RESULT_OK;
	set_place(run, CHECKPOINT_FILE, 0);
	return fail(run, "%s", reason.text);
}

static enum result measure(struct verification *run)
{
	uint64_t size = 0;

	for (unsigned level = 0; level < TILE_LEVELS_MAX; level++) {
		if (run->store.hash_fds[level] < 0)
			continue;
		TRY(file_size_get(run->store.hash_fds[level], &size, run->note));
		run->hash_counts[level] = size / SHA256_SIZE;
		if (size % SHA256_SIZE != 0) {
			set_hash_place(run, level, size / SHA256_SIZE);
			return fail(run, "the file does not end at the end of a hash");
		}
	}
	if (run->store.index_fd < 0)
		return RESULT_OK;
	TRY(file_size_get(run->store.index_fd, &size, run->note));
	run->index_count = size / INDEX_RECORD_SIZE;
	if (size % INDEX_RECORD_SIZE == 0)
		return RESULT_OK;
	set_place(run, INDEX_FILE, size / INDEX_RECORD_SIZE * INDEX_RECORD_SIZE);
	return fail(run, "the file does not end at the end of a record");
}

/* Somebody has the log open for appending? */
static bool is_live(const struct audit_store *store)
{
	int fd = openat(store->directory_fd, LOCK_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool is_locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;

	if (fd >= 0)
		close(fd);
	return is_locked;
}

/* All stored hashes were compared with our own by now, so the root may be taken from the files. */
static enum result check_root(struct verification *run)
{
	struct merkle_hash root;

	TRY(merkle_root(&run->store.reader, run->checkpoint.size, &root));
	run->report->root = root;
	if (memcmp(root.bytes, run->checkpoint.root.bytes, SHA256_SIZE) == 0)
		return RESULT_OK;
	set_place(run, CHECKPOINT_FILE, 0);
	return fail(run, "entries and hashes fit each other, but not the root that was signed: they were made anew");
}

static enum result verify_all(struct verification *run, struct entry_reader *reader)
{
	struct audit_verify_report *report = run->report;

	report->is_live = is_live(&run->store);
	TRY(read_checkpoint(run));
	report->checkpoint_size = run->checkpoint.size;
	TRY(measure(run));
	TRY(check_entries(run, reader, report->is_live ? run->checkpoint.size : UINT64_MAX));
	report->entry_count = reader->index;
	TRY(check_root(run));
	if (report->is_live || is_live(&run->store))
		return RESULT_OK;
	return check_ends(run, reader);
}

enum result audit_verify(const struct audit_verify_config *config, struct audit_verify_report *ret_report,
			 struct note *note)
{
	struct verification *run = calloc(1, sizeof(*run));
	struct entry_reader reader = {.fd = -1};
	enum result result;

	if (run == NULL)
		return RESULT_MEMORY;
	*ret_report = (struct audit_verify_report){0};
	run->config = config;
	run->report = ret_report;
	run->note = note;
	run->checkpoint_note.size_max = SIGNED_NOTE_SIZE_MAX;
	result = store_open(config->directory, false, &run->store, note);
	if (result == RESULT_OK)
		result = entry_reader_open(&reader, &run->store, 0, 0);
	if (result == RESULT_OK)
		result = verify_all(run, &reader);
	if (result == RESULT_OK && config->progress != NULL)
		config->progress(config->context, ret_report->entry_count, ret_report->entry_count);
	entry_reader_close(&reader);
	store_close(&run->store);
	buf_release(&run->checkpoint_note);
	free(run);
	return result;
}
