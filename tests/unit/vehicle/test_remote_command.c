#include "support.h"

#include "vehicle/remote_commands.h"

#include <stdio.h>
#include <stdlib.h>

static enum problem send_json(struct fixture *fixture, const struct client *client, const struct uuid *id,
			      const char *name, const char *payload, int64_t timeout_s,
			      struct remote_command *ret_command)
{
	SESSION_CLEANUP struct session session;
	json_t *json = payload == NULL ? NULL : json_loads(payload, JSON_DECODE_ANY, NULL);
	struct command_input input = {.name = span_of_text(name), .payload = json, .timeout_s = timeout_s};

	if (payload != NULL)
		assert_non_null(json);
	session_open(&session, fixture, client);
	enum problem problem = remote_commands_send(&session.request, id, &input, ret_command);
	ret_command->payload = ret_command->result = NULL; /* lived in the session */
	json_decref(json);
	return problem;
}

static struct remote_command sent(struct fixture *fixture, const struct uuid *id, const char *name)
{
	struct remote_command command = {0};

	assert_problem(send_json(fixture, &fixture->admin, id, name, "{\"a\":1}", 0, &command), PROBLEM_NONE);
	return command;
}

static enum problem report(struct fixture *fixture, const struct remote_command *command, const char *payload)
{
	SESSION_CLEANUP struct session session;

	session_open(&session, fixture, &fixture->admin);
	return remote_commands_report(&session.request, &command->reference_id, &command->id, span_of_text(payload));
}

/* With its texts in the session. */
static struct remote_command now(struct fixture *fixture, struct session *session, const struct remote_command *command)
{
	struct remote_command read = {0};

	session_open(session, fixture, &fixture->admin);
	assert_problem(remote_commands_get(&session->request, &command->reference_id, &command->id, &read),
		       PROBLEM_NONE);
	return read;
}

static void assert_status(struct fixture *fixture, const struct remote_command *command, enum command_status status,
			  bool is_final)
{
	SESSION_CLEANUP struct session session;
	struct remote_command read = now(fixture, &session, command);

	assert_string_equal(command_status_name(read.status), command_status_name(status));
	assert_int_equal(read.is_final, is_final);
}

static void expire(struct fixture *fixture)
{
	bool more = true;

	while (more)
		assert_ok(remote_commands_expire(&fixture->platform, &more, NULL));
}

/* ---- the status table -------------------------------------------------------------------------------- */

static void test_the_status_table(void **state)
{
	(void)state;
	enum { NO, GOES, ENDS };
	/* rows: created, in progress, timed out by the platform, and final; columns: statuses from CREATED on */
	static const struct {
		struct remote_command from;
		uint8_t by_vehicle[6], by_platform[6];
	} rows[] = {
		{{.status = COMMAND_CREATED}, {NO, GOES, ENDS, ENDS, ENDS, ENDS}, {NO, NO, NO, NO, NO, GOES}},
		{{.status = COMMAND_IN_PROGRESS}, {NO, GOES, ENDS, ENDS, ENDS, ENDS}, {NO, NO, NO, NO, NO, GOES}},
		{{.status = COMMAND_TIMED_OUT}, {NO, NO, ENDS, ENDS, ENDS, ENDS}, {NO, NO, NO, NO, NO, NO}},
		{{.status = COMMAND_SUCCEEDED, .is_final = true}, {NO}, {NO}},
		{{.status = COMMAND_FAILED, .is_final = true}, {NO}, {NO}},
		{{.status = COMMAND_REJECTED, .is_final = true}, {NO}, {NO}},
		{{.status = COMMAND_TIMED_OUT, .is_final = true}, {NO}, {NO}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int next = COMMAND_CREATED; next <= COMMAND_TIMED_OUT; next++)
			for (int by = 0; by < 2; by++) {
				bool is_final = false;
				uint8_t expected = by == COMMAND_REPORTED_BY_VEHICLE ? rows[i].by_vehicle[next - 1]
										     : rows[i].by_platform[next - 1];
				enum result result = command_transition(&rows[i].from, (enum command_status)next,
									(enum command_reporter)by, &is_final);
				assert_result(result, expected == NO ? RESULT_CONFLICT : RESULT_OK);
				assert_int_equal(is_final, expected == ENDS);
			}
}

static void test_names_of_statuses_and_commands(void **state)
{
	(void)state;
	static const char *const bad[] = {"", ".lock", "-a", "_a", "a b", "a/b", "a+b", "\xc3\xa4", "a#"};
	char name[COMMAND_NAME_LENGTH_MAX + 1], longest[COMMAND_NAME_LENGTH_MAX + 2];
	enum command_status status;

	assert_result(command_status_parse(span_of_text("succeeded"), &status), RESULT_INVALID);
	assert_result(command_status_parse(span_of_text(""), &status), RESULT_INVALID);
	assert_ok(command_status_parse(span_of_text("TIMED_OUT"), &status));
	assert_int_equal(status, COMMAND_TIMED_OUT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_result(command_name_parse(span_of_text(bad[i]), name), RESULT_INVALID);
	memset(longest, 'a', sizeof(longest));
	assert_result(command_name_parse(span_of(longest, COMMAND_NAME_LENGTH_MAX + 1), name), RESULT_INVALID);
	assert_ok(command_name_parse(span_of(longest, COMMAND_NAME_LENGTH_MAX), name));
	assert_ok(command_name_parse(span_of_text("0door.lock_all-2"), name));
	assert_string_equal(name, "0door.lock_all-2");
}

/* ---- sending ----------------------------------------------------------------------------------------- */

static void test_what_is_not_a_command_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1"), unknown = {{1}};
	struct remote_command command = {0};
	char *huge = calloc(1, COMMAND_PAYLOAD_SIZE_MAX + 16);
	static const struct {
		const char *name, *payload;
		int64_t timeout_s;
		enum problem problem;
	} cases[] = {
		{"two words", NULL, 60, PROBLEM_VALUE_INVALID},
		{"", NULL, 60, PROBLEM_VALUE_INVALID},
		{"lock", NULL, -1, PROBLEM_VALUE_INVALID},
		{"lock", NULL, 604801, PROBLEM_VALUE_INVALID},
		{VIN_A, NULL, 60, PROBLEM_VIN_NOT_ALLOWED},
		{"lock", "\"" VIN_A "\"", 60, PROBLEM_VIN_NOT_ALLOWED},
		{"lock", "{\"deep\":[{\"text\":\"of " VIN_A "\"}]}", 60, PROBLEM_VIN_NOT_ALLOWED},
		{"lock", "{\"" VIN_A "\":1}", 60, PROBLEM_VIN_NOT_ALLOWED},
		{"lock", "{\"text\":\"\\u0031M8GDM9AXKP042788\"}", 60, PROBLEM_VIN_NOT_ALLOWED},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_problem(send_json(fixture, &fixture->admin, &id, cases[i].name, cases[i].payload,
					 cases[i].timeout_s, &command),
			       cases[i].problem);
	huge[0] = huge[COMMAND_PAYLOAD_SIZE_MAX - 1] = '"';
	memset(huge + 1, 'x', COMMAND_PAYLOAD_SIZE_MAX - 2);
	assert_problem(send_json(fixture, &fixture->admin, &id, "lock", huge, 60, &command), PROBLEM_NONE);
	huge[COMMAND_PAYLOAD_SIZE_MAX - 1] = 'x';
	huge[COMMAND_PAYLOAD_SIZE_MAX] = '"';
	assert_problem(send_json(fixture, &fixture->admin, &id, "lock", huge, 60, &command), PROBLEM_VALUE_INVALID);
	free(huge);
	assert_problem(send_json(fixture, &fixture->admin, &unknown, "lock", NULL, 60, &command), PROBLEM_NOT_FOUND);
	assert_problem(send_json(fixture, &fixture->stranger, &id, "lock", NULL, 60, &command), PROBLEM_NOT_FOUND);
	assert_int_equal(fake_gateway_count(&fixture->gateway, GATEWAY_TOLD_COMMAND), 1);
}

static void test_a_vehicle_that_cannot_come_gets_none(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct remote_command command = {0};
	struct vehicle vehicle;

	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE);
	assert_problem(send_json(fixture, &fixture->admin, &id, "lock", NULL, 0, &command),
		       PROBLEM_VEHICLE_NOT_COMMANDABLE);
	assert_problem(set_state(fixture, &id, VEHICLE_PROVISIONED), PROBLEM_NONE);
	assert_problem(change_device(fixture, &id, "tcu-1", "", &vehicle), PROBLEM_NONE);
	assert_problem(send_json(fixture, &fixture->admin, &id, "lock", NULL, 0, &command),
		       PROBLEM_VEHICLE_NOT_COMMANDABLE);
	assert_problem(set_state(fixture, &id, VEHICLE_DECOMMISSIONED), PROBLEM_NONE);
	assert_problem(send_json(fixture, &fixture->admin, &id, "lock", NULL, 0, &command),
		       PROBLEM_VEHICLE_NOT_COMMANDABLE);
	assert_int_equal(fake_gateway_count(&fixture->gateway, GATEWAY_TOLD_COMMAND), 0);
}

static void test_without_a_gateway_nothing_is_written(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	SESSION_CLEANUP struct session session;
	struct remote_command command = {0};
	struct command_page page;

	fixture->platform.gateway = NULL;
	assert_problem(send_json(fixture, &fixture->admin, &id, "lock", NULL, 0, &command), PROBLEM_UNAVAILABLE);
	session_open(&session, fixture, &fixture->admin);
	assert_problem(remote_commands_list(&session.request, &id, NULL, 0, &page), PROBLEM_NONE);
	assert_int_equal(page.count, 0);
	assert_ok(remote_commands_resend_all(&fixture->platform, fixture->clock.now_ms, NULL));
}

static void test_a_command_is_written_and_then_sent_as_it_is(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	SESSION_CLEANUP struct session session;
	struct remote_command command = {0};

	assert_problem(send_json(fixture, &fixture->admin, &id, "door.lock", "{ \"door\" : [1, 2.5, true, null] }", 0,
				 &command),
		       PROBLEM_NONE);
	const struct fake_gateway_call *call = fake_gateway_call(&fixture->gateway, GATEWAY_TOLD_COMMAND, 0);
	assert_string_equal(call->payload, "{\"door\":[1,2.5,true,null]}");
	assert_true(uuid_equal(&call->reference_id, &id));
	assert_true(uuid_equal(&call->command_id, &command.id));
	struct remote_command read = now(fixture, &session, &command);
	assert_string_equal(read.name, "door.lock");
	assert_string_equal(read.created_by, "admin");
	assert_int_equal(read.status, COMMAND_CREATED);
	assert_int_equal(read.expires_at_ms, START_MS + 60000);
	assert_true(fake_audit_holds(&fixture->audit, "door.lock"));
	/* AWS IoT has no command without a payload; here it is the command's name. */
	assert_problem(send_json(fixture, &fixture->admin, &id, "horn", NULL, 5, &command), PROBLEM_NONE);
	assert_string_equal(fake_gateway_call(&fixture->gateway, GATEWAY_TOLD_COMMAND, 1)->payload,
			    "{\"name\":\"horn\"}");
	/* As long as may be. */
	assert_problem(send_json(fixture, &fixture->admin, &id, "horn", "[]", 604800, &command), PROBLEM_NONE);
}

static void test_a_repeated_request_finds_what_it_made(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1"), chosen = {{7}};
	struct command_input input = {.name = span_of_text("horn"), .id = &chosen};
	struct remote_command command = {0};

	/* The log is away: the command stands and is sent, but nobody is told. */
	fixture->audit.durable_result = RESULT_UNAVAILABLE;
	for (int i = 0; i < 3; i++) {
		SESSION_CLEANUP struct session session;

		session_open(&session, fixture, &fixture->admin);
		assert_problem(remote_commands_send(&session.request, &id, &input, &command),
			       i == 0 ? PROBLEM_UNAVAILABLE : PROBLEM_NONE);
		assert_int_equal(session.event.is_recorded, i == 0);
		fixture->audit.durable_result = RESULT_OK;
	}
	assert_true(uuid_equal(&command.id, &chosen));
	assert_int_equal(fake_gateway_count(&fixture->gateway, GATEWAY_TOLD_COMMAND), 1);
	/* The key's day is over: the same ID is another request. */
	fixture->clock.now_ms += (int64_t)24 * 3600 * 1000;
	SESSION_CLEANUP struct session session;
	session_open(&session, fixture, &fixture->admin);
	assert_problem(remote_commands_send(&session.request, &id, &input, &command), PROBLEM_NONE);
	assert_false(uuid_equal(&command.id, &chosen));
	assert_int_equal(fake_gateway_count(&fixture->gateway, GATEWAY_TOLD_COMMAND), 2);
}

static void test_so_many_may_wait(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct remote_command command = {0};

	for (int i = 0; i < COMMANDS_WAITING_MAX; i++)
		command = sent(fixture, &id, "horn");
	assert_problem(send_json(fixture, &fixture->admin, &id, "horn", NULL, 0, &command), PROBLEM_COMMAND_LIMIT);
	fixture->clock.now_ms += 60000; /* they are over */
	assert_problem(send_json(fixture, &fixture->admin, &id, "horn", NULL, 0, &command), PROBLEM_NONE);
}

static void test_listing_pages_newest_first(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1"), unknown = {{1}};
	SESSION_CLEANUP struct session session;
	struct command_page page;
	char name[16];

	for (int i = 1; i <= 5; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		sent(fixture, &id, name);
	}
	session_open(&session, fixture, &fixture->admin);
	assert_problem(remote_commands_list(&session.request, &unknown, NULL, 2, &page), PROBLEM_NOT_FOUND);
	assert_problem(remote_commands_list(&session.request, &id, NULL, 3, &page), PROBLEM_NONE);
	assert_int_equal(page.count, 3);
	assert_true(page.has_more);
	assert_string_equal(page.commands[0].name, "c5");
	const struct uuid before = page.commands[2].id;
	assert_problem(remote_commands_list(&session.request, &id, &before, 3, &page), PROBLEM_NONE);
	assert_int_equal(page.count, 2);
	assert_false(page.has_more);
	assert_string_equal(page.commands[1].name, "c1");
}

/* ---- what the vehicle reports ------------------------------------------------------------------------ */

static void test_reports_that_are_none_are_refused(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct remote_command command = sent(fixture, &id, "horn");
	char *huge = calloc(1, COMMAND_RESULT_SIZE_MAX + 128);
	static const struct {
		const char *payload;
		enum problem problem;
	} cases[] = {
		{"", PROBLEM_MALFORMED},
		{"{", PROBLEM_MALFORMED},
		{"{\"status\":\"SUCCEEDED\",\"status\":\"FAILED\"}", PROBLEM_MALFORMED},
		{"{\"status\":NaN}", PROBLEM_MALFORMED},
		{"{\"status\":\"\xff\"}", PROBLEM_MALFORMED},
		{"[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]", PROBLEM_MALFORMED},
		{"[]", PROBLEM_VALUE_INVALID},
		{"{}", PROBLEM_VALUE_INVALID},
		{"{\"status\":1}", PROBLEM_VALUE_INVALID},
		{"{\"status\":\"CREATED\"}", PROBLEM_VALUE_INVALID},
		{"{\"status\":\"DONE\"}", PROBLEM_VALUE_INVALID},
		{"{\"status\":\"SUCCEEDED\",\"more\":1}", PROBLEM_VALUE_INVALID},
		{"{\"status\":\"FAILED\",\"statusReason\":\"X\"}", PROBLEM_VALUE_INVALID},
		{"{\"status\":\"FAILED\",\"statusReason\":{}}", PROBLEM_VALUE_INVALID},
		{"{\"status\":\"FAILED\",\"statusReason\":{\"reasonCode\":\"\"}}", PROBLEM_VALUE_INVALID},
		{"{\"status\":\"FAILED\",\"statusReason\":{\"reasonCode\":\"lower\"}}", PROBLEM_VALUE_INVALID},
		{"{\"status\":\"FAILED\",\"statusReason\":{\"reasonCode\":\"A\",\"reasonDescription\":\"a\\nb\"}}",
		 PROBLEM_VALUE_INVALID},
		{"{\"status\":\"FAILED\",\"statusReason\":{\"reasonCode\":\"A\",\"reasonDescription\":\"\xc2\x9b\"}}",
		 PROBLEM_VALUE_INVALID},
		{"{\"status\":\"FAILED\",\"statusReason\":{\"reasonCode\":\"A\",\"reasonDescription\":1}}",
		 PROBLEM_VALUE_INVALID},
		{"{\"status\":\"SUCCEEDED\",\"result\":1}", PROBLEM_VALUE_INVALID},
		{"{\"status\":\"SUCCEEDED\",\"result\":{\"vin\":\"" VIN_A "\"}}", PROBLEM_VIN_NOT_ALLOWED},
		{"{\"status\":\"FAILED\",\"statusReason\":{\"reasonCode\":\"A\",\"reasonDescription\":\"" VIN_A "\"}}",
		 PROBLEM_VIN_NOT_ALLOWED},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_problem(report(fixture, &command, cases[i].payload), cases[i].problem);
	int length = snprintf(huge, 64, "{\"status\":\"SUCCEEDED\",\"result\":{\"a\":\"");
	memset(huge + length, 'x', COMMAND_RESULT_SIZE_MAX);
	memcpy(huge + length + COMMAND_RESULT_SIZE_MAX, "\"}}", 3);
	assert_problem(report(fixture, &command, huge), PROBLEM_VALUE_INVALID);
	free(huge);
	assert_status(fixture, &command, COMMAND_CREATED, false);
	command.id.bytes[0] ^= 1;
	assert_problem(report(fixture, &command, "{\"status\":\"SUCCEEDED\"}"), PROBLEM_NOT_FOUND);
	command.id.bytes[0] ^= 1;
	command.reference_id = provisioned_vehicle(fixture, VIN_B, "tcu-2"); /* another's command */
	assert_problem(report(fixture, &command, "{\"status\":\"SUCCEEDED\"}"), PROBLEM_NOT_FOUND);
}

static void test_progress_and_end(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct remote_command command = sent(fixture, &id, "horn");
	SESSION_CLEANUP struct session session;

	assert_problem(report(fixture, &command, "{\"status\":\"IN_PROGRESS\"}"), PROBLEM_NONE);
	assert_status(fixture, &command, COMMAND_IN_PROGRESS, false);
	assert_problem(report(fixture, &command,
			      "{\"status\":\"IN_PROGRESS\",\"statusReason\":{\"reasonCode\":\"HALF-WAY\"}}"),
		       PROBLEM_NONE);
	assert_problem(report(fixture, &command,
			      "{\"status\":\"SUCCEEDED\",\"statusReason\":{\"reasonCode\":\"OK\",\"reasonDescription\":"
			      "\"Loud \xc3\xa4\"},\"result\":{\"level\":{\"s\":\"9\"}},\"executionId\":\"x\"}"),
		       PROBLEM_NONE);
	struct remote_command read = now(fixture, &session, &command);
	assert_int_equal(read.status, COMMAND_SUCCEEDED);
	assert_true(read.is_final);
	assert_string_equal(read.reason_code, "OK");
	assert_string_equal(read.reason_text, "Loud \xc3\xa4");
	assert_string_equal(read.result, "{\"level\":{\"s\":\"9\"}}");
	assert_int_equal(read.version, 4);
	assert_problem(report(fixture, &command, "{\"status\":\"FAILED\"}"), PROBLEM_TRANSITION_NOT_ALLOWED);
	assert_problem(report(fixture, &command, "{\"status\":\"IN_PROGRESS\"}"), PROBLEM_TRANSITION_NOT_ALLOWED);
	fixture->clock.now_ms += 60000;
	expire(fixture);
	assert_status(fixture, &command, COMMAND_SUCCEEDED, true);
}

static void test_saying_the_same_again_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct remote_command command = sent(fixture, &id, "horn");
	SESSION_CLEANUP struct session session;
	static const char failed[] = "{\"status\":\"FAILED\",\"statusReason\":{\"reasonCode\":\"E-1\"},\"result\":{}}";

	assert_problem(report(fixture, &command, failed), PROBLEM_NONE);
	size_t leaves = fixture->audit.count;
	assert_problem(report(fixture, &command, failed), PROBLEM_NONE);
	assert_int_equal(fixture->audit.count, leaves);
	assert_int_equal(now(fixture, &session, &command).version, 2);
	assert_problem(report(fixture, &command, "{\"status\":\"FAILED\",\"result\":{}}"),
		       PROBLEM_TRANSITION_NOT_ALLOWED);
}

static void test_progress_is_told_so_often(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct remote_command command = sent(fixture, &id, "horn");
	char payload[128];

	for (int i = 2; i <= COMMAND_VERSIONS_MAX; i++) {
		snprintf(payload, sizeof(payload),
			 "{\"status\":\"IN_PROGRESS\",\"statusReason\":{\"reasonCode\":\"P%d\"}}", i);
		assert_problem(report(fixture, &command, payload), PROBLEM_NONE);
	}
	assert_problem(report(fixture, &command, "{\"status\":\"IN_PROGRESS\"}"), PROBLEM_TRANSITION_NOT_ALLOWED);
	assert_problem(report(fixture, &command, "{\"status\":\"SUCCEEDED\"}"), PROBLEM_NONE);
}

/* ---- time-outs ---------------------------------------------------------------------------------------- */

static void test_the_platforms_time_out_is_not_the_end(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct remote_command late = sent(fixture, &id, "late"), later = sent(fixture, &id, "later");
	SESSION_CLEANUP struct session session;

	assert_problem(report(fixture, &later, "{\"status\":\"IN_PROGRESS\"}"), PROBLEM_NONE);
	fixture->clock.now_ms += 59999;
	size_t leaves = fixture->audit.count;
	expire(fixture);
	assert_int_equal(fixture->audit.count, leaves);
	fixture->clock.now_ms += 1;
	expire(fixture);
	expire(fixture);
	assert_int_equal(fixture->audit.count, leaves + 2);
	struct remote_command read = now(fixture, &session, &late);
	assert_int_equal(read.status, COMMAND_TIMED_OUT);
	assert_false(read.is_final);
	assert_string_equal(read.reason_code, "TIMEOUT");
	assert_problem(report(fixture, &late, "{\"status\":\"IN_PROGRESS\"}"), PROBLEM_TRANSITION_NOT_ALLOWED);
	assert_problem(report(fixture, &late, "{\"status\":\"SUCCEEDED\"}"), PROBLEM_NONE);
	assert_status(fixture, &late, COMMAND_SUCCEEDED, true);
	/* The vehicle's own is. */
	assert_problem(report(fixture, &later, "{\"status\":\"TIMED_OUT\"}"), PROBLEM_NONE);
	assert_status(fixture, &later, COMMAND_TIMED_OUT, true);
	assert_problem(report(fixture, &later, "{\"status\":\"SUCCEEDED\"}"), PROBLEM_TRANSITION_NOT_ALLOWED);
}

static void test_what_waits_is_sent_again(void **state)
{
	struct fixture *fixture = *state;
	struct uuid first = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct uuid second = provisioned_vehicle(fixture, VIN_B, "tcu-2");
	struct remote_command begun = sent(fixture, &first, "begun"), waiting = sent(fixture, &first, "waiting");

	sent(fixture, &second, "elsewhere");
	assert_problem(report(fixture, &begun, "{\"status\":\"IN_PROGRESS\"}"), PROBLEM_NONE);
	fake_gateway_clear(&fixture->gateway);
	/* What was created after the vehicle had subscribed was sent to it then. */
	assert_ok(remote_commands_resend(&fixture->platform, &fixture->tenant.id, &first, START_MS - 1, NULL));
	assert_ok(remote_commands_resend_all(&fixture->platform, START_MS - 1, NULL));
	assert_int_equal(fixture->gateway.count, 0);
	assert_ok(remote_commands_resend(&fixture->platform, &fixture->tenant.id, &first, fixture->clock.now_ms, NULL));
	assert_int_equal(fixture->gateway.count, 1);
	assert_true(uuid_equal(&fixture->gateway.calls[0].command_id, &waiting.id));
	assert_string_equal(fixture->gateway.calls[0].payload, "{\"a\":1}");
	assert_ok(remote_commands_resend(&fixture->platform, &fixture->other_tenant.id, &first, fixture->clock.now_ms,
					 NULL));
	assert_int_equal(fixture->gateway.count, 1);
	assert_ok(remote_commands_resend_all(&fixture->platform, fixture->clock.now_ms, NULL));
	assert_int_equal(fixture->gateway.count, 3);
	fixture->clock.now_ms += 60000;
	assert_ok(remote_commands_resend(&fixture->platform, &fixture->tenant.id, &first, fixture->clock.now_ms, NULL));
	assert_ok(remote_commands_resend_all(&fixture->platform, fixture->clock.now_ms, NULL));
	assert_int_equal(fixture->gateway.count, 3);
}

#define MANY 1203

/* More than one turn works off, and more than may wait for a vehicle: written as they stand. */
static void test_many_are_sent_again_and_expire(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct remote_command *commands;
	size_t count;

	for (int i = 0; i < MANY; i++) {
		struct remote_command command = {.tenant = fixture->tenant.id,
						 .reference_id = id,
						 .name = "horn",
						 .payload = "1",
						 .status = COMMAND_CREATED,
						 .created_by = "admin",
						 .created_at_ms = START_MS,
						 .updated_at_ms = START_MS,
						 .expires_at_ms = START_MS + 1000 + i,
						 .version = 1};

		memcpy(command.id.bytes, &i, sizeof(i));
		commit_alone(fixture, (struct registry_write){.kind = REGISTRY_INSERT_COMMAND, .command = &command});
	}
	assert_ok(remote_commands_resend_all(&fixture->platform, START_MS, NULL));
	assert_int_equal(fake_gateway_count(&fixture->gateway, GATEWAY_TOLD_COMMAND), MANY);
	size_t leaves = fixture->audit.count;
	fixture->clock.now_ms += 1000 + MANY;
	expire(fixture);
	assert_int_equal(fixture->audit.count, leaves + MANY);
	SESSION_CLEANUP struct session session;
	session_open(&session, fixture, &fixture->admin);
	struct registry *registry = fixture->platform.registry;
	assert_ok(
		registry->ops->list_open_commands(registry, 0, INT64_MAX, 10, &session.arena, &commands, &count, NULL));
	assert_int_equal(count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_status_table),
		cmocka_unit_test(test_names_of_statuses_and_commands),
		TEST(test_what_is_not_a_command_is_refused),
		TEST(test_a_vehicle_that_cannot_come_gets_none),
		TEST(test_without_a_gateway_nothing_is_written),
		TEST(test_a_command_is_written_and_then_sent_as_it_is),
		TEST(test_a_repeated_request_finds_what_it_made),
		TEST(test_so_many_may_wait),
		TEST(test_listing_pages_newest_first),
		TEST(test_reports_that_are_none_are_refused),
		TEST(test_progress_and_end),
		TEST(test_saying_the_same_again_changes_nothing),
		TEST(test_progress_is_told_so_often),
		TEST(test_the_platforms_time_out_is_not_the_end),
		TEST(test_what_waits_is_sent_again),
		TEST(test_many_are_sent_again_and_expire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
