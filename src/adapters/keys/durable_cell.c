#include "adapters/keys/durable_cell.h"

#include "adapters/keys/wire.h"
#include "base/file.h"
#include "crypto/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define MAGIC	    "VVCELL1\n"
#define MAGIC_SIZE  8
#define HEADER_SIZE (MAGIC_SIZE + 8 + 4 + SHA256_SIZE)
#define BLOCK_SIZE  4096

struct durable_cell {
	int descriptor;
	size_t size_max;
	uint64_t sequence;
	unsigned slot; /* of the newest content */
};

static size_t slot_size(size_t size_max)
{
	return (HEADER_SIZE + size_max + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
}

static enum result slot_digest(struct span head, struct span content, uint8_t ret_digest[static SHA256_SIZE])
{
	const struct span parts[] = {head, content};
	return sha256_parts(parts, 2, ret_digest);
}

static enum result append_slot(struct buf *slot, uint64_t sequence, struct span content)
{
	uint8_t digest[SHA256_SIZE];
	TRY(buf_append(slot, span_of(MAGIC, MAGIC_SIZE)));
	TRY(wire_put_u64(slot, sequence));
	TRY(wire_put_u32(slot, (uint32_t)content.size));
	TRY(slot_digest(buf_span(slot), content, digest));
	TRY(buf_append(slot, span_of(digest, sizeof(digest))));
	return buf_append(slot, content);
}

/* RESULT_CORRUPT for a slot that was never written, or not to its end. */
static enum result read_slot(struct span slot, size_t size_max, uint64_t *ret_sequence, struct span *ret_content)
{
	struct wire_reader reader = {.rest = slot};
	struct span magic = wire_get_span(&reader, MAGIC_SIZE);
	uint64_t sequence = wire_get_u64(&reader);
	size_t size = wire_get_u32(&reader);
	struct span digest = wire_get_span(&reader, SHA256_SIZE);
	if (reader.failed || !span_equal(magic, span_of(MAGIC, MAGIC_SIZE)) || size > size_max)
		return RESULT_CORRUPT;
	struct span content = wire_get_span(&reader, size);
	if (reader.failed)
		return RESULT_CORRUPT;
	uint8_t expected[SHA256_SIZE];
	TRY(slot_digest(span_of(slot.data, MAGIC_SIZE + 8 + 4), content, expected));
	if (!span_equal(digest, span_of(expected, sizeof(expected))))
		return RESULT_CORRUPT;
	*ret_sequence = sequence;
	*ret_content = content;
	return RESULT_OK;
}

static enum result choose_slot(struct span file, const char *path, struct durable_cell *cell, struct buf *ret_content,
			       struct note *note)
{
	size_t size = slot_size(cell->size_max);
	struct span newest = {0};
	bool found = false;
	for (unsigned i = 0; i < 2 && file.size == 2 * size; i++) {
		uint64_t sequence = 0;
		struct span content = {0};
		enum result result =
			read_slot(span_of(file.data + i * size, size), cell->size_max, &sequence, &content);
		if (result != RESULT_OK && result != RESULT_CORRUPT)
			return result;
		if (result == RESULT_CORRUPT || (found && sequence < cell->sequence))
			continue;
		found = true;
		newest = content;
		cell->sequence = sequence;
		cell->slot = i;
	}
	if (!found) {
		note_set(note, "%s fails its check", path);
		return RESULT_CORRUPT;
	}
	return buf_append(ret_content, newest);
}

static enum result read_cell(const char *path, struct durable_cell *cell, struct buf *ret_content, struct note *note)
{
	BUF_CLEANUP struct buf file = {.size_max = 2 * slot_size(cell->size_max) + 1};
	TRY(file_read(path, &file, note));
	return choose_slot(buf_span(&file), path, cell, ret_content, note);
}

enum result durable_cell_create(const char *path, size_t size_max, struct span content, struct note *note)
{
	size_t size = slot_size(size_max);
	if (content.size > size_max)
		return RESULT_EXHAUSTED;
	BUF_CLEANUP struct buf file = {.size_max = 2 * size};
	TRY(append_slot(&file, 1, content));
	/* The second slot is written now, as zeros, so that storing never needs more disk. */
	uint8_t *room = NULL;
	size_t rest = 2 * size - file.size;
	TRY(buf_reserve(&file, rest, &room));
	memset(room, 0, rest);
	file.size += rest;
	return file_create(path, buf_span(&file), 0600, note);
}

static enum result open_locked(const char *path, int *ret_descriptor, struct note *note)
{
	int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (descriptor < 0) {
		note_set(note, "cannot open %s: %s", path, strerror(errno));
		return errno == ENOENT ? RESULT_ABSENT : RESULT_UNAVAILABLE;
	}
	if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
		note_set(note, "%s is in use by another process: is vinveil-keyd running?", path);
		close(descriptor);
		return RESULT_CONFLICT;
	}
	*ret_descriptor = descriptor;
	return RESULT_OK;
}

enum result durable_cell_open(const char *path, size_t size_max, struct buf *ret_content,
			      struct durable_cell **ret_cell, struct note *note)
{
	struct durable_cell *cell = calloc(1, sizeof(*cell));
	if (!cell)
		return RESULT_MEMORY;
	cell->size_max = size_max;
	cell->descriptor = -1;
	enum result result = open_locked(path, &cell->descriptor, note);
	if (result == RESULT_OK)
		result = read_cell(path, cell, ret_content, note);
	if (result != RESULT_OK) {
		durable_cell_close(cell);
		return result;
	}
	*ret_cell = cell;
	return RESULT_OK;
}

enum result durable_cell_read(const char *path, size_t size_max, struct buf *ret_content, struct note *note)
{
	struct durable_cell cell = {.size_max = size_max};
	return read_cell(path, &cell, ret_content, note);
}

static enum result write_all(int descriptor, struct span bytes, off_t offset)
{
	while (bytes.size > 0) {
		ssize_t count = pwrite(descriptor, bytes.data, bytes.size, offset);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return RESULT_UNAVAILABLE;
		bytes = span_of(bytes.data + count, bytes.size - (size_t)count);
		offset += count;
	}
	return fdatasync(descriptor) == 0 ? RESULT_OK : RESULT_UNAVAILABLE;
}

enum result durable_cell_store(struct durable_cell *cell, struct span content, struct note *note)
{
	if (content.size > cell->size_max)
		return RESULT_EXHAUSTED;
	BUF_CLEANUP struct buf slot = {.size_max = HEADER_SIZE + content.size};
	TRY(append_slot(&slot, cell->sequence + 1, content));
	unsigned other = 1 - cell->slot;
	enum result result = write_all(cell->descriptor, buf_span(&slot), (off_t)(other * slot_size(cell->size_max)));
	if (result != RESULT_OK) {
		note_set(note, "cannot store the key daemon's state: %s", strerror(errno));
		return result;
	}
	cell->slot = other;
	cell->sequence++;
	return RESULT_OK;
}

void durable_cell_close(struct durable_cell *cell)
{
	if (!cell)
		return;
	if (cell->descriptor >= 0)
		close(cell->descriptor);
	free(cell);
}
