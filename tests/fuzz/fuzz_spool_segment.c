/*
 * A spool segment with any content: reading it ends, in order, within the file, and the same from any position that was
 * given. The first byte says how the rest becomes a segment: as it stands, behind a right header, or with the checksums
 * of its records made right as well.
 */
#include "adapters/spool/crc32c.h"
#include "adapters/spool/segment.h"
#include "base/file.h"
#include "fuzz.h"

#include <unistd.h>

#define TAG UINT64_C(0x010203040506)

static char directory[] = "/dev/shm/vinveil-fuzz-XXXXXX";

static void clean_up(void)
{
	static const char *const names[] = {"0000000000000001.spool", POSITION_NAME, WAKE_NAME, READER_LOCK_NAME};
	char path[PATH_SIZE];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (path_join(directory, names[i], path) == RESULT_OK)
			unlink(path);
	rmdir(directory);
}

static void make_header(uint8_t *bytes, size_t size)
{
	struct segment_header *header = (struct segment_header *)(void *)bytes;

	memcpy(header->magic, "VVSPOOL\n", sizeof(header->magic));
	header->version = SEGMENT_VERSION;
	header->reserved = 0;
	header->number = 1;
	header->size = size;
	header->tag = TAG;
	header->crc = crc32c(0, span_of(header, offsetof(struct segment_header, crc)));
	atomic_store(&header->is_finished, 1);
}

static void make_checksums_right(uint8_t *bytes, size_t size)
{
	for (size_t at = SEGMENT_HEADER_SIZE; at < size && size - at >= RECORD_HEADER_SIZE;) {
		struct record_header *record = (struct record_header *)(void *)(bytes + at);
		uint32_t length = atomic_load(&record->length);

		if (length < RECORD_HEADER_SIZE || length > size - at)
			return;
		record->tag_and_kind = TAG << 16 | (record->tag_and_kind & 0xffff);
		record->crc = record_crc(record, length);
		at += record_size(length - RECORD_HEADER_SIZE);
	}
}

static size_t count_records(const struct spool_position *from, struct spool_position *ret_middle)
{
	struct spool_reader *reader = NULL;
	struct spool_record record;
	struct spool_position after = {0}, before = {0};
	size_t count = 0;
	enum result result;

	FUZZ_CHECK(spool_reader_open(directory, from, &reader, NULL) == RESULT_OK);
	while ((result = spool_read(reader, &record, &after, NULL)) != RESULT_ABSENT) {
		FUZZ_CHECK(result == RESULT_OK || result == RESULT_CORRUPT);
		if (result != RESULT_OK)
			continue;
		FUZZ_CHECK(after.offset > before.offset && record.body.size <= SPOOL_BODY_SIZE_MAX);
		for (size_t i = 0; i < record.body.size; i++)
			FUZZ_CHECK(record.body.data[i] + 1 > 0); /* it can be read */
		before = after;
		if (++count == 1 && ret_middle != NULL)
			*ret_middle = after;
	}
	spool_reader_close(reader);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_ready;
	struct spool_position middle = {0};
	size_t file_size = SEGMENT_HEADER_SIZE + (size + 7) / 8 * 8, count;
	uint8_t *bytes = calloc(1, file_size);
	char path[PATH_SIZE];

	FUZZ_CHECK(bytes != NULL);
	if (!is_ready) {
		FUZZ_CHECK(mkdtemp(directory) != NULL && atexit(clean_up) == 0);
		is_ready = true;
	}
	if (size > 1 && data[0] % 3 == 0)
		memcpy(bytes, data + 1, size - 1);
	else if (size > 1)
		memcpy(bytes + SEGMENT_HEADER_SIZE, data + 1, size - 1);
	if (size > 1 && data[0] % 3 != 0)
		make_header(bytes, file_size);
	if (size > 1 && data[0] % 3 == 2)
		make_checksums_right(bytes, file_size);
	FUZZ_CHECK(path_join(directory, "0000000000000001.spool", path) == RESULT_OK);
	FUZZ_CHECK(file_replace(path, span_of(bytes, file_size), 0600, NULL) == RESULT_OK);
	free(bytes);
	count = count_records(&middle, &middle);
	if (count > 0)
		FUZZ_CHECK(count_records(&middle, NULL) == count - 1);
	return 0;
}
