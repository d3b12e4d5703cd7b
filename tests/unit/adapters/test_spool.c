/*
 * The spool: what is appended is read, in order and whole, over restarts of either side and whatever is damaged. The
 * disk's failures are made by wrapping posix_fallocate and msync (see meson.build).
 */
#include "adapters/spool/crc32c.h"
#include "adapters/spool/segment.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SMALL_SEGMENT (SPOOL_BODY_SIZE_MAX + 8192)

static atomic_int failing_allocations, failing_syncs, syncs;

int __real_posix_fallocate(int fd, off_t offset, off_t size);
int __wrap_posix_fallocate(int fd, off_t offset, off_t size);
int __wrap_posix_fallocate64(int fd, off_t offset, off_t size);
int __real_msync(void *address, size_t size, int flags);
int __wrap_msync(void *address, size_t size, int flags);

int __wrap_posix_fallocate(int fd, off_t offset, off_t size)
{
	if (atomic_load(&failing_allocations) > 0)
		return ENOSPC;
	return ftruncate(fd, offset + size) == 0 ? 0 : errno;
}

int __wrap_posix_fallocate64(int fd, off_t offset, off_t size)
{
	return __wrap_posix_fallocate(fd, offset, size);
}

int __wrap_msync(void *address, size_t size, int flags)
{
	atomic_fetch_add(&syncs, 1);
	if (atomic_load(&failing_syncs) > 0) {
		errno = EIO;
		return -1;
	}
	return __real_msync(address, size, flags);
}

/* ---- a spool of its own for each test --------------------------------------------------------------------- */

struct fixture {
	char directory[64];
	struct spool_config config;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/vinveil-spool-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	fixture->config = (struct spool_config){
		.directory = fixture->directory, .segment_size = SMALL_SEGMENT, .segments_max = 4, .sync_ms = 1};
	atomic_store(&failing_allocations, 0);
	atomic_store(&failing_syncs, 0);
	*state = fixture;
	return 0;
}

static void remove_files(const struct fixture *fixture)
{
	DIR *directory = opendir(fixture->directory);
	struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
		unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory != NULL)
		closedir(directory);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	remove_files(fixture);
	rmdir(fixture->directory);
	free(fixture);
	return 0;
}

static struct spool_writer *open_writer(const struct fixture *fixture)
{
	struct spool_writer *writer = NULL;
	struct note note = {0};

	if (spool_writer_open(&fixture->config, &writer, &note) != RESULT_OK)
		fail_msg("%s", note.text);
	return writer;
}

static struct spool_reader *open_reader(const struct fixture *fixture, const struct spool_position *from)
{
	struct spool_reader *reader = NULL;
	struct note note = {0};

	if (spool_reader_open(fixture->directory, from, &reader, &note) != RESULT_OK)
		fail_msg("%s", note.text);
	return reader;
}

/* A record that says which one it is, and whose size and bytes follow from that. */
static enum result append_number(struct spool_writer *writer, uint64_t number)
{
	uint8_t body[1000];
	size_t size = 8 + number * 37 % 900;
	struct spool_record record = {.kind = (uint16_t)(number % 7), .at_ms = (int64_t)number * 3};

	memset(body, (int)(number % 251), sizeof(body));
	memcpy(body, &number, sizeof(number));
	memset(record.subject.bytes, (int)(number % 253), UUID_SIZE);
	record.body = span_of(body, size);
	return spool_append(writer, &record);
}

static uint64_t check_record(const struct spool_record *record)
{
	uint64_t number;

	assert_true(record->body.size >= sizeof(number));
	memcpy(&number, record->body.data, sizeof(number));
	assert_int_equal(record->body.size, 8 + number * 37 % 900);
	assert_int_equal(record->kind, number % 7);
	assert_int_equal(record->at_ms, (int64_t)number * 3);
	assert_int_equal(record->subject.bytes[15], number % 253);
	for (size_t i = 8; i < record->body.size; i++)
		assert_int_equal(record->body.data[i], number % 251);
	return number;
}

static void expect_number(struct spool_reader *reader, uint64_t number, struct spool_position *ret_after)
{
	struct spool_record record;
	struct spool_position after;
	struct note note = {0};
	enum result result = spool_read(reader, &record, &after, &note);

	if (result != RESULT_OK)
		fail_msg("record %llu: %s: %s", (unsigned long long)number, result_name(result), note.text);
	assert_int_equal(check_record(&record), number);
	if (ret_after != NULL)
		*ret_after = after;
}

static enum result read_any(struct spool_reader *reader)
{
	struct spool_record record;
	struct spool_position after;

	return spool_read(reader, &record, &after, NULL);
}

static size_t count_files(const struct fixture *fixture, const char *suffix)
{
	DIR *directory = opendir(fixture->directory);
	struct dirent *entry;
	size_t count = 0;

	assert_non_null(directory);
	while ((entry = readdir(directory)) != NULL) {
		size_t length = strlen(entry->d_name);

		if (length >= strlen(suffix) && strcmp(entry->d_name + length - strlen(suffix), suffix) == 0)
			count++;
	}
	closedir(directory);
	return count;
}

/* ---- the checksum ----------------------------------------------------------------------------------------- */

static void test_crc_is_the_published_one(void **state)
{
	uint8_t bytes[300];

	(void)state;
	/* RFC 3720 appendix B.4 */
	memset(bytes, 0, 32);
	assert_int_equal(crc32c(0, span_of(bytes, 32)), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(crc32c(0, span_of(bytes, 32)), 0x62a8ab43);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * i + 3);
	for (size_t size = 0; size < sizeof(bytes); size++) {
		uint32_t whole = crc32c(0, span_of(bytes, size));

		assert_int_equal(whole, crc32c_by_table(0, span_of(bytes, size)));
		assert_int_equal(
			whole, crc32c(crc32c(0, span_of(bytes, size / 3)), span_of(bytes + size / 3, size - size / 3)));
	}
}

/* ---- refusals --------------------------------------------------------------------------------------------- */

static void test_a_second_writer_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = open_writer(fixture), *second = NULL;
	struct note note = {0};

	assert_int_equal(spool_writer_open(&fixture->config, &second, &note), RESULT_CONFLICT);
	assert_non_null(strstr(note.text, fixture->directory));
	spool_writer_close(writer);
	spool_writer_close(open_writer(fixture));
}

static void test_a_second_reader_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_reader *reader = open_reader(fixture, NULL), *second = NULL;

	assert_int_equal(spool_reader_open(fixture->directory, NULL, &second, NULL), RESULT_CONFLICT);
	spool_reader_close(reader);
	spool_reader_close(open_reader(fixture, NULL));
}

static void test_sizes_out_of_bounds_are_refused(void **state)
{
	struct fixture *fixture = *state;
	struct spool_writer *writer = NULL;
	uint8_t *body;

	fixture->config.segment_size = SMALL_SEGMENT - 4096;
	assert_int_equal(spool_writer_open(&fixture->config, &writer, NULL), RESULT_INVALID);
	fixture->config.segment_size = SMALL_SEGMENT + 1;
	assert_int_equal(spool_writer_open(&fixture->config, &writer, NULL), RESULT_INVALID);
	fixture->config.segment_size = SMALL_SEGMENT;
	fixture->config.segments_max = 1;
	assert_int_equal(spool_writer_open(&fixture->config, &writer, NULL), RESULT_INVALID);
	fixture->config.segments_max = 2;
	writer = open_writer(fixture);
	assert_int_equal(spool_reserve(writer, SPOOL_BODY_SIZE_MAX + 1, &body), RESULT_INVALID);
	assert_int_equal(spool_reserve(writer, SPOOL_BODY_SIZE_MAX, &body), RESULT_OK);
	spool_writer_close(writer);
}

static void test_a_full_disk_is_refused_and_recovered_from(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = NULL;
	struct spool_status status;
	struct note note = {0};
	uint64_t count = 0;

	atomic_store(&failing_allocations, 1);
	assert_int_equal(spool_writer_open(&fixture->config, &writer, &note), RESULT_UNAVAILABLE);
	assert_int_equal(count_files(fixture, ".spool"), 0);
	atomic_store(&failing_allocations, 0);
	writer = open_writer(fixture);
	atomic_store(&failing_allocations, 1);
	while (append_number(writer, count) == RESULT_OK)
		count++;
	spool_writer_status(writer, &status);
	assert_true(status.is_failing);
	assert_int_equal(status.appended, count);
	atomic_store(&failing_allocations, 0);
	while (append_number(writer, count) != RESULT_OK)
		usleep(1000);
	spool_writer_close(writer);
	struct spool_reader *reader = open_reader(fixture, NULL);
	for (uint64_t i = 0; i <= count; i++)
		expect_number(reader, i, NULL);
	spool_reader_close(reader);
}

static void test_a_full_spool_refuses_until_the_reader_frees(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = open_writer(fixture);
	struct spool_reader *reader = open_reader(fixture, NULL);
	struct spool_position after = {0};
	struct spool_status status;
	uint64_t count = 0, first_refused;

	while (append_number(writer, count) == RESULT_OK)
		count++;
	first_refused = count;
	assert_int_equal(append_number(writer, count), RESULT_EXHAUSTED);
	assert_int_equal(count_files(fixture, ".spool"), 4);
	spool_writer_status(writer, &status);
	assert_int_equal(status.segments, 4);
	assert_true(status.refused >= 2);
	for (uint64_t i = 0; i < first_refused; i++)
		expect_number(reader, i, &after);
	assert_int_equal(read_any(reader), RESULT_ABSENT);
	assert_int_equal(spool_mark(reader, &after, NULL), RESULT_OK);
	assert_int_equal(count_files(fixture, ".spool"), 1);
	while (append_number(writer, count) != RESULT_OK)
		usleep(1000);
	expect_number(reader, first_refused, NULL);
	spool_writer_close(writer);
	spool_reader_close(reader);
}

/* ---- order, restarts -------------------------------------------------------------------------------------- */

static void test_everything_comes_in_order_over_segments(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = open_writer(fixture);
	struct spool_reader *reader = open_reader(fixture, NULL);
	struct spool_position after;

	assert_int_equal(read_any(reader), RESULT_ABSENT);
	for (uint64_t i = 0; i < 5000; i++) {
		assert_int_equal(append_number(writer, i), RESULT_OK);
		if (i < 10)
			continue;
		expect_number(reader, i - 10, &after);
		assert_int_equal(spool_mark(reader, &after, NULL), RESULT_OK);
	}
	assert_true(count_files(fixture, ".spool") <= 2);
	spool_writer_close(writer);
	for (uint64_t i = 4990; i < 5000; i++)
		expect_number(reader, i, NULL);
	assert_int_equal(read_any(reader), RESULT_ABSENT);
	spool_reader_close(reader);
}

static void test_a_reader_goes_on_where_it_marked(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = open_writer(fixture);
	struct spool_reader *reader = open_reader(fixture, NULL);
	struct spool_position after = {0}, none = {0};

	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(append_number(writer, i), RESULT_OK);
	for (uint64_t i = 0; i < 7; i++)
		expect_number(reader, i, &after);
	assert_int_equal(spool_mark(reader, &after, NULL), RESULT_OK);
	expect_number(reader, 7, NULL);
	spool_reader_close(reader);
	reader = open_reader(fixture, NULL);
	expect_number(reader, 7, NULL);
	spool_reader_close(reader);
	reader = open_reader(fixture, &none);
	expect_number(reader, 0, NULL);
	spool_reader_close(reader);
	reader = open_reader(fixture, &after);
	expect_number(reader, 7, NULL);
	spool_reader_close(reader);
	spool_writer_close(writer);
}

static void test_a_new_writer_begins_behind_and_nothing_is_lost(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_reader *reader = open_reader(fixture, NULL);
	uint64_t number = 0;
	struct spool_position after = {0};

	for (int round = 0; round < 10; round++) {
		struct spool_writer *writer = open_writer(fixture);

		for (int i = 0; i < 3; i++)
			assert_int_equal(append_number(writer, number++), RESULT_OK);
		if (round % 2 == 0)
			expect_number(reader, number - 3, &after);
		spool_writer_close(writer);
		for (uint64_t i = number - (round % 2 == 0 ? 2 : 3); i < number; i++)
			expect_number(reader, i, &after);
		assert_int_equal(spool_mark(reader, &after, NULL), RESULT_OK);
	}
	spool_reader_close(reader);
	/* A writer that never appends leaves no trail of segments. */
	size_t before = count_files(fixture, ".spool");
	for (int i = 0; i < 5; i++)
		spool_writer_close(open_writer(fixture));
	assert_true(count_files(fixture, ".spool") <= before + 1);
	assert_int_equal(count_files(fixture, ".next"), 0);
}

/* ---- after a power cut ------------------------------------------------------------------------------------ */

/* Appends the numbers below count, reads them, and ends as a cut ends it: where the reader's store has it. */
static struct spool_position spool_of(const struct fixture *fixture, uint64_t count)
{
	struct spool_writer *writer = open_writer(fixture);
	struct spool_reader *reader = open_reader(fixture, NULL);
	struct spool_position after = {0};

	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(append_number(writer, i), RESULT_OK);
	for (uint64_t i = 0; i < count; i++)
		expect_number(reader, i, &after);
	spool_reader_close(reader);
	spool_writer_close(writer);
	return after;
}

/* As if the segment had never got its name; with or without what was appended to it. */
static void take_name_back(const struct fixture *fixture, uint64_t number, bool with_records)
{
	char name[SEGMENT_NAME_SIZE], prepared[SEGMENT_NAME_SIZE];
	int directory = open(fixture->directory, O_RDONLY | O_DIRECTORY);

	segment_file_name(number, name);
	segment_prepared_name(number, prepared);
	assert_int_equal(renameat(directory, name, directory, prepared), 0);
	int fd = openat(directory, prepared, O_RDWR);
	if (!with_records) {
		assert_int_equal(ftruncate(fd, SEGMENT_HEADER_SIZE), 0);
		assert_int_equal(ftruncate(fd, SMALL_SEGMENT), 0);
	}
	close(fd);
	close(directory);
}

static void test_a_name_that_a_cut_took_back_loses_nothing(void **state)
{
	const struct fixture *fixture = *state;

	for (int with_records = 0; with_records <= 1; with_records++) {
		struct spool_position after = spool_of(fixture, 3), none = {0};
		struct spool_writer *writer;
		struct spool_reader *reader;

		take_name_back(fixture, after.segment, with_records);
		writer = open_writer(fixture);
		assert_int_equal(append_number(writer, 10), RESULT_OK);
		reader = open_reader(fixture, &after);
		expect_number(reader, 10, &after);
		spool_reader_close(reader);
		reader = open_reader(fixture, &none);
		for (uint64_t i = 0; i < (with_records ? 3 : 0); i++)
			expect_number(reader, i, NULL);
		expect_number(reader, 10, NULL);
		assert_int_equal(spool_mark(reader, &after, NULL), RESULT_OK);
		spool_reader_close(reader);
		spool_writer_close(writer);
		assert_int_equal(count_files(fixture, ".next"), 0);
		remove_files(fixture);
	}
}

/* The reader's store knows of records that the spool has lost. */
static void test_a_reader_that_is_ahead_goes_on_with_what_comes(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_position ahead = spool_of(fixture, 1);
	struct spool_writer *writer = open_writer(fixture);
	struct spool_reader *reader;

	ahead.offset += 80000;
	reader = open_reader(fixture, &ahead);
	assert_int_equal(append_number(writer, 2), RESULT_OK);
	expect_number(reader, 2, NULL);
	spool_reader_close(reader);
	/* … or of segments. */
	ahead.segment += 900;
	reader = open_reader(fixture, &ahead);
	expect_number(reader, 0, NULL);
	expect_number(reader, 2, NULL);
	spool_reader_close(reader);
	spool_writer_close(writer);
}

static void test_a_spool_that_was_made_anew_is_read_from_its_start(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_position after = spool_of(fixture, 3);
	struct spool_writer *writer;

	remove_files(fixture);
	usleep(2000); /* numbers begin at the clock's milliseconds */
	writer = open_writer(fixture);
	assert_int_equal(append_number(writer, 1), RESULT_OK);
	struct spool_reader *reader = open_reader(fixture, &after);
	expect_number(reader, 1, NULL);
	spool_reader_close(reader);
	spool_writer_close(writer);
}

static void test_numbers_go_on_behind_the_readers_position(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_reader *reader = open_reader(fixture, NULL);
	struct spool_position far = {.segment = 77, .offset = 4096}, after;
	struct spool_writer *writer;

	assert_int_equal(spool_mark(reader, &far, NULL), RESULT_OK);
	spool_reader_close(reader);
	writer = open_writer(fixture);
	assert_int_equal(append_number(writer, 5), RESULT_OK);
	reader = open_reader(fixture, NULL);
	expect_number(reader, 5, &after);
	assert_int_equal(after.segment, 78);
	/* Whatever is marked: the newest stays, or its number would come again. */
	far.segment = 500;
	assert_int_equal(spool_mark(reader, &far, NULL), RESULT_OK);
	assert_int_equal(count_files(fixture, ".spool"), 1);
	spool_reader_close(reader);
	spool_writer_close(writer);
}

static void test_a_damaged_position_means_the_start(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = open_writer(fixture);
	char path[PATH_SIZE];

	assert_int_equal(append_number(writer, 0), RESULT_OK);
	assert_int_equal(path_join(fixture->directory, "position", path), RESULT_OK);
	assert_int_equal(file_replace(path, span_of("0123456789abcdef01234567", 24), 0600, NULL), RESULT_OK);
	struct spool_reader *reader = open_reader(fixture, NULL);
	expect_number(reader, 0, NULL);
	spool_reader_close(reader);
	spool_writer_close(writer);
}

/* ---- damage ----------------------------------------------------------------------------------------------- */

/* In the first segment. */
static void overwrite(const struct fixture *fixture, size_t offset, const void *bytes, size_t size)
{
	SEGMENT_LIST_CLEANUP struct segment_list list = {0};
	char name[SEGMENT_NAME_SIZE];
	int directory = open(fixture->directory, O_RDONLY | O_DIRECTORY);

	assert_int_equal(segment_list_read(directory, &list, NULL), RESULT_OK);
	assert_true(list.count > 0);
	segment_file_name(list.numbers[0], name);
	int fd = openat(directory, name, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), (ssize_t)size);
	close(fd);
	close(directory);
}

/* Ten records; gives where each begins. */
static void append_ten(const struct fixture *fixture, struct spool_writer *writer, size_t starts[static 11])
{
	struct spool_reader *reader = open_reader(fixture, NULL);
	struct spool_position after;

	starts[0] = SEGMENT_HEADER_SIZE;
	for (uint64_t i = 0; i < 10; i++) {
		assert_int_equal(append_number(writer, i), RESULT_OK);
		expect_number(reader, i, &after);
		starts[i + 1] = after.offset;
	}
	spool_reader_close(reader);
}

static void test_damaged_records_are_skipped(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = open_writer(fixture);
	const uint8_t zeros[40] = {0};
	size_t starts[11];
	struct spool_record record;
	struct spool_position after;
	struct note note = {0};

	append_ten(fixture, writer, starts);
	overwrite(fixture, starts[3] + 50, "x", 1);	      /* a body */
	overwrite(fixture, starts[6], zeros, sizeof(zeros));  /* a page that was never written */
	overwrite(fixture, starts[9], "\xff\xff\xff\x7f", 4); /* a length, and nothing behind it */
	struct spool_reader *reader = open_reader(fixture, NULL);
	for (uint64_t i = 0; i < 3; i++)
		expect_number(reader, i, NULL);
	assert_int_equal(spool_read(reader, &record, &after, &note), RESULT_CORRUPT);
	assert_non_null(strstr(note.text, "damaged bytes"));
	expect_number(reader, 4, NULL);
	expect_number(reader, 5, NULL);
	/* A length of 0 says "nothing yet" as long as more may come. */
	assert_int_equal(read_any(reader), RESULT_ABSENT);
	spool_writer_close(writer);
	assert_int_equal(read_any(reader), RESULT_CORRUPT);
	expect_number(reader, 7, NULL);
	expect_number(reader, 8, NULL);
	assert_int_equal(read_any(reader), RESULT_CORRUPT);
	assert_int_equal(read_any(reader), RESULT_ABSENT);
	writer = open_writer(fixture);
	assert_int_equal(append_number(writer, 10), RESULT_OK);
	expect_number(reader, 10, NULL);
	spool_reader_close(reader);
	spool_writer_close(writer);
}

static void test_a_damaged_record_in_a_live_segment_does_not_stop_what_follows(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = open_writer(fixture);
	size_t starts[11];

	append_ten(fixture, writer, starts);
	overwrite(fixture, starts[9] + 8, "xx", 2);
	struct spool_reader *reader = open_reader(fixture, NULL);
	for (uint64_t i = 0; i < 9; i++)
		expect_number(reader, i, NULL);
	assert_int_equal(read_any(reader), RESULT_ABSENT);
	spool_wait(reader, 1); /* returns, although it sees a length */
	assert_int_equal(append_number(writer, 10), RESULT_OK);
	assert_int_equal(read_any(reader), RESULT_CORRUPT);
	expect_number(reader, 10, NULL);
	spool_reader_close(reader);
	spool_writer_close(writer);
}

/* What a vehicle sends can look like a record; behind damage it must not be taken for one. */
static void test_a_forged_record_in_a_body_is_never_read(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = open_writer(fixture);
	_Alignas(8) uint8_t body[128] = {0};
	struct record_header *forged = (struct record_header *)(void *)body;
	struct spool_record record = {.kind = 1, .body = span_of(body, sizeof(body))};

	atomic_init(&forged->length, RECORD_HEADER_SIZE);
	forged->tag_and_kind = UINT64_C(0x123456789abc0002);
	memset(forged->subject, 0xee, UUID_SIZE);
	forged->crc = record_crc(forged, RECORD_HEADER_SIZE);
	assert_int_equal(spool_append(writer, &record), RESULT_OK);
	assert_int_equal(append_number(writer, 1), RESULT_OK);
	overwrite(fixture, SEGMENT_HEADER_SIZE + 8, "x", 1);
	struct spool_reader *reader = open_reader(fixture, NULL);
	assert_int_equal(read_any(reader), RESULT_CORRUPT);
	expect_number(reader, 1, NULL);
	spool_reader_close(reader);
	spool_writer_close(writer);
}

static void test_a_segment_without_its_header_is_passed_by(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = open_writer(fixture);
	struct spool_reader *reader;
	char path[PATH_SIZE];

	assert_int_equal(append_number(writer, 0), RESULT_OK);
	spool_writer_close(writer);
	overwrite(fixture, 16, "\x07", 1);
	assert_int_equal(path_join(fixture->directory, "0000000000000002.spool", path), RESULT_OK);
	assert_int_equal(file_replace(path, span_of("short", 5), 0600, NULL), RESULT_OK);
	writer = open_writer(fixture);
	assert_int_equal(append_number(writer, 1), RESULT_OK);
	reader = open_reader(fixture, NULL);
	assert_int_equal(read_any(reader), RESULT_CORRUPT);
	assert_int_equal(read_any(reader), RESULT_CORRUPT);
	expect_number(reader, 1, NULL);
	spool_reader_close(reader);
	spool_writer_close(writer);
}

static void test_a_failed_sync_is_told_and_tried_again(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = open_writer(fixture);
	struct spool_status status = {0};

	atomic_store(&failing_syncs, 1);
	assert_int_equal(append_number(writer, 0), RESULT_OK);
	for (status.is_failing = false; !status.is_failing; usleep(1000))
		spool_writer_status(writer, &status);
	assert_int_equal(append_number(writer, 1), RESULT_OK);
	atomic_store(&failing_syncs, 0);
	for (; status.is_failing; usleep(1000))
		spool_writer_status(writer, &status);
	/* When nothing comes, nothing is done. */
	int before = atomic_load(&syncs);
	usleep(20000);
	assert_int_equal(atomic_load(&syncs), before);
	spool_writer_close(writer);
	struct spool_reader *reader = open_reader(fixture, NULL);
	expect_number(reader, 0, NULL);
	expect_number(reader, 1, NULL);
	spool_reader_close(reader);
}

/* ---- two threads, two processes --------------------------------------------------------------------------- */

#define STREAM_COUNT 60000

static void *append_stream(void *context)
{
	for (uint64_t i = 0; i < STREAM_COUNT;) {
		enum result result = append_number(context, i);

		if (result == RESULT_OK)
			i++;
		else if (result == RESULT_EXHAUSTED)
			usleep(100);
		else
			return (void *)1;
	}
	return NULL;
}

static void read_stream(struct spool_reader *reader)
{
	struct spool_position after = {0};
	struct spool_record record;

	for (uint64_t i = 0; i < STREAM_COUNT;) {
		enum result result = spool_read(reader, &record, &after, NULL);

		if (result == RESULT_OK) {
			assert_int_equal(check_record(&record), i);
			i++;
		} else {
			assert_int_equal(result, RESULT_ABSENT);
			spool_wait(reader, 10000);
		}
		if (i % 500 == 0)
			assert_int_equal(spool_mark(reader, &after, NULL), RESULT_OK);
	}
}

static void test_a_stream_from_another_thread(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = open_writer(fixture);
	struct spool_reader *reader = open_reader(fixture, NULL);
	pthread_t thread;
	void *outcome;

	assert_int_equal(pthread_create(&thread, NULL, append_stream, writer), 0);
	read_stream(reader);
	pthread_join(thread, &outcome);
	assert_null(outcome);
	spool_reader_close(reader);
	spool_writer_close(writer);
}

static void test_a_stream_from_another_process(void **state)
{
	const struct fixture *fixture = *state;
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		struct spool_writer *writer = NULL;

		if (spool_writer_open(&fixture->config, &writer, NULL) != RESULT_OK)
			_exit(2);
		bool failed = append_stream(writer) != NULL;
		spool_writer_close(writer);
		_exit(failed);
	}
	struct spool_reader *reader = open_reader(fixture, NULL);
	read_stream(reader);
	spool_reader_close(reader);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void *interrupt(void *context)
{
	usleep(20000);
	spool_interrupt(context);
	return NULL;
}

static void test_a_wait_ends_by_an_append_or_an_interrupt(void **state)
{
	const struct fixture *fixture = *state;
	struct spool_writer *writer = open_writer(fixture);
	struct spool_reader *reader = open_reader(fixture, NULL);
	pthread_t thread;

	assert_int_equal(read_any(reader), RESULT_ABSENT);
	assert_int_equal(pthread_create(&thread, NULL, interrupt, reader), 0);
	spool_wait(reader, 600000); /* by the interrupt, or this test times out */
	pthread_join(thread, NULL);
	spool_interrupt(reader);
	spool_wait(reader, 600000); /* also the next one */
	assert_int_equal(append_number(writer, 0), RESULT_OK);
	spool_wait(reader, 600000);
	expect_number(reader, 0, NULL);
	spool_reader_close(reader);
	spool_writer_close(writer);
}

/* ---- killed ----------------------------------------------------------------------------------------------- */

/* In the child: appends until it is killed, and says in shared memory what was appended. */
static void append_until_killed(const struct fixture *fixture, _Atomic uint64_t *appended)
{
	struct spool_writer *writer = NULL;

	if (spool_writer_open(&fixture->config, &writer, NULL) != RESULT_OK)
		_exit(2);
	for (uint64_t i = atomic_load(appended);;) {
		enum result result = append_number(writer, i);

		if (result == RESULT_OK)
			atomic_store(appended, ++i);
		else if (result != RESULT_EXHAUSTED)
			_exit(3);
	}
}

static void test_nothing_appended_is_lost_to_a_kill(void **state)
{
	const struct fixture *fixture = *state;
	_Atomic uint64_t *appended = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct spool_reader *reader = open_reader(fixture, NULL);
	struct spool_position after = {0};
	uint64_t next = 0;

	assert_true(appended != MAP_FAILED);
	for (unsigned round = 0; round < 60; round++) {
		pid_t child = fork();
		uint64_t before = atomic_load(appended);
		int status;

		assert_true(child >= 0);
		if (child == 0)
			append_until_killed(fixture, appended);
		while (atomic_load(appended) < before + 1 + round * 7 % 400)
			; /* some way into it, at an instant of its own */
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		for (uint64_t count = atomic_load(appended); next < count; next++)
			expect_number(reader, next, &after);
		/* One may have been published and not yet counted. */
		if (read_any(reader) == RESULT_OK)
			atomic_store(appended, ++next);
		assert_int_equal(read_any(reader), RESULT_ABSENT);
		assert_int_equal(spool_mark(reader, &after, NULL), RESULT_OK);
		if (round % 5 == 0) { /* the reader dies as well */
			spool_reader_close(reader);
			reader = open_reader(fixture, NULL);
			if (next != 0 && read_any(reader) == RESULT_OK)
				assert_int_equal(read_any(reader), RESULT_ABSENT);
		}
	}
	spool_reader_close(reader);
	munmap((void *)appended, 4096);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc_is_the_published_one),
		TEST(test_a_second_writer_is_refused),
		TEST(test_a_second_reader_is_refused),
		TEST(test_sizes_out_of_bounds_are_refused),
		TEST(test_a_full_disk_is_refused_and_recovered_from),
		TEST(test_a_full_spool_refuses_until_the_reader_frees),
		TEST(test_everything_comes_in_order_over_segments),
		TEST(test_a_reader_goes_on_where_it_marked),
		TEST(test_a_new_writer_begins_behind_and_nothing_is_lost),
		TEST(test_a_name_that_a_cut_took_back_loses_nothing),
		TEST(test_a_reader_that_is_ahead_goes_on_with_what_comes),
		TEST(test_a_spool_that_was_made_anew_is_read_from_its_start),
		TEST(test_numbers_go_on_behind_the_readers_position),
		TEST(test_a_damaged_position_means_the_start),
		TEST(test_damaged_records_are_skipped),
		TEST(test_a_damaged_record_in_a_live_segment_does_not_stop_what_follows),
		TEST(test_a_forged_record_in_a_body_is_never_read),
		TEST(test_a_segment_without_its_header_is_passed_by),
		TEST(test_a_failed_sync_is_told_and_tried_again),
		TEST(test_a_stream_from_another_thread),
		TEST(test_a_stream_from_another_process),
		TEST(test_a_wait_ends_by_an_append_or_an_interrupt),
		TEST(test_nothing_appended_is_lost_to_a_kill),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
