#include "api/problem.h"

#include "../cmocka_all.h"
#include "base/json.h"

#include <string.h>

static void every_problem_has_its_text(void **state)
{
	(void)state;
	for (int i = PROBLEM_NONE + 1; i < PROBLEM_COUNT; i++) {
		const struct problem_text *text = problem_text((enum problem)i);
		assert_in_range(text->status, 400, 599);
		assert_non_null(text->title);
		assert_non_null(text->detail);
		assert_non_null(problem_name((enum problem)i));
		for (int j = PROBLEM_NONE + 1; j < i; j++)
			assert_string_not_equal(problem_name((enum problem)i), problem_name((enum problem)j));
	}
}

static json_t *format(enum problem problem, const char *detail)
{
	BUF_CLEANUP struct buf buf = {0};
	json_t *json;
	assert_int_equal(problem_format(problem, detail, "7d444840-9dc0-41d1-b245-5ffdce74fad2", &buf), RESULT_OK);
	assert_int_equal(json_read(buf_span(&buf), &json, NULL), RESULT_OK);
	return json;
}

static void the_document_is_of_rfc_9457(void **state)
{
	(void)state;
	JSON_CLEANUP json_t *json = format(PROBLEM_DEVICE_IN_USE, "");
	assert_string_equal(json_string_value(json_object_get(json, "type")), "urn:vinveil:problem:device-in-use");
	assert_int_equal(json_integer_value(json_object_get(json, "status")), 409);
	assert_string_equal(json_string_value(json_object_get(json, "requestId")),
			    "7d444840-9dc0-41d1-b245-5ffdce74fad2");
}

static void a_detail_never_shows_a_vin(void **state)
{
	(void)state;
	JSON_CLEANUP json_t *json = format(PROBLEM_MALFORMED, "unknown member \"1M8GDM9AXKP042788\"");
	const char *detail = json_string_value(json_object_get(json, "detail"));
	assert_null(strstr(detail, "1M8GDM9AXKP042788"));
	assert_non_null(strstr(detail, "unknown member"));
}

static void what_the_transport_refuses_keeps_its_status(void **state)
{
	(void)state;
	static const int statuses[] = {400, 408, 413, 414, 417, 431, 501, 505};
	for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
		assert_int_equal(problem_text(problem_of_status(statuses[i]))->status, statuses[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_problem_has_its_text),
		cmocka_unit_test(the_document_is_of_rfc_9457),
		cmocka_unit_test(a_detail_never_shows_a_vin),
		cmocka_unit_test(what_the_transport_refuses_keeps_its_status),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
