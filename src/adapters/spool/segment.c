#include "adapters/spool/segment.h"

#include "adapters/spool/crc32c.h"
#include "base/entropy.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAGIC		"VVSPOOL\n"
#define NUMBER_DIGITS	16
#define ENDING		".spool"
#define PREPARED_ENDING ".next"

_Static_assert(sizeof(struct record_header) == 40, "a record's header is 40 bytes on disk");
_Static_assert(offsetof(struct segment_header, is_finished) == 44, "the header's layout is on disk");
_Static_assert(sizeof(MAGIC) - 1 == sizeof(((struct segment_header *)0)->magic), "the magic is 8 bytes");

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define FD_CLEANUP __attribute__((cleanup(close_fd)))

static enum result fail(struct note *note, const char *what, const char *name)
{
	note_set(note, "spool: %s %s: %s", what, name, strerror(errno));
	return RESULT_UNAVAILABLE;
}

/* ---- records -------------------------------------------------------------------------------------------- */

uint32_t record_crc(const struct record_header *record, uint32_t length)
{
	const uint8_t *rest = (const uint8_t *)record + offsetof(struct record_header, tag_and_kind);

	return crc32c(crc32c(0, span_of(&length, sizeof(length))),
		      span_of(rest, length - offsetof(struct record_header, tag_and_kind)));
}

/* Cheap first: in a search nearly every place fails by its tag. */
static bool is_whole(const struct segment *segment, size_t offset, uint32_t length)
{
	const struct record_header *record = segment_record(segment, offset);

	return length >= RECORD_HEADER_SIZE && length <= RECORD_HEADER_SIZE + SPOOL_BODY_SIZE_MAX &&
	       length <= segment->size - offset && record->tag_and_kind >> 16 == segment->tag &&
	       record->crc == record_crc(record, length);
}

enum segment_look segment_look_at(const struct segment *segment, size_t offset, struct spool_record *ret_record,
				  size_t *ret_next)
{
	const struct record_header *record;
	uint32_t length;

	/* A writer that has no room for a record leaves what is there empty. */
	if (offset > segment->size || segment->size - offset < RECORD_HEADER_SIZE)
		return SEGMENT_EMPTY;
	length = segment_length_at(segment, offset);
	if (length == 0)
		return SEGMENT_EMPTY;
	if (!is_whole(segment, offset, length))
		return SEGMENT_DAMAGED;
	record = segment_record(segment, offset);
	*ret_record = (struct spool_record){
		.kind = (uint16_t)record->tag_and_kind,
		.at_ms = record->at_ms,
		.body = span_of((const uint8_t *)record + RECORD_HEADER_SIZE, length - RECORD_HEADER_SIZE),
	};
	memcpy(ret_record->subject.bytes, record->subject, UUID_SIZE);
	*ret_next = offset + record_size(length - RECORD_HEADER_SIZE);
	return SEGMENT_RECORD;
}

enum result segment_search(const struct segment *segment, size_t offset, size_t *ret_found)
{
	for (; offset < segment->size && segment->size - offset >= RECORD_HEADER_SIZE; offset += 8) {
		uint32_t length = segment_length_at(segment, offset);

		if (length == 0 || !is_whole(segment, offset, length))
			continue;
		*ret_found = offset;
		return RESULT_OK;
	}
	return RESULT_ABSENT;
}

/* ---- one file ------------------------------------------------------------------------------------------- */

void segment_file_name(uint64_t number, char ret_name[static SEGMENT_NAME_SIZE])
{
	snprintf(ret_name, SEGMENT_NAME_SIZE, "%0*" PRIx64 ENDING, NUMBER_DIGITS, number);
}

void segment_prepared_name(uint64_t number, char ret_name[static SEGMENT_NAME_SIZE])
{
	snprintf(ret_name, SEGMENT_NAME_SIZE, "%0*" PRIx64 PREPARED_ENDING, NUMBER_DIGITS, number);
}

static uint32_t header_crc(const struct segment_header *header)
{
	return crc32c(0, span_of(header, offsetof(struct segment_header, crc)));
}

/* All blocks are there before anything is mapped: writing into a hole of a full disk would be a SIGBUS. */
static enum result fill_new(int fd, uint64_t number, size_t size, mode_t mode, struct segment *ret_segment,
			    struct note *note)
{
	struct segment_header header = {.version = SEGMENT_VERSION, .number = number, .size = size};
	uint64_t random;
	uint8_t *base;
	int code = posix_fallocate(fd, 0, (off_t)size);

	if (code != 0) {
		errno = code;
		return fail(note, "allocating", "a segment");
	}
	TRY(entropy_fill(entropy_system(), &random, sizeof(random)));
	memcpy(header.magic, MAGIC, sizeof(header.magic));
	header.tag = random >> 16 | 1;
	header.crc = header_crc(&header);
	if (fchmod(fd, mode) != 0 || pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return fail(note, "writing", "a segment's header");
	if (fsync(fd) != 0)
		return fail(note, "syncing", "a segment");
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return fail(note, "mapping", "a segment");
	madvise(base, size, MADV_DONTDUMP);
	/* Its pages are faulted in here and not while the broker appends. A kernel that cannot does it as it comes. */
	madvise(base, size, MADV_POPULATE_WRITE);
	*ret_segment = (struct segment){.base = base, .size = size, .number = number, .tag = header.tag};
	return RESULT_OK;
}

enum result segment_make(int directory, uint64_t number, size_t size, mode_t mode, struct segment *ret_segment,
			 struct note *note)
{
	char name[SEGMENT_NAME_SIZE];
	struct segment segment = {0};

	segment_prepared_name(number, name);
	FD_CLEANUP int fd = openat(directory, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return fail(note, "making", "a segment");
	enum result result = fill_new(fd, number, size, mode, &segment, note);
	if (result == RESULT_OK && fsync(directory) != 0)
		result = fail(note, "syncing", "the directory");
	if (result == RESULT_OK) {
		*ret_segment = segment;
		return RESULT_OK;
	}
	segment_unmap(&segment);
	unlinkat(directory, name, 0);
	return result;
}

static enum result check_header(const struct segment_header *header, uint64_t number, size_t size)
{
	bool is_right = memcmp(header->magic, MAGIC, sizeof(header->magic)) == 0 &&
			header->version == SEGMENT_VERSION && header->crc == header_crc(header) &&
			header->number == number && header->size == size;

	return is_right ? RESULT_OK : RESULT_CORRUPT;
}

static enum result map(int directory, const char *name, uint64_t number, struct segment *ret_segment, struct note *note)
{
	struct stat status;
	struct segment segment = {.number = number};

	FD_CLEANUP int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return RESULT_ABSENT;
	if (fd < 0 || fstat(fd, &status) != 0)
		return fail(note, "opening", name);
	segment.size = (size_t)status.st_size;
	if (!S_ISREG(status.st_mode) || status.st_size < (off_t)SEGMENT_HEADER_SIZE || segment.size % 8 != 0) {
		note_set(note, "spool: %s is not a segment", name);
		return RESULT_CORRUPT;
	}
	segment.base = mmap(NULL, segment.size, PROT_READ, MAP_SHARED, fd, 0);
	if (segment.base == MAP_FAILED)
		return fail(note, "mapping", name);
	madvise(segment.base, segment.size, MADV_DONTDUMP);
	if (check_header(segment_header(&segment), number, segment.size) != RESULT_OK) {
		segment_unmap(&segment);
		note_set(note, "spool: the header of %s is damaged", name);
		return RESULT_CORRUPT;
	}
	segment.tag = segment_header(&segment)->tag;
	*ret_segment = segment;
	return RESULT_OK;
}

enum result segment_map(int directory, uint64_t number, struct segment *ret_segment, struct note *note)
{
	char name[SEGMENT_NAME_SIZE];

	segment_file_name(number, name);
	return map(directory, name, number, ret_segment, note);
}

enum result segment_map_prepared(int directory, uint64_t number, struct segment *ret_segment, struct note *note)
{
	char name[SEGMENT_NAME_SIZE];

	segment_prepared_name(number, name);
	return map(directory, name, number, ret_segment, note);
}

void segment_unmap(struct segment *segment)
{
	if (segment->base != NULL)
		munmap(segment->base, segment->size);
	*segment = (struct segment){0};
}

enum result segment_finish(int directory, uint64_t number, struct note *note)
{
	char name[SEGMENT_NAME_SIZE];
	const uint32_t finished = 1;
	const off_t at = offsetof(struct segment_header, is_finished);

	segment_file_name(number, name);
	FD_CLEANUP int fd = openat(directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return RESULT_OK; /* the reader was faster */
	if (fd < 0 || pwrite(fd, &finished, sizeof(finished), at) != (ssize_t)sizeof(finished))
		return fail(note, "finishing", name);
	return RESULT_OK;
}

/* ---- all files ------------------------------------------------------------------------------------------ */

static bool parse_name(const char *name, const char *ending, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (strlen(name) != NUMBER_DIGITS + strlen(ending) || strcmp(name + NUMBER_DIGITS, ending) != 0)
		return false;
	for (int i = 0; i < NUMBER_DIGITS; i++) {
		const char *digits = "0123456789abcdef", *digit = strchr(digits, name[i]);

		if (digit == NULL)
			return false;
		number = number << 4 | (uint64_t)(digit - digits);
	}
	*ret_number = number;
	return true;
}

static int compare_numbers(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static enum result list_add(struct segment_list *list, uint64_t number)
{
	if (list->count % 64 == 0) {
		uint64_t *numbers = reallocarray(list->numbers, list->count + 64, sizeof(*numbers));

		if (numbers == NULL)
			return RESULT_MEMORY;
		list->numbers = numbers;
	}
	list->numbers[list->count++] = number;
	return RESULT_OK;
}

static enum result list_read(int directory, const char *ending, struct segment_list *ret_list, struct note *note)
{
	SEGMENT_LIST_CLEANUP struct segment_list list = {0};
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	enum result result = RESULT_OK;
	struct dirent *entry;
	uint64_t number;

	if (stream == NULL) {
		result = fail(note, "listing", "its directory");
		if (fd >= 0)
			close(fd);
		return result;
	}
	while (result == RESULT_OK && (entry = readdir(stream)) != NULL)
		if (parse_name(entry->d_name, ending, &number))
			result = list_add(&list, number);
	closedir(stream);
	TRY(result);
	if (list.count > 0)
		qsort(list.numbers, list.count, sizeof(*list.numbers), compare_numbers);
	*ret_list = list;
	list = (struct segment_list){0};
	return RESULT_OK;
}

enum result segment_list_read(int directory, struct segment_list *ret_list, struct note *note)
{
	return list_read(directory, ENDING, ret_list, note);
}

enum result segment_list_read_prepared(int directory, struct segment_list *ret_list, struct note *note)
{
	return list_read(directory, PREPARED_ENDING, ret_list, note);
}

void segment_list_release(struct segment_list *list)
{
	free(list->numbers);
	*list = (struct segment_list){0};
}

static enum result take_lock(int directory, const char *path, const char *lock_name, mode_t mode, int *ret_lock,
			     struct note *note)
{
	int lock = openat(directory, lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);

	if (lock < 0)
		return fail(note, "opening", lock_name);
	if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
		enum result result = errno == EWOULDBLOCK ? RESULT_CONFLICT : fail(note, "locking", lock_name);

		close(lock);
		if (result == RESULT_CONFLICT)
			note_set(note, "spool: another process has %s/%s", path, lock_name);
		return result;
	}
	*ret_lock = lock;
	return RESULT_OK;
}

enum result spool_directory_open(const char *path, const char *lock_name, int *ret_directory, int *ret_lock,
				 mode_t *ret_mode, struct note *note)
{
	struct stat status;
	enum result result;
	mode_t mode;
	int directory;

	TRY(directory_make(path, S_IRWXU, note));
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0 || fstat(directory, &status) != 0) {
		result = fail(note, "opening", path);
		if (directory >= 0)
			close(directory);
		return result;
	}
	mode = S_IRUSR | S_IWUSR | ((status.st_mode & S_IWGRP) ? S_IRGRP | S_IWGRP : 0);
	result = take_lock(directory, path, lock_name, mode, ret_lock, note);
	if (result != RESULT_OK) {
		close(directory);
		return result;
	}
	*ret_directory = directory;
	*ret_mode = mode;
	return RESULT_OK;
}

/* ---- waking ----------------------------------------------------------------------------------------------- */

enum result spool_wake_map(int directory, mode_t mode, _Atomic uint32_t **ret_word, struct note *note)
{
	FD_CLEANUP int fd = openat(directory, WAKE_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
	void *base;
	int code;

	if (fd < 0)
		return fail(note, "opening", WAKE_NAME);
	fchmod(fd, mode); /* whoever comes second may not own it, and need not */
	code = posix_fallocate(fd, 0, (off_t)WAKE_SIZE);
	if (code != 0) {
		errno = code;
		return fail(note, "allocating", WAKE_NAME);
	}
	base = mmap(NULL, WAKE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return fail(note, "mapping", WAKE_NAME);
	*ret_word = base;
	return RESULT_OK;
}

void spool_wake_unmap(_Atomic uint32_t *word)
{
	if (word != NULL)
		munmap((void *)word, WAKE_SIZE);
}

void spool_wake(_Atomic uint32_t *word)
{
	atomic_fetch_add(word, 1);
	syscall(SYS_futex, (uint32_t *)(void *)word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- the reader's position -------------------------------------------------------------------------------- */

struct stored_position {
	uint64_t segment, offset;
	uint64_t crc; /* of the two */
};

enum result spool_position_read(int directory, struct spool_position *ret_position)
{
	struct stored_position stored;
	FD_CLEANUP int fd = openat(directory, POSITION_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || pread(fd, &stored, sizeof(stored), 0) != (ssize_t)sizeof(stored))
		return RESULT_ABSENT;
	if (stored.crc != crc32c(0, span_of(&stored, offsetof(struct stored_position, crc))))
		return RESULT_ABSENT;
	*ret_position = (struct spool_position){.segment = stored.segment, .offset = stored.offset};
	return RESULT_OK;
}

enum result spool_position_write(int fd, const struct spool_position *position, struct note *note)
{
	struct stored_position stored = {.segment = position->segment, .offset = position->offset};

	stored.crc = crc32c(0, span_of(&stored, offsetof(struct stored_position, crc)));
	if (pwrite(fd, &stored, sizeof(stored), 0) != (ssize_t)sizeof(stored))
		return fail(note, "writing", POSITION_NAME);
	return RESULT_OK;
}
