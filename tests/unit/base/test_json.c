#include "base/json.h"

#include "../cmocka_all.h"

#include <string.h>

#include <stdio.h>

/* ---- reading ------------------------------------------------------------------------------------- */

static void good_text_is_read(void **state)
{
	(void)state;
	JSON_CLEANUP json_t *json = NULL;
	const char *text = "{\"a\": [1, -2.5, true, null], \"b\": \"gr\\u00fcn \\ud83d\\ude97\", "
			   "\"c\": 9223372036854775807}";
	assert_int_equal(json_read(span_of_text(text), &json, NULL), RESULT_OK);
	assert_int_equal(json_object_size(json), 3);
	assert_string_equal(json_string_value(json_object_get(json, "b")), "gr\xc3\xbcn \xf0\x9f\x9a\x97");
	assert_true(json_integer_value(json_object_get(json, "c")) == INT64_MAX);
}

struct wrong {
	const char *text;
	const char *note;
};

static void bad_text_is_refused_with_its_place(void **state)
{
	(void)state;
	static const struct wrong cases[] = {
		{"", "line 1, column 1: the end comes too early"},
		{"   ", "line 1, column 3: the end comes too early"},
		{"{\"a\": 1", "line 1, column 7: the end comes too early"},
		{"{\"a\":\n 1 x}", "line 2, column 4: not JSON"},
		{"[1] 2", "line 1, column 5: something follows the end"},
		{"\"text\"", "line 1, column 6: not JSON"},
		{"12", "line 1, column 2: not JSON"},
		{"{\"a\": 1, \"a\": 2}", "line 1, column 12: a member name that was there before"},
		{"{\"a\": 1, \"\\u0061\": 2}", "line 1, column 17: a member name that was there before"},
		{"[9223372036854775808]", "line 1, column 20: a number out of range"},
		{"[-9223372036854775809]", "line 1, column 21: a number out of range"},
		{"[1e999]", "line 1, column 6: a number out of range"},
		{"[\"\\u0000\"]", "line 1, column 9: a NUL character"},
		{"{\"\\u0000\": 1}", "line 1, column 9: a NUL character"},
		{"[\"\xff\"]", "line 1, column 2: text that is not UTF-8"},
		{"[\"\xed\xa0\x80\"]", "line 1, column 2: text that is not UTF-8"},
		{"[\"\\ud800\"]", "line 1, column 9: not JSON"},
		{"[01]", "line 1, column 2: not JSON"},
		{"[1,]", "line 1, column 4: not JSON"},
		{"[nan]", "line 1, column 4: not JSON"},
		{"['a']", "line 1, column 2: not JSON"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json = NULL;
		struct note note = {0};
		assert_int_equal(json_read(span_of_text(cases[i].text), &json, &note), RESULT_INVALID);
		assert_null(json);
		assert_string_equal(note.text, cases[i].note);
	}
	json_t *json = NULL;
	assert_int_equal(json_read(span_of("[\"a\0b\"]", 7), &json, NULL), RESULT_INVALID);
	assert_int_equal(json_read(span_of("[1]\0", 4), &json, NULL), RESULT_INVALID);
}

static void notes_never_quote_the_input(void **state)
{
	(void)state;
	json_t *json = NULL;
	struct note note = {0};
	assert_int_equal(json_read(span_of_text("{\"vin\": 1M8GDM9AXKP042788}"), &json, &note), RESULT_INVALID);
	assert_null(strstr(note.text, "M8GD"));
	assert_null(strstr(note.text, "near"));
}

static void depth_is_bounded(void **state)
{
	(void)state;
	char text[200];
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	json_t *json = NULL;
	assert_int_equal(json_read(span_of(text, (size_t)2 * JSON_DEPTH_MAX), &json, NULL), RESULT_OK);
	json_decref(json);
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	struct note note = {0};
	json = NULL;
	assert_int_equal(json_read(span_of(text, (size_t)2 * JSON_DEPTH_MAX + 2), &json, &note), RESULT_INVALID);
	assert_string_equal(note.text, "line 1, column 17: nested deeper than 16");
	/* Brackets in strings are no depth, and an escaped quote does not end a string. */
	const char *strings = "[\"[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[[[[[\\\\\", \"{{{{{{{{{{{{{{{{{{{{\"]";
	assert_int_equal(json_read(span_of_text(strings), &json, NULL), RESULT_OK);
	json_decref(json);
}

static void members_are_checked(void **state)
{
	(void)state;
	static const char *const names[] = {"vin", "deviceId"};
	JSON_CLEANUP json_t *right = json_pack("{s:s}", "deviceId", "x");
	JSON_CLEANUP json_t *wrong = json_pack("{s:s, s:s}", "vin", "x", "colour", "y");
	JSON_CLEANUP json_t *rude = json_pack("{s:s}", "1M8GDM9AXKP042788", "x");
	JSON_CLEANUP json_t *odd = json_pack("{s:s}", "a\nb", "x");
	JSON_CLEANUP json_t *array = json_array();
	struct note note = {0};
	assert_int_equal(json_check_members(right, names, 2, &note), RESULT_OK);
	assert_int_equal(json_check_members(wrong, names, 2, &note), RESULT_INVALID);
	assert_string_equal(note.text, "member \"colour\" is not known here");
	assert_int_equal(json_check_members(rude, names, 2, &note), RESULT_INVALID);
	assert_string_equal(note.text, "member \"[withheld]\" is not known here");
	assert_int_equal(json_check_members(odd, names, 2, &note), RESULT_INVALID);
	assert_string_equal(note.text, "a member with a name that is not known here");
	assert_int_equal(json_check_members(array, names, 2, &note), RESULT_INVALID);
	assert_int_equal(json_check_members(NULL, names, 2, &note), RESULT_INVALID);
}

static void text_members_are_got(void **state)
{
	(void)state;
	JSON_CLEANUP json_t *json = json_pack("{s:s, s:i, s:n}", "name", "value", "number", 1, "none");
	struct span text = {0};
	assert_int_equal(json_get_text(json, "name", 5, &text), RESULT_OK);
	assert_true(span_is_text(text, "value"));
	assert_int_equal(json_get_text(json, "name", 4, &text), RESULT_INVALID);
	assert_int_equal(json_get_text(json, "number", 9, &text), RESULT_INVALID);
	assert_int_equal(json_get_text(json, "none", 9, &text), RESULT_INVALID);
	assert_int_equal(json_get_text(json, "other", 9, &text), RESULT_ABSENT);
	assert_true(span_is_text(text, "value"));
}

/* ---- writing ------------------------------------------------------------------------------------- */

static void everything_is_written(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf buf = {0};
	struct json_writer writer;
	struct uuid uuid = {
		{0xf8, 0x1d, 0x4f, 0xae, 0x7d, 0xec, 0x41, 0xd0, 0xa7, 0x65, 0, 0xa0, 0xc9, 0x1e, 0x6b, 0xf6}};
	json_writer_init(&writer, &buf);
	json_object_begin(&writer);
	json_member_text(&writer, "text", "x");
	json_member_number(&writer, "number", -42);
	json_member_time(&writer, "at", 1767323045678);
	json_member_uuid(&writer, "id", &uuid);
	json_key(&writer, "list");
	json_array_begin(&writer);
	json_bool(&writer, true);
	json_bool(&writer, false);
	json_null_value(&writer);
	json_object_begin(&writer);
	json_object_end(&writer);
	json_array_begin(&writer);
	json_array_end(&writer);
	json_hex(&writer, span_of("\x01\xff", 2));
	json_raw(&writer, span_of_text("{\"raw\":1}"));
	json_array_end(&writer);
	json_key(&writer, "last");
	json_text(&writer, (struct span){0});
	json_object_end(&writer);
	assert_int_equal(json_writer_end(&writer), RESULT_OK);
	assert_string_equal((char *)buf.data, "{\"text\":\"x\",\"number\":-42,\"at\":\"2026-01-02T03:04:05.678Z\","
					      "\"id\":\"f81d4fae-7dec-41d0-a765-00a0c91e6bf6\","
					      "\"list\":[true,false,null,{},[],\"01ff\",{\"raw\":1}],\"last\":\"\"}");
}

static void numbers_are_written_to_their_ends(void **state)
{
	(void)state;
	const int64_t numbers[] = {0, 1, -1, 9, 10, 99, 100, INT64_MAX, INT64_MIN};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		BUF_CLEANUP struct buf buf = {0};
		struct json_writer writer;
		char expected[32];
		json_writer_init(&writer, &buf);
		json_number(&writer, numbers[i]);
		assert_int_equal(json_writer_end(&writer), RESULT_OK);
		snprintf(expected, sizeof(expected), "%lld", (long long)numbers[i]);
		assert_string_equal((char *)buf.data, expected);
	}
}

static void any_text_survives(void **state)
{
	(void)state;
	char text[0x80 + 16] = {0};
	size_t size = 0;
	for (int c = 1; c < 0x80; c++)
		text[size++] = (char)c;
	memcpy(text + size, "gr\xc3\xbc\xf0\x9f\x9a\x97", 8);
	size += 8;
	BUF_CLEANUP struct buf buf = {0};
	struct json_writer writer;
	json_writer_init(&writer, &buf);
	json_array_begin(&writer);
	json_text(&writer, span_of(text, size));
	json_array_end(&writer);
	assert_int_equal(json_writer_end(&writer), RESULT_OK);
	JSON_CLEANUP json_t *json = NULL;
	assert_int_equal(json_read(buf_span(&buf), &json, NULL), RESULT_OK);
	json_t *read_back = json_array_get(json, 0);
	assert_true(
		span_equal(span_of(json_string_value(read_back), json_string_length(read_back)), span_of(text, size)));
	/* Nothing that could end a line is in there, so that a value can never look like a log line. */
	assert_null(memchr(buf.data, '\n', buf.size));
}

static void first_failure_sticks(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf small = {.size_max = 8};
	struct json_writer writer;
	json_writer_init(&writer, &small);
	json_object_begin(&writer);
	json_member_text(&writer, "name", "too long for it");
	json_object_end(&writer);
	json_hex(&writer, span_of_text("x"));
	assert_int_equal(json_writer_end(&writer), RESULT_EXHAUSTED);

	const struct span wrong[] = {span_of("a\xff", 2), span_of("a\0b", 3), span_of("abcdefgh\xc3", 9)};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		BUF_CLEANUP struct buf buf = {0};
		json_writer_init(&writer, &buf);
		json_text(&writer, wrong[i]);
		assert_int_equal(json_writer_end(&writer), RESULT_INVALID);
	}
}

static void a_value_is_copied_as_text_within_a_bound(void **state)
{
	(void)state;
	static const char *const texts[] = {"null", "1", "\"\xc3\xa4\"", "{\"b\":[1,2.5,true],\"a\":{}}"};
	ARENA_CLEANUP struct arena arena = {0};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		JSON_CLEANUP json_t *json = json_loads(texts[i], JSON_DECODE_ANY, NULL);
		const char *copy = NULL;

		assert_int_equal(json_copy_text(&arena, json, strlen(texts[i]) - 1, &copy), RESULT_EXHAUSTED);
		assert_null(copy);
		assert_int_equal(json_copy_text(&arena, json, strlen(texts[i]), &copy), RESULT_OK);
		assert_string_equal(copy, texts[i]);
	}
}

static int init(void **state)
{
	(void)state;
	json_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_text_is_read),
		cmocka_unit_test(bad_text_is_refused_with_its_place),
		cmocka_unit_test(notes_never_quote_the_input),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(members_are_checked),
		cmocka_unit_test(text_members_are_got),
		cmocka_unit_test(everything_is_written),
		cmocka_unit_test(numbers_are_written_to_their_ends),
		cmocka_unit_test(any_text_survives),
		cmocka_unit_test(first_failure_sticks),
		cmocka_unit_test(a_value_is_copied_as_text_within_a_bound),
	};
	return cmocka_run_group_tests(tests, init, NULL);
}
