/* Query strings and response headers. */
#include "../cmocka_all.h"

#include "http/http.h"

static enum result get(const char *query, const char *name, char *ret_value, size_t size_max)
{
	return http_query_get(span_of_text(query), name, ret_value, size_max);
}

static void test_query_finds_and_decodes(void **state)
{
	static const struct {
		const char *query, *name, *value;
	} cases[] = {
		{"a=1", "a", "1"},
		{"b=2&a=1", "a", "1"},
		{"a", "a", ""},
		{"a=", "a", ""},
		{"&&a=1&", "a", "1"},
		{"a=b=c", "a", "b=c"},
		{"a=%41%2b%7E", "a", "A+~"},
		{"from=2026-01-02T03:04:05+02:00", "from", "2026-01-02T03:04:05+02:00"},
		{"aa=1&a=2", "a", "2"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char value[32];
		assert_int_equal(get(cases[i].query, cases[i].name, value, sizeof(value)), RESULT_OK);
		assert_string_equal(value, cases[i].value);
	}
}

static void test_query_refuses(void **state)
{
	char value[4] = "old";
	(void)state;
	assert_int_equal(get("", "a", value, sizeof(value)), RESULT_ABSENT);
	assert_int_equal(get("b=1&ab=2", "a", value, sizeof(value)), RESULT_ABSENT);
	assert_int_equal(get("A=1", "a", value, sizeof(value)), RESULT_ABSENT);
	assert_int_equal(get("a=1&a=1", "a", value, sizeof(value)), RESULT_INVALID);
	assert_int_equal(get("a&a", "a", value, sizeof(value)), RESULT_INVALID);
	assert_int_equal(get("a=%4", "a", value, sizeof(value)), RESULT_INVALID);
	assert_int_equal(get("a=%", "a", value, sizeof(value)), RESULT_INVALID);
	assert_int_equal(get("a=%zz", "a", value, sizeof(value)), RESULT_INVALID);
	assert_int_equal(get("a=%00", "a", value, sizeof(value)), RESULT_INVALID);
	assert_int_equal(get("a=1234", "a", value, sizeof(value)), RESULT_INVALID);
	assert_string_equal(value, "old");
	assert_int_equal(get("a=123", "a", value, sizeof(value)), RESULT_OK);
	assert_string_equal(value, "123");
}

static void test_response_header_is_whole_or_absent(void **state)
{
	struct http_response response = {.headers.size_max = 32};
	(void)state;
	assert_int_equal(http_response_header(&response, "A", "b"), RESULT_OK);
	assert_int_equal(http_response_header(&response, "Long", "0123456789012345678901234567"), RESULT_EXHAUSTED);
	assert_true(span_is_text(buf_span(&response.headers), "A: b\r\n"));
	buf_release(&response.headers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query_finds_and_decodes),
		cmocka_unit_test(test_query_refuses),
		cmocka_unit_test(test_response_header_is_whole_or_absent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
