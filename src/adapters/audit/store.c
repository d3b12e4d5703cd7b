#include "adapters/audit/store.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void segment_name(uint64_t segment, char ret_name[static STORE_NAME_SIZE])
{
	snprintf(ret_name, STORE_NAME_SIZE, "entries-%06llu", (unsigned long long)segment);
}

void hashes_name(unsigned level, char ret_name[static STORE_NAME_SIZE])
{
	snprintf(ret_name, STORE_NAME_SIZE, "hashes-%u", level);
}

enum result read_at(int fd, void *ret_bytes, size_t size, uint64_t offset, struct note *note)
{
	uint8_t *bytes = ret_bytes;

	while (size > 0) {
		ssize_t got = pread(fd, bytes, size, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			note_set(note, "audit log: reading: %s", strerror(errno));
			return RESULT_UNAVAILABLE;
		}
		if (got == 0) {
			note_set(note, "audit log: a file ends %zu bytes too early", size);
			return RESULT_CORRUPT;
		}
		bytes += got;
		size -= (size_t)got;
		offset += (uint64_t)got;
	}
	return RESULT_OK;
}

enum result write_at(int fd, const void *bytes, size_t size, uint64_t offset, struct note *note)
{
	const uint8_t *from = bytes;

	while (size > 0) {
		ssize_t put = pwrite(fd, from, size, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0) {
			note_set(note, "audit log: writing: %s", put < 0 ? strerror(errno) : "nothing was written");
			return RESULT_UNAVAILABLE;
		}
		from += put;
		size -= (size_t)put;
		offset += (uint64_t)put;
	}
	return RESULT_OK;
}

enum result file_size_get(int fd, uint64_t *ret_size, struct note *note)
{
	struct stat status;

	if (fstat(fd, &status) != 0) {
		note_set(note, "audit log: fstat: %s", strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	*ret_size = (uint64_t)status.st_size;
	return RESULT_OK;
}

/* ---- opening -------------------------------------------------------------------------------------- */

static enum result open_file(int directory_fd, const char *name, int flags, int *ret_fd, struct note *note)
{
	int fd = openat(directory_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, STORE_FILE_MODE);

	if (fd < 0 && errno == ENOENT)
		return RESULT_ABSENT;
	if (fd < 0) {
		note_set(note, "audit log: opening %s: %s", name, strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	*ret_fd = fd;
	return RESULT_OK;
}

/* A derived file that is absent stays -1. */
static enum result open_derived(struct audit_store *store, const char *name, int *ret_fd, struct note *note)
{
	enum result result = open_file(store->directory_fd, name, store->is_writable ? O_RDWR : O_RDONLY, ret_fd, note);

	return result == RESULT_ABSENT ? RESULT_OK : result;
}

static enum result node(struct merkle_reader *reader, unsigned level, uint64_t index, struct merkle_hash *ret_hash)
{
	const struct audit_store *store = (const struct audit_store *)(const void *)reader;
	struct merkle_hash hashes[TILE_HASHES];
	size_t count = (size_t)1 << level % 8;

	TRY(store_read_hashes(store, level / 8, index << level % 8, count, hashes, NULL));
	return hashes_fold(hashes, count, ret_hash);
}

enum result store_open(const char *directory, bool is_writable, struct audit_store *ret_store, struct note *note)
{
	struct audit_store *store = ret_store;
	char name[STORE_NAME_SIZE];

	*store = (struct audit_store){.reader = {.node = node}, .index_fd = -1, .is_writable = is_writable};
	for (unsigned level = 0; level < TILE_LEVELS_MAX; level++)
		store->hash_fds[level] = -1;
	store->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->directory_fd < 0) {
		bool is_absent = errno == ENOENT;

		note_set(note, "audit log: opening %s: %s", directory, strerror(errno));
		return is_absent ? RESULT_ABSENT : RESULT_UNAVAILABLE;
	}
	for (unsigned level = 0; level < TILE_LEVELS_MAX; level++) {
		hashes_name(level, name);
		TRY(open_derived(store, name, &store->hash_fds[level], note));
	}
	return open_derived(store, INDEX_FILE, &store->index_fd, note);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void store_close(struct audit_store *store)
{
	for (unsigned level = 0; level < TILE_LEVELS_MAX; level++)
		close_fd(&store->hash_fds[level]);
	close_fd(&store->index_fd);
	close_fd(&store->directory_fd);
}

enum result segment_open(const struct audit_store *store, uint64_t segment, int flags, int *ret_fd, struct note *note)
{
	char name[STORE_NAME_SIZE];

	segment_name(segment, name);
	return open_file(store->directory_fd, name, flags, ret_fd, note);
}

/* ---- hashes and records ----------------------------------------------------------------------------- */

enum result store_read_hashes(const struct audit_store *store, unsigned level, uint64_t first, size_t count,
			      struct merkle_hash *ret_hashes, struct note *note)
{
	if (level >= TILE_LEVELS_MAX || store->hash_fds[level] < 0) {
		note_set(note, "audit log: hashes-%u is missing", level);
		return RESULT_CORRUPT;
	}
	return read_at(store->hash_fds[level], ret_hashes, count * SHA256_SIZE, first * SHA256_SIZE, note);
}

enum result store_write_hashes(struct audit_store *store, unsigned level, uint64_t first, size_t count,
			       const struct merkle_hash *hashes, struct note *note)
{
	char name[STORE_NAME_SIZE];

	if (store->hash_fds[level] < 0) {
		hashes_name(level, name);
		TRY(open_file(store->directory_fd, name, O_RDWR | O_CREAT, &store->hash_fds[level], note));
		store->has_new_files = true;
	}
	return write_at(store->hash_fds[level], hashes, count * SHA256_SIZE, first * SHA256_SIZE, note);
}

enum result hashes_fold(struct merkle_hash *hashes, size_t count, struct merkle_hash *ret_root)
{
	for (; count > 1; count /= 2)
		for (size_t i = 0; i < count / 2; i++)
			TRY(merkle_node_hash(&hashes[2 * i], &hashes[2 * i + 1], &hashes[i]));
	*ret_root = hashes[0];
	return RESULT_OK;
}

enum result store_read_record(const struct audit_store *store, uint64_t index, struct index_record *ret_record,
			      struct note *note)
{
	uint8_t bytes[INDEX_RECORD_SIZE];

	if (store->index_fd < 0) {
		note_set(note, "audit log: index is missing");
		return RESULT_CORRUPT;
	}
	TRY(read_at(store->index_fd, bytes, sizeof(bytes), index * INDEX_RECORD_SIZE, note));
	index_record_parse(bytes, ret_record);
	return RESULT_OK;
}

/* ---- entries -------------------------------------------------------------------------------------- */

enum result entry_reader_open(struct entry_reader *ret_reader, const struct audit_store *store, uint64_t index,
			      uint64_t offset)
{
	*ret_reader = (struct entry_reader){.store = store, .fd = -1, .index = index, .offset = offset};
	ret_reader->window = malloc(ENTRY_WINDOW_SIZE);
	return ret_reader->window == NULL ? RESULT_MEMORY : RESULT_OK;
}

void entry_reader_close(struct entry_reader *reader)
{
	close_fd(&reader->fd);
	free(reader->window);
	reader->window = NULL;
}

/* Makes the window begin at the next entry and hold as much of the file as fits. */
static enum result fill_window(struct entry_reader *reader, struct note *note)
{
	reader->window_offset = reader->offset;
	reader->window_size = 0;
	while (reader->window_size < ENTRY_WINDOW_SIZE) {
		ssize_t got =
			pread(reader->fd, reader->window + reader->window_size, ENTRY_WINDOW_SIZE - reader->window_size,
			      (off_t)(reader->window_offset + reader->window_size));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			note_set(note, "audit log: reading entries: %s", strerror(errno));
			return RESULT_UNAVAILABLE;
		}
		if (got == 0)
			break;
		reader->window_size += (size_t)got;
	}
	return RESULT_OK;
}

static struct span window_rest(const struct entry_reader *reader)
{
	uint64_t used = reader->offset - reader->window_offset;

	if (reader->offset < reader->window_offset || used >= reader->window_size)
		return (struct span){NULL, 0};
	return span_of(reader->window + used, reader->window_size - (size_t)used);
}

static bool holds_entry(struct span rest)
{
	return rest.size >= FRAME_SIZE && rest.size - FRAME_SIZE >= (size_t)(rest.data[0] << 8 | rest.data[1]);
}

static enum result enter_segment(struct entry_reader *reader, struct note *note)
{
	if (reader->index % SEGMENT_ENTRIES == 0 && reader->offset != 0) {
		close_fd(&reader->fd);
		reader->offset = 0;
	}
	if (reader->fd >= 0)
		return RESULT_OK;
	reader->window_offset = reader->window_size = 0;
	return segment_open(reader->store, reader->index / SEGMENT_ENTRIES, O_RDONLY, &reader->fd, note);
}

enum result entry_reader_next(struct entry_reader *reader, struct span *ret_entry, struct note *note)
{
	struct span rest;
	size_t length;

	TRY(enter_segment(reader, note));
	rest = window_rest(reader);
	if (!holds_entry(rest) || (rest.data[0] == 0 && rest.data[1] == 0)) {
		TRY(fill_window(reader, note)); /* also when the file has grown since */
		rest = window_rest(reader);
	}
	if (rest.size == 0 || (rest.size == 1 && rest.data[0] == 0))
		return RESULT_ABSENT;
	length = rest.size == 1 ? SIZE_MAX : (size_t)(rest.data[0] << 8 | rest.data[1]);
	if (length == 0)
		return RESULT_ABSENT;
	if (length > AUDIT_LEAF_SIZE_MAX || length > rest.size - FRAME_SIZE) {
		note_set(note, "audit log: entry %llu is cut off", (unsigned long long)reader->index);
		return RESULT_CORRUPT;
	}
	*ret_entry = span_of(rest.data + FRAME_SIZE, length);
	reader->offset += FRAME_SIZE + length;
	reader->index++;
	return RESULT_OK;
}
