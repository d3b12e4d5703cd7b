#include "programs/vinveil/csv.h"

#include <string.h>

/* Skips to behind the next line feed: after a record that cannot be read. */
static void skip_line(struct csv_reader *reader)
{
	const uint8_t *at = reader->bytes.data + reader->offset;
	const uint8_t *end = memchr(at, '\n', reader->bytes.size - reader->offset);
	reader->offset = end != NULL ? (size_t)(end - reader->bytes.data) + 1 : reader->bytes.size;
	reader->line++;
}

static enum result refuse(struct csv_reader *reader, size_t start, struct note *note, const char *why)
{
	reader->offset = start;
	skip_line(reader);
	note_set(note, "%s", why);
	return RESULT_INVALID;
}

/* Where one field's text begins and ends in reader->field, as offsets: the buf may move while it grows. */
struct field_range {
	size_t start, end;
};

static bool at_line_end(const struct csv_reader *reader, size_t at)
{
	const struct span bytes = reader->bytes;
	return at == bytes.size || bytes.data[at] == '\n' ||
	       (bytes.data[at] == '\r' && (at + 1 == bytes.size || bytes.data[at + 1] == '\n'));
}

/* From the byte after the opening quote to the byte after the closing one. */
static const char *read_quoted(struct csv_reader *reader, size_t *at, uint64_t *lines)
{
	const struct span bytes = reader->bytes;
	for (size_t first = *at; *at < bytes.size; (*at)++) {
		uint8_t byte = bytes.data[*at];
		if (*at - first > CSV_RECORD_SIZE_MAX)
			return "longer than 16384 bytes: is a quote not closed?";
		if (byte == '"' && (*at + 1 == bytes.size || bytes.data[*at + 1] != '"')) {
			(*at)++;
			return NULL;
		}
		*at += byte == '"';
		*lines += byte == '\n';
		if (buf_append_byte(reader->field, byte) != RESULT_OK)
			return "longer than 16384 bytes";
	}
	return "a quote is not closed";
}

static const char *read_field(struct csv_reader *reader, size_t *at, uint64_t *lines)
{
	const struct span bytes = reader->bytes;
	if (*at < bytes.size && bytes.data[*at] == '"') {
		(*at)++;
		const char *why = read_quoted(reader, at, lines);
		if (why != NULL)
			return why;
		return at_line_end(reader, *at) || bytes.data[*at] == ',' ? NULL : "text after a closing quote";
	}
	size_t start = *at;
	while (!at_line_end(reader, *at) && bytes.data[*at] != ',') {
		if (bytes.data[*at] == '"')
			return "a quote inside an unquoted field";
		(*at)++;
	}
	return buf_append(reader->field, span_of(bytes.data + start, *at - start)) == RESULT_OK
		       ? NULL
		       : "longer than 16384 bytes";
}

static void skip_empty_lines(struct csv_reader *reader)
{
	while (reader->offset < reader->bytes.size && at_line_end(reader, reader->offset)) {
		reader->offset += reader->bytes.data[reader->offset] == '\r';
		reader->offset += reader->offset < reader->bytes.size;
		reader->line++;
	}
}

enum result csv_next(struct csv_reader *reader, struct csv_record *ret_record, struct note *note)
{
	struct field_range ranges[CSV_FIELDS_MAX];
	skip_empty_lines(reader);
	if (reader->offset == reader->bytes.size)
		return RESULT_ABSENT;
	buf_clear(reader->field);
	uint8_t *room; /* so that a record of empty fields has somewhere to point to */
	TRY(buf_reserve(reader->field, 1, &room));
	size_t start = reader->offset, at = start, count = 0;
	uint64_t lines = 1;
	for (;;) {
		if (count == CSV_FIELDS_MAX)
			return refuse(reader, start, note, "more than 32 fields");
		ranges[count].start = reader->field->size;
		const char *why = read_field(reader, &at, &lines);
		if (why != NULL)
			return refuse(reader, start, note, why);
		ranges[count++].end = reader->field->size;
		if (at_line_end(reader, at))
			break;
		at++; /* the comma */
	}
	if (reader->field->size > 0 && memchr(reader->field->data, '\0', reader->field->size) != NULL)
		return refuse(reader, start, note, "a NUL byte");
	for (size_t i = 0; i < count; i++)
		ret_record->fields[i] = span_of(reader->field->data + ranges[i].start, ranges[i].end - ranges[i].start);
	if (at < reader->bytes.size)
		at += reader->bytes.data[at] == '\r' ? 1 : 0;
	at += at < reader->bytes.size ? 1 : 0;
	ret_record->count = count;
	ret_record->line = reader->line;
	ret_record->end = at;
	reader->offset = at;
	reader->line += lines;
	return RESULT_OK;
}
