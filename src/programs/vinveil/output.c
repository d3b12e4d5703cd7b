#include "programs/vinveil/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CELL_SIZE 256

bool output_json(const struct invocation *invocation, const struct api_answer *answer)
{
	if (!option_is_set(invocation, "json"))
		return false;
	fwrite(answer->body.data, 1, answer->body.size, stdout);
	fputc('\n', stdout);
	return true;
}

static const json_t *follow(const json_t *object, const char *path)
{
	while (object != NULL && *path != '\0') {
		size_t length = strcspn(path, ".");
		char name[64];
		snprintf(name, sizeof name, "%.*s", (int)length, path);
		object = json_object_get(object, name);
		path += length;
		path += *path == '.';
	}
	return object;
}

static void format_list(const json_t *array, char *ret_cell)
{
	size_t at = 0;
	if (json_array_size(array) == 0)
		snprintf(ret_cell, CELL_SIZE, "-");
	for (size_t i = 0; i < json_array_size(array) && at < CELL_SIZE; i++) {
		const char *text = json_string_value(json_array_get(array, i));
		int length =
			snprintf(ret_cell + at, CELL_SIZE - at, "%s%s", i > 0 ? "," : "", text != NULL ? text : "?");
		at += length > 0 ? (size_t)length : 0;
	}
}

/* One value as a person would write it; text is the platform's own and already free of control characters. */
static void format_cell(const json_t *value, char ret_cell[static CELL_SIZE])
{
	ret_cell[0] = '\0';
	if (json_is_string(value))
		snprintf(ret_cell, CELL_SIZE, "%s", json_string_value(value));
	else if (json_is_integer(value))
		snprintf(ret_cell, CELL_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_boolean(value))
		snprintf(ret_cell, CELL_SIZE, "%s", json_is_true(value) ? "yes" : "no");
	else if (json_is_array(value))
		format_list(value, ret_cell);
	else
		snprintf(ret_cell, CELL_SIZE, "-");
}

void output_members(const json_t *object, const struct output_member *members, size_t count)
{
	char cell[CELL_SIZE];
	for (size_t i = 0; i < count; i++) {
		const json_t *value = follow(object, members[i].path);
		if (value == NULL)
			continue;
		format_cell(value, cell);
		printf("%-17s %s\n", members[i].label, cell);
	}
}

static size_t column_width(const json_t *array, const struct output_member *column)
{
	char cell[CELL_SIZE];
	size_t width = strlen(column->label);
	for (size_t i = 0; i < json_array_size(array); i++) {
		format_cell(follow(json_array_get(array, i), column->path), cell);
		width = strlen(cell) > width ? strlen(cell) : width;
	}
	return width;
}

#define COLUMNS_MAX 16

/* The last column is not padded: no line ends in blanks. */
static void print_cell(const char *text, size_t width, bool is_last)
{
	if (is_last)
		puts(text);
	else
		printf("%-*s  ", (int)width, text);
}

void output_table(const json_t *array, const struct output_member *columns, size_t count)
{
	size_t widths[COLUMNS_MAX];
	char cell[CELL_SIZE];
	count = count < COLUMNS_MAX ? count : COLUMNS_MAX;
	for (size_t c = 0; c < count; c++) {
		widths[c] = column_width(array, &columns[c]);
		print_cell(columns[c].label, widths[c], c + 1 == count);
	}
	for (size_t i = 0; i < json_array_size(array); i++)
		for (size_t c = 0; c < count; c++) {
			format_cell(follow(json_array_get(array, i), columns[c].path), cell);
			print_cell(cell, widths[c], c + 1 == count);
		}
}
