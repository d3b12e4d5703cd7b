/* csv_next and what judges its records: always forward, lines counted right, and nothing but bounded text comes out. */
#include "fuzz.h"
#include "programs/vinveil/import_line.h"

#include <string.h>

static uint64_t count_lines(struct span bytes)
{
	uint64_t lines = 0;
	for (size_t i = 0; i < bytes.size; i++)
		lines += bytes.data[i] == '\n';
	return lines + (bytes.size > 0 && bytes.data[bytes.size - 1] != '\n' ? 1 : 0);
}

static void check_record(const struct csv_record *record)
{
	size_t size = 0;
	FUZZ_CHECK(record->count >= 1 && record->count <= CSV_FIELDS_MAX);
	for (size_t i = 0; i < record->count; i++) {
		size += record->fields[i].size;
		FUZZ_CHECK(memchr(record->fields[i].data, '\0', record->fields[i].size) == NULL);
	}
	FUZZ_CHECK(size <= CSV_RECORD_SIZE_MAX);
}

static void judge(const struct csv_record *record, struct import_columns *columns)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct vin vin = {0};
	struct vehicle vehicle;
	const char *reason = NULL;
	if (columns->count == 0 && import_columns_read(record, columns, NULL) == RESULT_OK)
		return;
	if (columns->count == 0 && record->count < 2)
		return;
	if (columns->count == 0)
		columns->count = record->count;
	enum result result = import_line_judge(record, columns, CHECK_DIGIT_ENFORCE, &arena, &vin, &vehicle, &reason);
	FUZZ_CHECK(result == RESULT_OK || (result == RESULT_INVALID && reason != NULL));
	if (result == RESULT_OK) {
		FUZZ_CHECK(strlen(vin.text) == VIN_LENGTH && vin_has_check_digit(&vin));
		FUZZ_CHECK(vehicle.attributes == NULL || strlen(vehicle.attributes) <= ATTRIBUTES_SIZE_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_ready;
	BUF_CLEANUP struct buf field = {.size_max = CSV_RECORD_SIZE_MAX};
	struct csv_reader reader = {.bytes = span_of(data, size), .line = 1, .field = &field};
	struct import_columns columns = {0};
	if (!is_ready)
		FUZZ_CHECK(crypto_init(NULL) == RESULT_OK);
	is_ready = true;
	for (;;) {
		struct csv_record record;
		struct note note = {0};
		size_t before = reader.offset;
		uint64_t line = reader.line;
		enum result result = csv_next(&reader, &record, &note);
		FUZZ_CHECK(reader.offset <= size && reader.line >= line);
		if (result == RESULT_ABSENT)
			break;
		FUZZ_CHECK(reader.offset > before && reader.line > line);
		FUZZ_CHECK(result == RESULT_OK || (result == RESULT_INVALID && note.text[0] != '\0'));
		if (result != RESULT_OK)
			continue;
		FUZZ_CHECK(record.line >= line && record.end == reader.offset);
		check_record(&record);
		judge(&record, &columns);
	}
	FUZZ_CHECK(reader.offset == size && reader.line - 1 == count_lines(reader.bytes));
	return 0;
}
