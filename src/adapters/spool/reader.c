#include "adapters/spool/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct spool_reader {
	int directory, lock, position_fd;
	_Atomic uint32_t *wake_word;
	_Atomic bool is_interrupted;
	struct segment current; /* base NULL: none */
	size_t offset;		/* of the next record in it */
	bool is_followed;	/* a later segment was there when this one was entered */
	bool is_stuck;		/* at a damaged record with nothing behind it yet */
	/* Where to go on when there is no current segment: at `start` itself, or behind the segment that was left. */
	struct spool_position start;
	bool is_left;
	uint64_t freed_before; /* segments below are removed */
};

/* ---- from segment to segment ------------------------------------------------------------------------------ */

static const uint64_t *first_from(const struct segment_list *list, uint64_t number)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->numbers[i] >= number)
			return &list->numbers[i];
	return NULL;
}

/*
 * The segment to go on with. A reader that is just opened takes the first of all when nothing is left at or behind its
 * position: the spool was made anew, and what is in it was never read.
 */
static enum result choose(struct spool_reader *reader, uint64_t *ret_number, bool *ret_is_followed, struct note *note)
{
	SEGMENT_LIST_CLEANUP struct segment_list list = {0};
	const uint64_t *found;

	TRY(segment_list_read(reader->directory, &list, note));
	found = first_from(&list, reader->start.segment + (reader->is_left ? 1 : 0));
	if (found == NULL && !reader->is_left && list.count > 0)
		found = &list.numbers[0];
	if (found == NULL)
		return RESULT_ABSENT;
	*ret_number = *found;
	*ret_is_followed = found != &list.numbers[list.count - 1];
	return RESULT_OK;
}

static void leave(struct spool_reader *reader)
{
	reader->start = (struct spool_position){.segment = reader->current.number};
	reader->is_left = true;
	segment_unmap(&reader->current);
}

/* RESULT_CORRUPT: that one cannot be read, and is left behind. */
static enum result enter(struct spool_reader *reader, struct note *note)
{
	uint64_t number = 0;
	enum result result;

	TRY(choose(reader, &number, &reader->is_followed, note));
	result = segment_map(reader->directory, number, &reader->current, note);
	if (result == RESULT_CORRUPT) {
		reader->start = (struct spool_position){.segment = number};
		reader->is_left = true;
	}
	TRY(result);
	reader->offset = SEGMENT_HEADER_SIZE;
	if (!reader->is_left && number == reader->start.segment && reader->start.offset > SEGMENT_HEADER_SIZE &&
	    reader->start.offset % 8 == 0 && reader->start.offset <= reader->current.size)
		reader->offset = reader->start.offset;
	return RESULT_OK;
}

/* Nothing more comes into the current segment. */
static bool is_complete(const struct spool_reader *reader)
{
	return reader->is_followed || segment_is_finished(&reader->current);
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

static enum result skipped(struct spool_reader *reader, size_t to, struct note *note)
{
	note_set(note, "spool: segment %016" PRIx64 ": %zu damaged bytes at %zu were skipped", reader->current.number,
		 to - reader->offset, reader->offset);
	reader->offset = to;
	return RESULT_CORRUPT;
}

/*
 * No whole record stands here. In a complete segment a record further on shows that something is lost between; else
 * it is what a writer that died had begun, and the segment ends. RESULT_OK: the segment was left.
 */
static enum result pass_damage(struct spool_reader *reader, enum segment_look look, struct note *note)
{
	size_t found = reader->current.size;
	bool is_found = reader->offset < reader->current.size &&
			segment_search(&reader->current, reader->offset, &found) == RESULT_OK;

	if (is_found || (look == SEGMENT_DAMAGED && is_complete(reader)))
		return skipped(reader, found, note);
	if (!is_complete(reader)) {
		reader->is_stuck = true;
		return RESULT_ABSENT;
	}
	leave(reader);
	return RESULT_OK;
}

static enum result read_current(struct spool_reader *reader, struct spool_record *ret_record,
				struct spool_position *ret_after, bool *ret_is_left, struct note *note)
{
	size_t next = 0;
	/* Asked first: what is published before the segment is finished is seen by the look after it. */
	bool complete = is_complete(reader);
	enum segment_look look = segment_look_at(&reader->current, reader->offset, ret_record, &next);

	*ret_is_left = false;
	reader->is_stuck = false;
	if (look == SEGMENT_RECORD) {
		reader->offset = next;
		*ret_after = (struct spool_position){.segment = reader->current.number, .offset = next};
		return RESULT_OK;
	}
	if (look == SEGMENT_EMPTY && !complete)
		return RESULT_ABSENT;
	TRY(pass_damage(reader, look, note));
	*ret_is_left = true;
	return RESULT_OK;
}

enum result spool_read(struct spool_reader *reader, struct spool_record *ret_record, struct spool_position *ret_after,
		       struct note *note)
{
	for (bool is_left = true; is_left;) {
		if (reader->current.base == NULL)
			TRY(enter(reader, note));
		TRY(read_current(reader, ret_record, ret_after, &is_left, note));
	}
	return RESULT_OK;
}

/* ---- waiting ---------------------------------------------------------------------------------------------- */

static bool may_have_more(const struct spool_reader *reader)
{
	if (reader->current.base == NULL)
		return false;
	if (is_complete(reader))
		return true;
	return !reader->is_stuck && reader->current.size - reader->offset >= RECORD_HEADER_SIZE &&
	       segment_length_at(&reader->current, reader->offset) != 0;
}

void spool_wait(struct spool_reader *reader, int64_t timeout_ms)
{
	struct timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000};
	uint32_t word = atomic_load(reader->wake_word);

	if (!atomic_exchange(&reader->is_interrupted, false) && !may_have_more(reader) && timeout_ms > 0) {
		syscall(SYS_futex, (uint32_t *)(void *)reader->wake_word, FUTEX_WAIT, word, &timeout, NULL, 0);
		atomic_store(&reader->is_interrupted, false);
	}
}

void spool_interrupt(struct spool_reader *reader)
{
	atomic_store(&reader->is_interrupted, true);
	spool_wake(reader->wake_word);
}

/* ---- how much is left ------------------------------------------------------------------------------------- */

/* From record to record, without looking into them. */
static uint64_t behind_in_current(const struct spool_reader *reader)
{
	size_t at = reader->offset, size = reader->current.size;

	while (at < size && size - at >= RECORD_HEADER_SIZE) {
		uint32_t length = segment_length_at(&reader->current, at);

		if (length < RECORD_HEADER_SIZE || length > size - at)
			break;
		at += record_size(length - RECORD_HEADER_SIZE);
	}
	return at - reader->offset;
}

void spool_behind(struct spool_reader *reader, uint64_t *ret_bytes, uint32_t *ret_segments)
{
	SEGMENT_LIST_CLEANUP struct segment_list list = {0};
	uint64_t current = reader->current.base != NULL ? reader->current.number : reader->start.segment;

	*ret_bytes = reader->current.base != NULL ? behind_in_current(reader) : 0;
	*ret_segments = 0;
	if (segment_list_read(reader->directory, &list, NULL) != RESULT_OK)
		return;
	for (size_t i = 0; i < list.count; i++)
		*ret_segments += list.numbers[i] > current;
	*ret_bytes += (uint64_t)*ret_segments * reader->current.size;
}

/* ---- marking ---------------------------------------------------------------------------------------------- */

/* The newest stays whatever was read of it: its number is what the next writer counts on from. */
static enum result free_before(struct spool_reader *reader, uint64_t number, struct note *note)
{
	SEGMENT_LIST_CLEANUP struct segment_list list = {0};
	char name[SEGMENT_NAME_SIZE];

	if (number <= reader->freed_before)
		return RESULT_OK;
	TRY(segment_list_read(reader->directory, &list, note));
	for (size_t i = 0; i + 1 < list.count && list.numbers[i] < number; i++) {
		segment_file_name(list.numbers[i], name);
		if (unlinkat(reader->directory, name, 0) != 0 && errno != ENOENT) {
			note_set(note, "spool: removing %s: %s", name, strerror(errno));
			return RESULT_UNAVAILABLE;
		}
	}
	reader->freed_before = number;
	return RESULT_OK;
}

enum result spool_mark(struct spool_reader *reader, const struct spool_position *position, struct note *note)
{
	TRY(spool_position_write(reader->position_fd, position, note));
	return free_before(reader, position->segment, note);
}

/* ---- opening and closing ---------------------------------------------------------------------------------- */

static enum result open_position(struct spool_reader *reader, mode_t mode, struct note *note)
{
	reader->position_fd = openat(reader->directory, POSITION_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
	if (reader->position_fd < 0) {
		note_set(note, "spool: opening %s: %s", POSITION_NAME, strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	fchmod(reader->position_fd, mode);
	return RESULT_OK;
}

static enum result begin(struct spool_reader *reader, const char *path, const struct spool_position *from,
			 struct note *note)
{
	mode_t mode = 0;

	TRY(spool_directory_open(path, READER_LOCK_NAME, &reader->directory, &reader->lock, &mode, note));
	TRY(spool_wake_map(reader->directory, mode, &reader->wake_word, note));
	TRY(open_position(reader, mode, note));
	if (from != NULL)
		reader->start = *from;
	else if (spool_position_read(reader->directory, &reader->start) == RESULT_ABSENT)
		reader->start = (struct spool_position){0};
	return RESULT_OK;
}

enum result spool_reader_open(const char *directory, const struct spool_position *from,
			      struct spool_reader **ret_reader, struct note *note)
{
	struct spool_reader *reader = calloc(1, sizeof(*reader));
	enum result result;

	if (reader == NULL)
		return RESULT_MEMORY;
	reader->directory = reader->lock = reader->position_fd = -1;
	result = begin(reader, directory, from, note);
	if (result == RESULT_OK)
		*ret_reader = reader;
	else
		spool_reader_close(reader);
	return result;
}

void spool_reader_close(struct spool_reader *reader)
{
	if (reader == NULL)
		return;
	segment_unmap(&reader->current);
	spool_wake_unmap(reader->wake_word);
	const int fds[] = {reader->position_fd, reader->lock, reader->directory};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(reader);
}
