#include "programs/vinveil/log_copy.h"

#include "adapters/audit/leaf.h"
#include "adapters/audit/store.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define COPY_SIZE 65536

static void store_release(struct audit_store *store)
{
	store_close(store);
}
#define STORE_CLEANUP __attribute__((cleanup(store_release)))

/* ---- walking ---------------------------------------------------------------------------------------- */

/* Where the whole entries end: their number, and the offset in the last segment that has any. */
struct log_extent {
	uint64_t count;
	uint64_t end; /* in segment (count - 1) / SEGMENT_ENTRIES */
};

static enum result walk(struct entry_reader *reader, struct log_extent *ret_extent)
{
	for (;;) {
		struct span entry;
		struct leaf_facts facts;
		enum result result = entry_reader_next(reader, &entry, NULL);
		/* Behind what is whole may stand what a crash, or the log's writer at this very moment, left half. */
		if (result == RESULT_ABSENT || result == RESULT_CORRUPT ||
		    (result == RESULT_OK && leaf_scan(entry, &facts) != RESULT_OK))
			return RESULT_OK;
		TRY(result);
		*ret_extent = (struct log_extent){.count = reader->index, .end = reader->offset};
	}
}

static enum result measure(const struct audit_store *store, struct log_extent *ret_extent)
{
	struct entry_reader reader;
	TRY(entry_reader_open(&reader, store, 0, 0));
	enum result result = walk(&reader, ret_extent);
	entry_reader_close(&reader);
	return result;
}

enum result log_count(const char *directory, uint64_t *ret_count, struct note *note)
{
	STORE_CLEANUP struct audit_store store = {0};
	struct log_extent extent = {0};
	*ret_count = 0;
	enum result result = store_open(directory, false, &store, note);
	if (result == RESULT_ABSENT || !path_exists(directory))
		return RESULT_OK;
	TRY(result);
	TRY(measure(&store, &extent));
	*ret_count = extent.count;
	return RESULT_OK;
}

enum result log_root(const char *directory, uint64_t size, struct merkle_hash *ret_root, struct note *note)
{
	STORE_CLEANUP struct audit_store store = {0};
	TRY(store_open(directory, false, &store, note));
	return merkle_root(&store.reader, size, ret_root);
}

/* ---- the checkpoint --------------------------------------------------------------------------------- */

/* An empty buf without a checkpoint. */
static enum result read_checkpoint(const char *directory, struct buf *ret_note, struct note *note)
{
	char path[PATH_SIZE];
	ret_note->size_max = SIGNED_NOTE_SIZE_MAX;
	TRY(path_join(directory, CHECKPOINT_FILE, path));
	return path_exists(path) ? file_read(path, ret_note, note) : RESULT_OK;
}

enum result log_head(const char *directory, const struct verifier_key *key, uint64_t *ret_size,
		     struct merkle_hash *ret_root, struct note *note)
{
	BUF_CLEANUP struct buf text = {0};
	struct checkpoint checkpoint = {0};
	TRY(read_checkpoint(directory, &text, note));
	if (text.size > 0)
		TRY(checkpoint_read(buf_span(&text), key->name, key, &checkpoint, note));
	*ret_size = checkpoint.size;
	*ret_root = checkpoint.root;
	return RESULT_OK;
}

enum result log_key_read(const char *path, struct verifier_key *ret_key, struct note *note)
{
	BUF_CLEANUP struct buf text = {.size_max = 1024};
	TRY(file_read(path, &text, note));
	while (text.size > 0 && (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r'))
		text.size--;
	return verifier_key_parse(buf_span(&text), ret_key, note);
}

/* ---- copying ---------------------------------------------------------------------------------------- */

static enum result copy_bytes(int from, int to, uint64_t size, struct note *note)
{
	uint8_t bytes[COPY_SIZE];
	for (uint64_t done = 0; done < size;) {
		size_t part = size - done < COPY_SIZE ? (size_t)(size - done) : COPY_SIZE;
		TRY(read_at(from, bytes, part, done, note));
		TRY(write_at(to, bytes, part, done, note));
		done += part;
	}
	if (fsync(to) == 0)
		return RESULT_OK;
	note_set(note, "copying the log: %s", strerror(errno));
	return RESULT_UNAVAILABLE;
}

static enum result copy_segment(const struct audit_store *store, uint64_t segment, uint64_t size, const char *to,
				struct note *note)
{
	char name[STORE_NAME_SIZE], path[PATH_SIZE];
	int source;
	segment_name(segment, name);
	TRY(path_join(to, name, path));
	TRY(segment_open(store, segment, O_RDONLY, &source, note));
	int target = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, STORE_FILE_MODE);
	if (target < 0) {
		note_set(note, "%.200s: %s", path, strerror(errno));
		close(source);
		return RESULT_UNAVAILABLE;
	}
	enum result result = size > 0 ? copy_bytes(source, target, size, note) : RESULT_OK;
	close(target);
	close(source);
	return result;
}

/* A full segment is copied to its end, the last one to the end of its last whole entry. */
static enum result copy_segments(const struct audit_store *store, const struct log_extent *extent, const char *to,
				 struct note *note)
{
	uint64_t last = extent->count == 0 ? 0 : (extent->count - 1) / SEGMENT_ENTRIES;
	for (uint64_t segment = 0; extent->count > 0 && segment <= last; segment++) {
		struct entry_reader reader;
		struct log_extent part = *extent;
		struct span entry;
		if (segment < last) {
			TRY(entry_reader_open(&reader, store, segment * SEGMENT_ENTRIES, 0));
			enum result result = RESULT_OK;
			while (result == RESULT_OK && reader.index < (segment + 1) * SEGMENT_ENTRIES)
				result = entry_reader_next(&reader, &entry, note);
			part.end = reader.offset;
			entry_reader_close(&reader);
			TRY(result);
		}
		TRY(copy_segment(store, segment, part.end, to, note));
	}
	return RESULT_OK;
}

static enum result check_covers(struct span checkpoint_note, uint64_t count, struct note *note)
{
	struct signed_note parsed;
	struct checkpoint checkpoint;
	if (checkpoint_note.size == 0)
		return RESULT_OK;
	if (signed_note_parse(checkpoint_note, &parsed, note) != RESULT_OK ||
	    checkpoint_parse(parsed.text, &checkpoint, note) != RESULT_OK)
		return RESULT_CORRUPT;
	if (checkpoint.size <= count)
		return RESULT_OK;
	note_set(note, "the log has %llu whole entries, its checkpoint names %llu: run vinveil audit verify",
		 (unsigned long long)count, (unsigned long long)checkpoint.size);
	return RESULT_CORRUPT;
}

static enum result put_checkpoint(const char *to, struct span checkpoint_note, struct note *note)
{
	char path[PATH_SIZE];
	if (checkpoint_note.size == 0)
		return RESULT_OK;
	TRY(path_join(to, CHECKPOINT_FILE, path));
	return file_create(path, checkpoint_note, STORE_FILE_MODE, note);
}

enum result log_copy(const char *from, const char *to, uint64_t *ret_count, struct note *note)
{
	STORE_CLEANUP struct audit_store store = {0};
	BUF_CLEANUP struct buf checkpoint_note = {0};
	struct log_extent extent = {0};
	TRY(store_open(from, false, &store, note));
	/* The checkpoint first: entries that are read after it are at least those that it covers. */
	TRY(read_checkpoint(from, &checkpoint_note, note));
	TRY(measure(&store, &extent));
	TRY(check_covers(buf_span(&checkpoint_note), extent.count, note));
	TRY(copy_segments(&store, &extent, to, note));
	TRY(put_checkpoint(to, buf_span(&checkpoint_note), note));
	*ret_count = extent.count;
	return directory_sync(to, note);
}
