#include "base/config.h"

#include "base/file.h"
#include "base/text.h"

#include <assert.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>

#define CONTENT_SIZE_MAX ((size_t)256 << 10)
#define PATH_SHOWN_MAX	 100

/* One pass over the file. The first pass has no `config` and only checks; the second one writes. */
struct reading {
	const char *path;
	const struct config_key *keys;
	size_t key_count;
	uint8_t *config;
	bool seen[CONFIG_KEYS_MAX];
	struct span rest;
	int line;
	bool failed;
	struct note *note;
};

/* The first failure is the one to tell; the path's end is what tells files apart, and the note is short. */
__attribute__((format(printf, 2, 3))) static void refuse(struct reading *reading, const char *format, ...)
{
	if (reading->failed)
		return;
	reading->failed = true;
	char cause[NOTE_SIZE];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(cause, sizeof(cause), format, arguments);
	va_end(arguments);
	size_t length = strlen(reading->path);
	const char *shown = length > PATH_SHOWN_MAX ? reading->path + length - PATH_SHOWN_MAX : reading->path;
	note_set(reading->note, "%s:%d: %s", shown, reading->line, cause);
}

/* ---- values -------------------------------------------------------------------------------------- */

static void take_text(struct reading *reading, const struct config_key *key, const char *value)
{
	size_t length = strlen(value);
	if (length >= key->text_size)
		refuse(reading, "%s: must be at most %zu bytes long", key->key, key->text_size - 1);
	else if (length == 0 && key->required)
		refuse(reading, "%s: must not be empty", key->key);
	for (size_t i = 0; i < length; i++) {
		if ((uint8_t)value[i] < 0x20 || value[i] == 0x7f)
			refuse(reading, "%s: holds a control character", key->key);
	}
	if (!reading->failed && reading->config)
		memcpy(reading->config + key->offset, value, length + 1);
}

static bool parse_number(const char *value, int64_t *ret_number)
{
	bool negative = value[0] == '-';
	uint64_t magnitude = 0;
	if (text_parse_u64(span_of_text(value + negative), INT64_MAX, &magnitude) != RESULT_OK)
		return false;
	*ret_number = negative ? -(int64_t)magnitude : (int64_t)magnitude;
	return true;
}

static void take_number(struct reading *reading, const struct config_key *key, const char *value)
{
	int64_t number = 0;
	if (!parse_number(value, &number) || number < key->number_min || number > key->number_max)
		refuse(reading, "%s: must be a whole number from %lld to %lld", key->key, (long long)key->number_min,
		       (long long)key->number_max);
	else if (reading->config)
		memcpy(reading->config + key->offset, &number, sizeof(number));
}

static void take_switch(struct reading *reading, const struct config_key *key, const char *value)
{
	bool on = strcmp(value, "on") == 0;
	if (!on && strcmp(value, "off") != 0)
		refuse(reading, "%s: must be on or off", key->key);
	else if (reading->config)
		memcpy(reading->config + key->offset, &on, sizeof(on));
}

/* ---- inih's callbacks ---------------------------------------------------------------------------- */

static int take_value(void *argument, const char *section, const char *name, const char *value)
{
	struct reading *reading = argument;
	size_t i = 0;
	while (i < reading->key_count &&
	       (strcmp(reading->keys[i].section, section) != 0 || strcmp(reading->keys[i].key, name) != 0))
		i++;
	if (i == reading->key_count) {
		refuse(reading, "%.40s: no such key in section [%.40s]", name, section);
		return 0;
	}
	const struct config_key *key = &reading->keys[i];
	if (reading->seen[i])
		refuse(reading, "%s: is there twice", key->key);
	reading->seen[i] = true;
	switch (key->type) {
	case CONFIG_TEXT:
		take_text(reading, key, value);
		break;
	case CONFIG_NUMBER:
		take_number(reading, key, value);
		break;
	case CONFIG_SWITCH:
		take_switch(reading, key, value);
		break;
	}
	return !reading->failed;
}

static bool is_known_section(const struct reading *reading, struct span name)
{
	for (size_t i = 0; i < reading->key_count; i++) {
		if (span_is_text(name, reading->keys[i].section))
			return true;
	}
	return false;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* What inih would let pass: continued lines, and sections that are unknown but hold no key. */
static void check_line(struct reading *reading, struct span line)
{
	size_t indent = 0;
	while (indent < line.size && is_space(line.data[indent]))
		indent++;
	if (indent == line.size || line.data[indent] == ';' || line.data[indent] == '#')
		return;
	if (indent > 0)
		refuse(reading, "a line must not begin with white space");
	const uint8_t *end = memchr(line.data, ']', line.size);
	if (line.data[0] != '[')
		return;
	if (!end) {
		refuse(reading, "a section's name must end with ]");
		return;
	}
	struct span name = span_of(line.data + 1, (size_t)(end - line.data) - 1);
	if (!is_known_section(reading, name))
		refuse(reading, "[%.*s]: no such section", (int)(name.size < 40 ? name.size : 40),
		       (const char *)name.data);
}

/* One line at a time, counted, because inih's handler is not told where it is. */
static char *next_line(char *place, int size, void *argument)
{
	struct reading *reading = argument;
	if (reading->failed || reading->rest.size == 0)
		return NULL;
	reading->line++;
	const uint8_t *end = memchr(reading->rest.data, '\n', reading->rest.size);
	size_t length = end ? (size_t)(end - reading->rest.data) : reading->rest.size;
	if (length >= (size_t)size) {
		refuse(reading, "the line is longer than %d bytes", size - 1);
		return NULL;
	}
	check_line(reading, span_of(reading->rest.data, length));
	if (reading->failed)
		return NULL;
	memcpy(place, reading->rest.data, length);
	place[length] = '\0';
	size_t taken = length + (end ? 1 : 0);
	reading->rest = span_of(reading->rest.data + taken, reading->rest.size - taken);
	return place;
}

/* ---- the file ------------------------------------------------------------------------------------ */

static enum result read_once(struct reading *reading)
{
	int error = ini_parse_stream(next_line, reading, take_value, reading);
	if (error > 0) {
		reading->line = error;
		refuse(reading, "neither a [section], a \"key = value\" nor a comment");
	}
	if (reading->failed)
		return RESULT_INVALID;
	if (error < 0)
		return RESULT_MEMORY;
	for (size_t i = 0; i < reading->key_count; i++) {
		const struct config_key *key = &reading->keys[i];
		if (key->required && !reading->seen[i]) {
			refuse(reading, "%s: is missing in section [%s]", key->key, key->section);
			return RESULT_INVALID;
		}
	}
	return RESULT_OK;
}

enum result config_read(const char *path, const struct config_key *keys, size_t key_count, void *ret_config,
			struct note *note)
{
	assert(key_count <= CONFIG_KEYS_MAX);
	BUF_CLEANUP struct buf content = {.size_max = CONTENT_SIZE_MAX};
	TRY(file_read(path, &content, note));
	struct reading start = {
		.path = path, .keys = keys, .key_count = key_count, .rest = buf_span(&content), .note = note};
	struct reading check = start;
	if (!utf8_is_valid(start.rest)) {
		refuse(&check, "the file is not UTF-8 text");
		return RESULT_INVALID;
	}
	TRY(read_once(&check));
	struct reading write = start;
	write.config = ret_config;
	return read_once(&write);
}
