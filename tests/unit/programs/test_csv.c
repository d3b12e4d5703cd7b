#include "programs/vinveil/csv.h"

#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

struct fixture {
	struct buf field;
	struct csv_reader reader;
	struct csv_record record;
	struct note note;
};

static void begin(struct fixture *fixture, struct span bytes)
{
	*fixture = (struct fixture){.field.size_max = CSV_RECORD_SIZE_MAX};
	fixture->reader = (struct csv_reader){.bytes = bytes, .line = 1, .field = &fixture->field};
}

static enum result next(struct fixture *fixture)
{
	return csv_next(&fixture->reader, &fixture->record, &fixture->note);
}

/* The next record is these fields, joined by '|'. */
static void assert_record(struct fixture *fixture, const char *joined, uint64_t line)
{
	char text[256] = "";
	assert_int_equal(next(fixture), RESULT_OK);
	for (size_t i = 0; i < fixture->record.count; i++) {
		size_t length = strlen(text);
		snprintf(text + length, sizeof(text) - length, "%s%.*s", i > 0 ? "|" : "",
			 (int)fixture->record.fields[i].size, (const char *)fixture->record.fields[i].data);
	}
	assert_string_equal(text, joined);
	assert_int_equal(fixture->record.line, line);
	assert_int_equal(fixture->record.end, fixture->reader.offset);
}

static void assert_end(struct fixture *fixture)
{
	assert_int_equal(next(fixture), RESULT_ABSENT);
	assert_int_equal(next(fixture), RESULT_ABSENT);
	assert_int_equal(fixture->reader.offset, fixture->reader.bytes.size);
	buf_release(&fixture->field);
}

static void records_are_read(void **state)
{
	(void)state;
	struct fixture fixture;
	begin(&fixture, span_of_text("a,b\n1,\r\n,\n\r\n\nlast,\"x\""));
	assert_record(&fixture, "a|b", 1);
	assert_record(&fixture, "1|", 2);
	assert_record(&fixture, "|", 3);
	assert_record(&fixture, "last|x", 6);
	assert_end(&fixture);
	begin(&fixture, span_of_text(""));
	assert_end(&fixture);
	begin(&fixture, span_of_text("\n\r\n\r"));
	assert_end(&fixture);
}

static void quotes_are_undone(void **state)
{
	(void)state;
	struct fixture fixture;
	begin(&fixture, span_of_text("\"a,b\",\"say \"\"no\"\"\",\"\"\n\"two\nlines\",x\r\nnext\n"));
	assert_record(&fixture, "a,b|say \"no\"|", 1);
	assert_record(&fixture, "two\nlines|x", 2);
	assert_record(&fixture, "next", 4);
	assert_end(&fixture);
}

static void what_cannot_be_read_costs_its_line_alone(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t size;
		const char *why;
	} cases[] = {
		{"a\"b,c\n", 0, "quote inside"},
		{"\"a\"b,c\n", 0, "after a closing quote"},
		{"\"never closed, x\n", 0, "not closed"},
		{"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33\n", 0,
		 "more than 32"},
		{"a\0b,c\n", 6, "NUL"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		size_t size = cases[i].size > 0 ? cases[i].size : strlen(cases[i].text);
		struct fixture fixture;
		memcpy(text, cases[i].text, size);
		memcpy(text + size, "good,1\n", 7);
		begin(&fixture, span_of(text, size + 7));
		assert_int_equal(next(&fixture), RESULT_INVALID);
		assert_non_null(strstr(fixture.note.text, cases[i].why));
		assert_int_equal(fixture.reader.line, 2);
		assert_record(&fixture, "good|1", 2);
		assert_end(&fixture);
	}
}

static void records_are_bounded(void **state)
{
	(void)state;
	struct fixture fixture;
	char *text = malloc(CSV_RECORD_SIZE_MAX + 64);
	assert_non_null(text);
	memset(text, 'x', CSV_RECORD_SIZE_MAX + 64);
	text[CSV_RECORD_SIZE_MAX] = '\n';
	begin(&fixture, span_of(text, CSV_RECORD_SIZE_MAX + 1));
	assert_int_equal(next(&fixture), RESULT_OK);
	assert_int_equal(fixture.record.fields[0].size, CSV_RECORD_SIZE_MAX);
	assert_end(&fixture);
	text[CSV_RECORD_SIZE_MAX] = 'x';
	text[CSV_RECORD_SIZE_MAX + 1] = '\n';
	begin(&fixture, span_of(text, CSV_RECORD_SIZE_MAX + 2));
	assert_int_equal(next(&fixture), RESULT_INVALID);
	assert_end(&fixture);
	text[0] = '"';
	begin(&fixture, span_of(text, CSV_RECORD_SIZE_MAX + 64));
	assert_int_equal(next(&fixture), RESULT_INVALID);
	assert_non_null(strstr(fixture.note.text, "longer"));
	buf_release(&fixture.field);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_read),
		cmocka_unit_test(quotes_are_undone),
		cmocka_unit_test(what_cannot_be_read_costs_its_line_alone),
		cmocka_unit_test(records_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
