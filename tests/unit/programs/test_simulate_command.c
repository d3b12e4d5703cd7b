#include "programs/vinveil/simulate_command.h"

#include "../cmocka_all.h"

#include <stdio.h>
#include <string.h>

#define REQUEST "$aws/commands/things/0b54c8d0-9f8e-4c55-8c3f-9f1f6a3f2b11/executions/1/request/json"

static const char *const none[] = {NULL};

static void only_requests_have_answers(void **state)
{
	(void)state;
	char topic[COMMAND_TOPIC_SIZE];
	static const char *const others[] = {"", "/request/json",
					     "$aws/commands/things/x/executions/1/response/accepted/json",
					     "vehicles/x/signals", "$aws/commands/things/x/executions/1/request/cbor"};
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		assert_int_equal(command_answer_topic(others[i], topic), RESULT_INVALID);
	char longest[COMMAND_TOPIC_SIZE + 16];
	memset(longest, 'a', sizeof longest);
	memcpy(longest + sizeof longest - sizeof "/request/json", "/request/json", sizeof "/request/json");
	assert_int_equal(command_answer_topic(longest, topic), RESULT_INVALID);
	assert_int_equal(command_answer_topic(REQUEST, topic), RESULT_OK);
	assert_string_equal(topic,
			    "$aws/commands/things/0b54c8d0-9f8e-4c55-8c3f-9f1f6a3f2b11/executions/1/response/json");
}

static void names_are_read_from_payloads(void **state)
{
	(void)state;
	char name[8];
	static const char *const nameless[] = {"",   "lock",	     "{}",
					       "[]", "{\"name\":1}", "{\"name\":\"too-long-for-it\"}"};
	for (size_t i = 0; i < sizeof nameless / sizeof nameless[0]; i++) {
		command_read_name(span_of_text(nameless[i]), name, sizeof name);
		assert_string_equal(name, "");
	}
	command_read_name(span_of_text("{\"name\":\"lock\",\"payload\":{}}"), name, sizeof name);
	assert_string_equal(name, "lock");
}

static const char *status_of(struct buf *json)
{
	static char status[32];
	JSON_CLEANUP json_t *answer = NULL;
	assert_int_equal(json_read(buf_span(json), &answer, NULL), RESULT_OK);
	const char *text = json_string_value(json_object_get(answer, "status"));
	assert_non_null(text);
	snprintf(status, sizeof status, "%s", text);
	return status;
}

static const char *obey(struct drive *drive, const char *name, const char *const *failing)
{
	BUF_CLEANUP struct buf json = {0};
	assert_int_equal(command_obey(drive, name, failing, &json), RESULT_OK);
	return status_of(&json);
}

static void what_cannot_be_done_is_not_said_to_be(void **state)
{
	(void)state;
	struct drive drive;
	static const char *const failing[] = {"lock", NULL};
	drive_start(&drive, 1, 1);
	drive.is_locked = false;
	assert_string_equal(obey(&drive, "self-destruct", none), "REJECTED");
	assert_string_equal(obey(&drive, "", none), "REJECTED");
	assert_string_equal(obey(&drive, "lock", failing), "FAILED");
	assert_false(drive.is_locked);
	drive.is_locked = true;
	drive.speed_kmh = 50;
	assert_string_equal(obey(&drive, "unlock", none), "REJECTED");
	assert_true(drive.is_locked);
}

static void commands_are_obeyed(void **state)
{
	(void)state;
	struct drive drive;
	drive_start(&drive, 1, 1);
	assert_string_equal(obey(&drive, "unlock", none), "SUCCEEDED");
	assert_false(drive.is_locked);
	assert_string_equal(obey(&drive, "lock", none), "SUCCEEDED");
	assert_true(drive.is_locked);
	assert_string_equal(obey(&drive, "climate-on", none), "SUCCEEDED");
	assert_true(drive.is_climate_on);
	assert_string_equal(obey(&drive, "climate-off", none), "SUCCEEDED");
	assert_false(drive.is_climate_on);
	assert_string_equal(obey(&drive, "locate", none), "SUCCEEDED");
	assert_string_equal(obey(&drive, "honk", none), "SUCCEEDED");
}

static void progress_is_told(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf json = {0};
	assert_int_equal(command_write_progress(&json), RESULT_OK);
	assert_string_equal(status_of(&json), "IN_PROGRESS");
}

int main(void)
{
	json_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_requests_have_answers),
		cmocka_unit_test(names_are_read_from_payloads),
		cmocka_unit_test(what_cannot_be_done_is_not_said_to_be),
		cmocka_unit_test(commands_are_obeyed),
		cmocka_unit_test(progress_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
