#include "api/body.h"

#include "../cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#define HASH "8cfa5f66c5ee3d6f7bd4b8f6aee4d0d4a7f4d7f6d7a1ff0e1f5d0c3a9b8e7d6c"

struct fixture {
	struct http_exchange exchange;
	struct call call;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	fixture->call.exchange = &fixture->exchange;
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	json_decref(fixture->call.json);
	buf_release(&fixture->exchange.body);
	arena_release(&fixture->exchange.arena);
	free(fixture);
	return 0;
}

static enum problem read_text(struct fixture *fixture, const char *text)
{
	static const char *const members[] = {"referenceId", "hashedVin", "vin", "count", "note"};
	json_decref(fixture->call.json);
	fixture->call.json = NULL;
	buf_clear(&fixture->exchange.body);
	assert_int_equal(buf_append_text(&fixture->exchange.body, text), RESULT_OK);
	return body_read(&fixture->call, members, 5);
}

static void bodies_must_be_objects_of_known_members(void **state)
{
	struct fixture *fixture = *state;
	static const char *const bad[] = {"",
					  "x",
					  "[]",
					  "\"a\"",
					  "null",
					  "{\"a\"}",
					  "{\"vin\":1,}",
					  "{\"vin\":1}{}",
					  "{\"other\":1}",
					  "{\"vin\":1,\"vin\":2}"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(read_text(fixture, bad[i]), PROBLEM_MALFORMED);
	assert_int_equal(read_text(fixture, "{\"vin\":\"a\"}"), PROBLEM_NONE);
}

static void an_unknown_member_is_named_but_no_value(void **state)
{
	struct fixture *fixture = *state;
	assert_int_equal(read_text(fixture, "{\"colour\":\"secret-value\"}"), PROBLEM_MALFORMED);
	assert_non_null(strstr(fixture->call.flow.detail, "colour"));
	assert_null(strstr(fixture->call.flow.detail, "secret-value"));
}

static void members_are_judged_by_type_and_length(void **state)
{
	struct fixture *fixture = *state;
	struct span text;
	int64_t number = 7;
	assert_int_equal(read_text(fixture, "{\"note\":5,\"vin\":\"abc\",\"count\":\"3\"}"), PROBLEM_NONE);
	assert_int_equal(body_text(&fixture->call, "note", BODY_REQUIRED, 9, &text), PROBLEM_MALFORMED);
	assert_int_equal(body_text(&fixture->call, "vin", BODY_REQUIRED, 2, &text), PROBLEM_VALUE_INVALID);
	assert_int_equal(body_text(&fixture->call, "hashedVin", BODY_REQUIRED, 2, &text), PROBLEM_MALFORMED);
	assert_int_equal(body_text(&fixture->call, "hashedVin", BODY_OPTIONAL, 2, &text), PROBLEM_NONE);
	assert_null(text.data);
	assert_int_equal(body_number(&fixture->call, "count", 0, 9, &number), PROBLEM_MALFORMED);
	assert_int_equal(number, 7);
}

static void a_vehicle_has_exactly_one_name(void **state)
{
	struct fixture *fixture = *state;
	struct vehicle_name name;
	assert_int_equal(read_text(fixture, "{}"), PROBLEM_NONE);
	assert_int_equal(body_vehicle_name(&fixture->call, &name), PROBLEM_MALFORMED);
	assert_int_equal(read_text(fixture, "{\"vin\":\"1M8GDM9AXKP042788\",\"hashedVin\":\"" HASH "\"}"),
			 PROBLEM_NONE);
	assert_int_equal(body_vehicle_name(&fixture->call, &name), PROBLEM_MALFORMED);
	assert_int_equal(read_text(fixture, "{\"hashedVin\":\"" HASH "\"}"), PROBLEM_NONE);
	assert_int_equal(body_vehicle_name(&fixture->call, &name), PROBLEM_NONE);
	assert_int_equal(name.by, VEHICLE_BY_HASHED_VIN);
	assert_int_equal(read_text(fixture, "{\"vin\":\"1M8GDM9AXKP04278\"}"), PROBLEM_NONE);
	assert_int_equal(body_vehicle_name(&fixture->call, &name), PROBLEM_VIN_INVALID);
	assert_int_equal(read_text(fixture, "{\"referenceId\":\"nobody\"}"), PROBLEM_NONE);
	assert_int_equal(body_vehicle_name(&fixture->call, &name), PROBLEM_VALUE_INVALID);
}

static void queries_hold_known_names_once(void **state)
{
	struct fixture *fixture = *state;
	static const char *const names[] = {"limit", "state"};
	const char *text;
	uint64_t number = 5;
	fixture->exchange.request.query = span_of_text("limit=10&state=active");
	assert_int_equal(query_check(&fixture->call, names, 2), PROBLEM_NONE);
	assert_int_equal(query_number(&fixture->call, "limit", 100, &number), PROBLEM_NONE);
	assert_int_equal(number, 10);
	assert_int_equal(query_number(&fixture->call, "limit", 9, &number), PROBLEM_MALFORMED);
	assert_non_null(strstr(fixture->call.flow.detail, "from 1 to 9"));
	fixture->exchange.request.query = span_of_text("limit=0&cursor=0");
	assert_int_equal(query_number(&fixture->call, "limit", 9, &number), PROBLEM_MALFORMED);
	assert_int_equal(query_cursor(&fixture->call, 100, &number), PROBLEM_MALFORMED);
	fixture->exchange.request.query = span_of_text("cursor=7");
	assert_int_equal(query_cursor(&fixture->call, 100, &number), PROBLEM_NONE);
	assert_int_equal(number, 7);
	fixture->exchange.request.query = span_of_text("limit=10&vin=x");
	assert_int_equal(query_check(&fixture->call, names, 2), PROBLEM_MALFORMED);
	fixture->exchange.request.query = span_of_text("limit=1&limit=2");
	assert_int_equal(query_text(&fixture->call, "limit", &text), PROBLEM_MALFORMED);
	fixture->exchange.request.query = span_of(NULL, 0);
	assert_int_equal(query_check(&fixture->call, NULL, 0), PROBLEM_NONE);
}

static void content_types_are_compared_without_their_parameters(void **state)
{
	(void)state;
	assert_true(content_type_is(span_of_text("application/json"), "application/json"));
	assert_true(content_type_is(span_of_text("Application/JSON ; charset=UTF-8"), "application/json"));
	assert_false(content_type_is(span_of_text("application/json; charset=latin1"), "application/json"));
	assert_false(content_type_is(span_of_text("application/jsonx"), "application/json"));
	assert_false(content_type_is(span_of_text("text/plain"), "application/json"));
	assert_false(content_type_is(span_of(NULL, 0), "application/json"));
}

static void if_match_is_a_version_a_list_or_any(void **state)
{
	(void)state;
	static const char *const good[] = {"\"12\"", "*", "\"7\", \"12\"", "\"12\",\"x\"", "W/\"1\" , \"12\""};
	static const char *const bad[] = {"12",	     "W/\"12\"", "\"\"",	   "",	   "\"13\"",
					  "\"1,2\"", "\"012\"",	 "\"4294967308\"", "\"*\""};
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		assert_true(if_match_names(span_of_text(good[i]), 12));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(if_match_names(span_of_text(bad[i]), 12));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bodies_must_be_objects_of_known_members, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_unknown_member_is_named_but_no_value, set_up, tear_down),
		cmocka_unit_test_setup_teardown(members_are_judged_by_type_and_length, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_vehicle_has_exactly_one_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(queries_hold_known_names_once, set_up, tear_down),
		cmocka_unit_test(content_types_are_compared_without_their_parameters),
		cmocka_unit_test(if_match_is_a_version_a_list_or_any),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
