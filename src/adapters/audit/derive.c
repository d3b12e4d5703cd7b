#include "adapters/audit/tlog_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Hashes and index follow the entries. The only state is how far they are: whatever is written beyond derived_size is
 * written again, so a failure in the middle needs no undoing.
 */

#define CHUNK_ENTRIES 1024

struct chunk {
	uint64_t first;
	size_t count;
	struct merkle_hash hashes[CHUNK_ENTRIES];
	uint8_t records[CHUNK_ENTRIES][INDEX_RECORD_SIZE];
};

static enum result add_entry(struct chunk *chunk, struct span entry, uint64_t offset, struct note *note)
{
	struct leaf_facts facts;
	struct index_record record;

	if (leaf_scan(entry, &facts) != RESULT_OK) {
		note_set(note, "audit log: entry %llu is not a JSON object",
			 (unsigned long long)(chunk->first + chunk->count));
		return RESULT_CORRUPT;
	}
	TRY(merkle_leaf_hash(entry, &chunk->hashes[chunk->count]));
	index_record_make(&facts, (uint32_t)offset, (uint16_t)entry.size, &record);
	index_record_format(&record, chunk->records[chunk->count]);
	chunk->count++;
	return RESULT_OK;
}

static enum result write_records(struct audit_store *store, const struct chunk *chunk, struct note *note)
{
	if (store->index_fd < 0) {
		store->index_fd = openat(store->directory_fd, INDEX_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
					 STORE_FILE_MODE);
		if (store->index_fd < 0) {
			note_set(note, "audit log: making index: %s", strerror(errno));
			return RESULT_UNAVAILABLE;
		}
		store->has_new_files = true;
	}
	return write_at(store->index_fd, chunk->records, chunk->count * INDEX_RECORD_SIZE,
			chunk->first * INDEX_RECORD_SIZE, note);
}

/* Each tile that became full gives one hash to the level above. */
static enum result write_upper_levels(struct audit_store *store, uint64_t from, uint64_t to, struct note *note)
{
	struct merkle_hash tile[TILE_HASHES], root;

	for (unsigned level = 1; level < TILE_LEVELS_MAX; level++) {
		from /= TILE_HASHES;
		to /= TILE_HASHES;
		for (uint64_t number = from; number < to; number++) {
			/* Not "corrupt": to recovery that would mean that the entries end here. */
			if (store_read_hashes(store, level - 1, number * TILE_HASHES, TILE_HASHES, tile, note) !=
			    RESULT_OK)
				return RESULT_UNAVAILABLE;
			TRY(hashes_fold(tile, TILE_HASHES, &root));
			TRY(store_write_hashes(store, level, number, 1, &root, note));
		}
	}
	return RESULT_OK;
}

static enum result write_chunk(struct tlog *log, const struct chunk *chunk, uint64_t offset, struct note *note)
{
	struct audit_store *store = &log->store;

	if (chunk->count == 0)
		return RESULT_OK;
	TRY(store_write_hashes(store, 0, chunk->first, chunk->count, chunk->hashes, note));
	TRY(write_records(store, chunk, note));
	TRY(write_upper_levels(store, chunk->first, chunk->first + chunk->count, note));
	log->derive_offset = offset;
	atomic_store(&log->derived_size, chunk->first + chunk->count);
	return RESULT_OK;
}

/* Up to CHUNK_ENTRIES more. At the end of the entries, or at one that is none, what was read before still counts. */
static enum result derive_chunk(struct tlog *log, struct entry_reader *reader, uint64_t size, struct chunk *chunk,
				struct note *note)
{
	enum result result = RESULT_OK;
	uint64_t offset = reader->offset;
	struct span entry;

	chunk->first = reader->index;
	chunk->count = 0;
	while (chunk->count < CHUNK_ENTRIES && reader->index < size) {
		result = entry_reader_next(reader, &entry, note);
		if (result == RESULT_OK)
			result = add_entry(chunk, entry, reader->offset - FRAME_SIZE - entry.size, note);
		if (result != RESULT_OK)
			break;
		offset = reader->offset;
	}
	TRY(write_chunk(log, chunk, offset, note));
	return result;
}

static enum result derive(struct tlog *log, uint64_t size, struct note *note)
{
	uint64_t index = atomic_load(&log->derived_size);
	struct entry_reader reader = {.fd = -1};
	struct chunk *chunk = malloc(sizeof(*chunk));
	enum result result = chunk == NULL ? RESULT_MEMORY : RESULT_OK;

	if (result == RESULT_OK)
		result = entry_reader_open(&reader, &log->store, index, log->derive_offset);
	while (result == RESULT_OK && reader.index < size)
		result = derive_chunk(log, &reader, size, chunk, note);
	entry_reader_close(&reader);
	free(chunk);
	return result;
}

enum result derive_until(struct tlog *log, uint64_t size, struct note *note)
{
	enum result result = RESULT_OK;

	if (atomic_load(&log->derived_size) >= size)
		return RESULT_OK;
	pthread_mutex_lock(&log->derive_mutex);
	if (atomic_load(&log->derived_size) < size)
		result = derive(log, size, note);
	pthread_mutex_unlock(&log->derive_mutex);
	if (result == RESULT_ABSENT) {
		note_set(note, "audit log: durable entries are not in the file");
		return RESULT_CORRUPT;
	}
	return result;
}

enum result derive_to_end(struct tlog *log, struct note *note)
{
	enum result result = derive(log, UINT64_MAX, note);

	return result == RESULT_ABSENT || result == RESULT_CORRUPT ? RESULT_OK : result;
}

static enum result flush_file(int fd, struct note *note)
{
	if (fd < 0 || fdatasync(fd) == 0)
		return RESULT_OK;
	note_set(note, "audit log: fdatasync of a derived file: %s", strerror(errno));
	return RESULT_UNAVAILABLE;
}

/* The files as they are now; what a query adds meanwhile is for the next flush. */
static void list_files(struct tlog *log, int ret_fds[static TILE_LEVELS_MAX + 1], bool *ret_has_new)
{
	struct audit_store *store = &log->store;

	pthread_mutex_lock(&log->derive_mutex);
	memcpy(ret_fds, store->hash_fds, sizeof(store->hash_fds));
	ret_fds[TILE_LEVELS_MAX] = store->index_fd;
	*ret_has_new = store->has_new_files;
	store->has_new_files = false;
	pthread_mutex_unlock(&log->derive_mutex);
}

static void set_new_files(struct tlog *log)
{
	pthread_mutex_lock(&log->derive_mutex);
	log->store.has_new_files = true;
	pthread_mutex_unlock(&log->derive_mutex);
}

enum result derive_flush(struct tlog *log, struct note *note)
{
	int fds[TILE_LEVELS_MAX + 1];
	bool has_new;

	list_files(log, fds, &has_new);
	if (has_new && fsync(log->store.directory_fd) != 0) {
		note_set(note, "audit log: fsync of the directory: %s", strerror(errno));
		set_new_files(log);
		return RESULT_UNAVAILABLE;
	}
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		TRY(flush_file(fds[i], note));
	return RESULT_OK;
}
