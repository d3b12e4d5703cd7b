#include "base/json.h"

#include "base/secret.h"
#include "base/text.h"

#define SHOWN_NAME_MAX 64

void json_init(void)
{
	json_set_alloc_funcs(wiping_malloc, wiping_free);
	/* Here, and not by the first thread that makes an object. */
	json_object_seed(0);
}

/* ---- reading ------------------------------------------------------------------------------------- */

struct position {
	size_t line;
	size_t column;
};

/* jansson recurses to a depth of 2,048 and its bound is compiled in, so brackets are counted beforehand. */
static bool is_too_deep(struct span text, struct position *position)
{
	size_t depth = 0;
	size_t line_start = 0;
	bool in_string = false;
	*position = (struct position){.line = 1};
	for (size_t i = 0; i < text.size; i++) {
		uint8_t c = text.data[i];
		if (c == '\n') {
			position->line++;
			line_start = i + 1;
		}
		if (c == '"')
			in_string = !in_string;
		else if (in_string && c == '\\')
			i++;
		else if (!in_string && (c == '[' || c == '{'))
			depth++;
		else if (!in_string && (c == ']' || c == '}') && depth > 0)
			depth--;
		if (depth > JSON_DEPTH_MAX) {
			position->column = i - line_start + 1;
			return true;
		}
	}
	return false;
}

static const char *cause_of(enum json_error_code code)
{
	switch (code) {
	case json_error_invalid_utf8:
		return "text that is not UTF-8";
	case json_error_premature_end_of_input:
		return "the end comes too early";
	case json_error_end_of_input_expected:
		return "something follows the end";
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return "a NUL character";
	case json_error_duplicate_key:
		return "a member name that was there before";
	case json_error_numeric_overflow:
		return "a number out of range";
	case json_error_stack_overflow:
		return "nested too deep";
	default:
		return "not JSON";
	}
}

enum result json_read(struct span text, json_t **ret_json, struct note *note)
{
	struct position position;
	if (is_too_deep(text, &position)) {
		note_set(note, "line %zu, column %zu: nested deeper than %d", position.line, position.column,
			 JSON_DEPTH_MAX);
		return RESULT_INVALID;
	}
	if (text.size == 0) {
		note_set(note, "line 1, column 1: the end comes too early");
		return RESULT_INVALID;
	}
	json_error_t error = {0};
	json_t *json = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, &error);
	if (json) {
		*ret_json = json;
		return RESULT_OK;
	}
	/* jansson says nothing at all when memory is short. What it does say quotes the input: it goes no further. */
	enum json_error_code code = json_error_code(&error);
	bool no_memory = error.text[0] == '\0' || code == json_error_out_of_memory;
	int line = error.line > 0 ? error.line : 1;
	int column = error.column > 0 ? error.column : 1;
	secret_wipe(&error, sizeof(error));
	if (no_memory)
		return RESULT_MEMORY;
	note_set(note, "line %d, column %d: %s", line, column, cause_of(code));
	return RESULT_INVALID;
}

/* The name is input: what cannot be shown whole and plain is not shown. */
static void note_unknown_member(struct note *note, const char *name)
{
	size_t length = strlen(name);
	if (length > SHOWN_NAME_MAX || !text_is_printable(span_of(name, length), false)) {
		note_set(note, "a member with a name that is not known here");
		return;
	}
	char shown[SHOWN_NAME_MAX + 1];
	memcpy(shown, name, length + 1);
	text_withhold(shown);
	note_set(note, "member \"%s\" is not known here", shown);
	secret_wipe(shown, sizeof(shown));
}

static bool is_among(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

enum result json_check_members(const json_t *object, const char *const *names, size_t count, struct note *note)
{
	if (!json_is_object(object)) {
		note_set(note, "an object is expected");
		return RESULT_INVALID;
	}
	/* jansson's iteration takes no const, but changes nothing. */
	json_t *members = (json_t *)object;
	for (void *at = json_object_iter(members); at; at = json_object_iter_next(members, at)) {
		const char *name = json_object_iter_key(at);
		if (!is_among(name, names, count)) {
			note_unknown_member(note, name);
			return RESULT_INVALID;
		}
	}
	return RESULT_OK;
}

enum result json_get_text(const json_t *object, const char *name, size_t length_max, struct span *ret_text)
{
	const json_t *member = json_object_get(object, name);
	if (!member)
		return RESULT_ABSENT;
	if (!json_is_string(member) || json_string_length(member) > length_max)
		return RESULT_INVALID;
	*ret_text = span_of(json_string_value(member), json_string_length(member));
	return RESULT_OK;
}

enum result json_copy_text(struct arena *arena, const json_t *value, size_t size_max, const char **ret_text)
{
	size_t size = json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);

	if (size > size_max)
		return RESULT_EXHAUSTED;
	char *text = arena_alloc(arena, size + 1);
	if (text == NULL || size == 0 || json_dumpb(value, text, size, JSON_COMPACT | JSON_ENCODE_ANY) != size)
		return RESULT_MEMORY;
	*ret_text = text;
	return RESULT_OK;
}

/* ---- writing ------------------------------------------------------------------------------------- */

#define NUMBER_SIZE 20 /* digits and sign of any int64_t */

void json_writer_init(struct json_writer *writer, struct buf *buf)
{
	*writer = (struct json_writer){.buf = buf};
}

static void put(struct json_writer *writer, struct span bytes)
{
	if (writer->result == RESULT_OK)
		writer->result = buf_append(writer->buf, bytes);
}

static void put_byte(struct json_writer *writer, char byte)
{
	if (writer->result == RESULT_OK)
		writer->result = buf_append_byte(writer->buf, (uint8_t)byte);
}

/* In front of a value or a key: the comma, when something stands there already. */
static void begin_item(struct json_writer *writer)
{
	if (writer->comma)
		put_byte(writer, ',');
	writer->comma = true;
}

/* What stands behind the backslash; 'u' for four digits, 0 for a byte that needs none. */
static const char escapes[256] = {
	['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't',
	[0x00] = 'u', [0x01] = 'u',  [0x02] = 'u', [0x03] = 'u', [0x04] = 'u', [0x05] = 'u', [0x06] = 'u',
	[0x07] = 'u', [0x0b] = 'u',  [0x0e] = 'u', [0x0f] = 'u', [0x10] = 'u', [0x11] = 'u', [0x12] = 'u',
	[0x13] = 'u', [0x14] = 'u',  [0x15] = 'u', [0x16] = 'u', [0x17] = 'u', [0x18] = 'u', [0x19] = 'u',
	[0x1a] = 'u', [0x1b] = 'u',  [0x1c] = 'u', [0x1d] = 'u', [0x1e] = 'u', [0x1f] = 'u', [0x7f] = 'u',
};

static void put_escaped(struct json_writer *writer, uint8_t byte)
{
	put_byte(writer, '\\');
	put_byte(writer, escapes[byte]);
	if (escapes[byte] == 'u') {
		char digits[5] = "00";
		hex_format(span_of(&byte, 1), digits + 2);
		put(writer, span_of(digits, 4));
	}
}

/* The slow way: any characters, checked, with the runs between escapes copied whole. */
static void put_escaping(struct json_writer *writer, struct span text)
{
	if (!utf8_is_valid(text) && writer->result == RESULT_OK)
		writer->result = RESULT_INVALID;
	put_byte(writer, '"');
	size_t plain_from = 0;
	for (size_t i = 0; i < text.size; i++) {
		if (!escapes[text.data[i]])
			continue;
		put(writer, span_of(text.data + plain_from, i - plain_from));
		put_escaped(writer, text.data[i]);
		plain_from = i + 1;
	}
	if (text.size > plain_from)
		put(writer, span_of(text.data + plain_from, text.size - plain_from));
	put_byte(writer, '"');
}

static bool is_plain(struct span text)
{
	size_t i = 0;
	while (text.size - i >= 8 && text_eight_are_plain(text.data + i))
		i += 8;
	for (; i < text.size; i++) {
		if (escapes[text.data[i]] || text.data[i] & 0x80)
			return false;
	}
	return true;
}

/*
 * An item with its comma and, behind a key, the colon. Nearly every key and text is plain ASCII without escapes: one
 * reservation, one copy.
 */
static void put_quoted_item(struct json_writer *writer, struct span text, bool is_key)
{
	uint8_t *at = NULL;
	if (writer->result != RESULT_OK)
		return;
	if (text.size > SIZE_MAX - 4 || !is_plain(text)) {
		begin_item(writer);
		put_escaping(writer, text);
		if (is_key)
			put_byte(writer, ':');
		return;
	}
	writer->result = buf_reserve(writer->buf, text.size + 2 + writer->comma + is_key, &at);
	if (writer->result != RESULT_OK)
		return;
	if (writer->comma)
		*at++ = ',';
	*at++ = '"';
	if (text.size > 0)
		memcpy(at, text.data, text.size);
	at += text.size;
	*at++ = '"';
	if (is_key)
		*at++ = ':';
	writer->buf->size = (size_t)(at - writer->buf->data);
	writer->comma = true;
}

static void begin_container(struct json_writer *writer, char bracket)
{
	begin_item(writer);
	put_byte(writer, bracket);
	writer->comma = false;
}

static void end_container(struct json_writer *writer, char bracket)
{
	put_byte(writer, bracket);
	writer->comma = true;
}

void json_object_begin(struct json_writer *writer)
{
	begin_container(writer, '{');
}

void json_object_end(struct json_writer *writer)
{
	end_container(writer, '}');
}

void json_array_begin(struct json_writer *writer)
{
	begin_container(writer, '[');
}

void json_array_end(struct json_writer *writer)
{
	end_container(writer, ']');
}

void json_key(struct json_writer *writer, const char *key)
{
	put_quoted_item(writer, span_of_text(key), true);
	writer->comma = false;
}

void json_text(struct json_writer *writer, struct span text)
{
	put_quoted_item(writer, text, false);
}

void json_number(struct json_writer *writer, int64_t number)
{
	char digits[NUMBER_SIZE];
	size_t at = sizeof(digits);
	/* The magnitude as unsigned: INT64_MIN has no positive twin. */
	uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
	do {
		digits[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (number < 0)
		digits[--at] = '-';
	begin_item(writer);
	put(writer, span_of(digits + at, sizeof(digits) - at));
}

void json_bool(struct json_writer *writer, bool value)
{
	begin_item(writer);
	put(writer, span_of_text(value ? "true" : "false"));
}

void json_null_value(struct json_writer *writer)
{
	begin_item(writer);
	put(writer, span_of_text("null"));
}

void json_time(struct json_writer *writer, int64_t at_ms)
{
	char text[RFC3339_TEXT_SIZE + 2];
	rfc3339_format(at_ms, text + 1);
	text[0] = '"';
	text[RFC3339_TEXT_SIZE] = '"';
	begin_item(writer);
	put(writer, span_of(text, RFC3339_TEXT_SIZE + 1));
}

void json_uuid(struct json_writer *writer, const struct uuid *uuid)
{
	char text[UUID_TEXT_SIZE + 2];
	uuid_format(uuid, text + 1);
	text[0] = '"';
	text[UUID_TEXT_SIZE] = '"';
	begin_item(writer);
	put(writer, span_of(text, UUID_TEXT_SIZE + 1));
}

void json_hex(struct json_writer *writer, struct span bytes)
{
	begin_item(writer);
	if (writer->result != RESULT_OK)
		return;
	if (bytes.size > (SIZE_MAX - 2) / 2) {
		writer->result = RESULT_EXHAUSTED;
		return;
	}
	uint8_t *room = NULL;
	writer->result = buf_reserve(writer->buf, 2 * bytes.size + 2, &room);
	if (writer->result != RESULT_OK)
		return;
	room[0] = '"';
	hex_format(bytes, (char *)room + 1);
	room[2 * bytes.size + 1] = '"';
	writer->buf->size += 2 * bytes.size + 2;
}

void json_raw(struct json_writer *writer, struct span json)
{
	begin_item(writer);
	put(writer, json);
}

enum result json_writer_end(struct json_writer *writer)
{
	return writer->result;
}

void json_member_text(struct json_writer *writer, const char *key, const char *text)
{
	json_key(writer, key);
	json_text(writer, span_of_text(text));
}

void json_member_number(struct json_writer *writer, const char *key, int64_t number)
{
	json_key(writer, key);
	json_number(writer, number);
}

void json_member_time(struct json_writer *writer, const char *key, int64_t at_ms)
{
	json_key(writer, key);
	json_time(writer, at_ms);
}

void json_member_uuid(struct json_writer *writer, const char *key, const struct uuid *uuid)
{
	json_key(writer, key);
	json_uuid(writer, uuid);
}
