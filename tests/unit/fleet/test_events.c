/*
 * What happens at the gateway, through fleet_events: whole batches, as the adapter hands them over.
 */
#include "fleet/fleet.h"

#include "../vehicle/support.h"
#include "vehicle/alerts.h"
#include "vehicle/remote_commands.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

/* Remembers whose vehicles it was told of. */
struct fake_control {
	struct telemetry_control control;
	pthread_mutex_t mutex; /* the fleet's threads tell it side by side */
	enum result result;
	size_t assigned;
	struct uuid reference_id;
	struct tenant_id tenant;
};

static enum result assign_vehicle(struct telemetry_control *control, const struct uuid *reference_id,
				  const struct tenant_id *tenant, struct note *note)
{
	struct fake_control *self = (struct fake_control *)control;

	(void)note;
	if (self->result != RESULT_OK)
		return self->result;
	pthread_mutex_lock(&self->mutex);
	self->assigned++;
	self->reference_id = *reference_id;
	self->tenant = *tenant;
	pthread_mutex_unlock(&self->mutex);
	return RESULT_OK;
}

static const struct telemetry_control_ops control_ops = {.assign_vehicle = assign_vehicle};

struct house {
	struct fixture *fixture;
	struct fake_control control;
	struct fleet *fleet;
	struct uuid id;
	struct certificate_record certificate;
};

static struct certificate_record newest_certificate(struct fixture *fixture, const struct uuid *id)
{
	SESSION_CLEANUP struct session session;
	struct registry *registry = fixture->platform.registry;
	struct certificate_record *records;
	size_t count;

	session_open(&session, fixture, &fixture->admin);
	assert_ok(registry->ops->get_certificates(registry, &fixture->tenant.id, id, 1, &session.arena, &records,
						  &count, NULL));
	assert_int_equal(count, 1);
	return records[0];
}

static void open_fleet(struct house *house, size_t threads, size_t queue_max)
{
	const struct fleet_config config = {.platform = &house->fixture->platform,
					    .threads = threads,
					    .queue_max = queue_max,
					    .template_name = "vinveil"};

	assert_ok(fleet_open(&config, &house->fleet, NULL));
}

static int open_house(void **state)
{
	struct house *house = calloc(1, sizeof(*house));

	assert_non_null(house);
	pthread_mutex_init(&house->control.mutex, NULL);
	assert_int_equal(set_up((void **)&house->fixture), 0);
	house->control.control.ops = &control_ops;
	house->fixture->platform.telemetry_control = &house->control.control;
	house->id = provisioned_vehicle(house->fixture, VIN_A, "tcu-1");
	house->certificate = newest_certificate(house->fixture, &house->id);
	open_fleet(house, 4, 0);
	*state = house;
	return 0;
}

static int close_house(void **state)
{
	struct house *house = *state;

	fleet_close(house->fleet);
	assert_int_equal(tear_down((void **)&house->fixture), 0);
	free(house);
	return 0;
}

static struct gateway_event event_of(const struct house *house, enum gateway_event_kind kind)
{
	return (struct gateway_event){.kind = kind,
				      .at_ms = house->fixture->clock.now_ms,
				      .reference_id = house->id,
				      .serial = house->certificate.serial,
				      .address = "192.0.2.1"};
}

static enum result take_one(struct house *house, struct gateway_event event)
{
	return fleet_events.take(house->fleet, &event, 1);
}

static struct remote_command send_command(struct house *house, const struct uuid *id)
{
	SESSION_CLEANUP struct session session;
	struct command_input input = {.name = span_of_text("horn")};
	struct remote_command command = {0};

	session_open(&session, house->fixture, &house->fixture->admin);
	assert_problem(remote_commands_send(&session.request, id, &input, &command), PROBLEM_NONE);
	return command;
}

static enum command_status status_of(struct house *house, const struct remote_command *command)
{
	SESSION_CLEANUP struct session session;
	struct remote_command read = {0};

	session_open(&session, house->fixture, &house->fixture->admin);
	assert_problem(remote_commands_get(&session.request, &command->reference_id, &command->id, &read),
		       PROBLEM_NONE);
	return read.status;
}

static size_t told(const struct house *house, enum fake_gateway_kind kind)
{
	return fake_gateway_count(&house->fixture->gateway, kind);
}

/* ---- connecting -------------------------------------------------------------------------------------- */

static void test_a_certificate_that_nobody_was_given_is_cut(void **state)
{
	struct house *house = *state;
	struct gateway_event unknown = event_of(house, GATEWAY_VEHICLE_CONNECTED);
	struct gateway_event foreign = event_of(house, GATEWAY_VEHICLE_CONNECTED);

	unknown.serial.bytes[3] ^= 1;
	assert_ok(take_one(house, unknown));
	assert_int_equal(told(house, GATEWAY_TOLD_REVOKE), 1);
	const struct fake_gateway_call *call = fake_gateway_call(&house->fixture->gateway, GATEWAY_TOLD_REVOKE, 0);
	assert_memory_equal(&call->serial, &unknown.serial, sizeof(unknown.serial));
	assert_true(uuid_equal(&call->reference_id, &house->id));
	assert_true(call->not_after_ms > START_MS);
	foreign.reference_id.bytes[0] ^= 1; /* another name than the registry's */
	assert_ok(take_one(house, foreign));
	assert_int_equal(told(house, GATEWAY_TOLD_REVOKE), 2);
	assert_int_equal(house->control.assigned, 0);
	assert_int_equal(vehicle_now(house->fixture, &house->id).state, VEHICLE_PROVISIONED);
	/* Whatever else such a connection does is nobody's. */
	unknown.kind = GATEWAY_CLONE_SUSPECTED;
	assert_ok(take_one(house, unknown));
	assert_int_equal(house->fixture->gateway.count, 2);
}

static void test_a_revoked_certificate_is_cut(void **state)
{
	struct house *house = *state;
	struct vehicle vehicle;

	assert_problem(change_device(house->fixture, &house->id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	fake_gateway_clear(&house->fixture->gateway);
	assert_ok(take_one(house, event_of(house, GATEWAY_VEHICLE_CONNECTED)));
	assert_int_equal(told(house, GATEWAY_TOLD_REVOKE), 1);
	assert_int_equal(fake_gateway_call(&house->fixture->gateway, GATEWAY_TOLD_REVOKE, 0)->not_after_ms,
			 house->certificate.not_after_ms);
	assert_int_equal(vehicle_now(house->fixture, &house->id).state, VEHICLE_PROVISIONED);
}

static void test_the_first_connection_makes_it_active(void **state)
{
	struct house *house = *state;

	assert_ok(take_one(house, event_of(house, GATEWAY_VEHICLE_CONNECTED)));
	struct vehicle vehicle = vehicle_now(house->fixture, &house->id);
	assert_int_equal(vehicle.state, VEHICLE_ACTIVE);
	assert_int_equal(vehicle.version, 2);
	assert_int_equal(history_count(house->fixture, &house->id, HISTORY_STATE_CHANGED), 1);
	const char *leaf = fake_audit_last(&house->fixture->audit);
	assert_non_null(strstr(leaf, "\"action\":\"vehicle.connect\""));
	assert_non_null(strstr(leaf, "\"actor\":\"gateway\""));
	assert_non_null(strstr(leaf, "\"state\":\"active\""));
	assert_non_null(strstr(leaf, "\"sourceAddress\":\"192.0.2.1\""));
	size_t leaves = house->fixture->audit.count;
	for (int i = 0; i < 3; i++)
		assert_ok(take_one(house, event_of(house, GATEWAY_VEHICLE_CONNECTED)));
	assert_int_equal(vehicle_now(house->fixture, &house->id).version, 2);
	assert_int_equal(house->fixture->audit.count, leaves);
	assert_int_equal(fleet_get_counters(house->fleet)->connections, 4);
}

static struct house *interfered;
static const struct registry_ops *real_ops;

/* Another device is attached between the event's looking at the certificate and at the vehicle. */
static enum result get_vehicle_after_a_change(struct registry *registry, const struct tenant_id *tenant,
					      const struct uuid *reference_id, struct arena *arena,
					      struct vehicle *ret_vehicle, struct note *note)
{
	struct vehicle vehicle;

	registry->ops = real_ops;
	assert_problem(change_device(interfered->fixture, reference_id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	return registry->ops->get_vehicle(registry, tenant, reference_id, arena, ret_vehicle, note);
}

static void test_a_device_that_has_just_gone_makes_nothing_active(void **state)
{
	struct house *house = *state;
	struct registry *registry = house->fixture->platform.registry;
	struct registry_ops interfering = *registry->ops;

	interfered = house;
	real_ops = registry->ops;
	interfering.get_vehicle = get_vehicle_after_a_change;
	registry->ops = &interfering;
	assert_ok(take_one(house, event_of(house, GATEWAY_VEHICLE_CONNECTED)));
	assert_ptr_equal(registry->ops, real_ops); /* it came between */
	assert_int_equal(vehicle_now(house->fixture, &house->id).state, VEHICLE_PROVISIONED);
}

static void test_a_suspended_vehicle_stays_so(void **state)
{
	struct house *house = *state;

	assert_problem(set_state(house->fixture, &house->id, VEHICLE_SUSPENDED), PROBLEM_NONE);
	assert_ok(take_one(house, event_of(house, GATEWAY_VEHICLE_CONNECTED)));
	assert_int_equal(vehicle_now(house->fixture, &house->id).state, VEHICLE_SUSPENDED);
}

static void test_ingest_is_told_once_whose_it_is(void **state)
{
	struct house *house = *state;

	house->control.result = RESULT_UNAVAILABLE;
	assert_result(take_one(house, event_of(house, GATEWAY_VEHICLE_CONNECTED)), RESULT_UNAVAILABLE);
	house->control.result = RESULT_OK;
	for (int i = 0; i < 3; i++)
		assert_ok(take_one(house, event_of(house, GATEWAY_VEHICLE_CONNECTED)));
	assert_int_equal(house->control.assigned, 1);
	assert_true(uuid_equal(&house->control.reference_id, &house->id));
	assert_string_equal(house->control.tenant.text, "demo");
	house->fixture->platform.telemetry_control = NULL;
	assert_ok(take_one(house, event_of(house, GATEWAY_VEHICLE_CONNECTED)));
}

/* ---- commands ---------------------------------------------------------------------------------------- */

static void test_a_vehicle_that_is_ready_gets_what_waits(void **state)
{
	struct house *house = *state;
	struct remote_command command = send_command(house, &house->id);

	fake_gateway_clear(&house->fixture->gateway);
	assert_ok(take_one(house, event_of(house, GATEWAY_VEHICLE_READY)));
	assert_int_equal(house->fixture->gateway.count, 1);
	assert_true(uuid_equal(&house->fixture->gateway.calls[0].command_id, &command.id));
}

static const char *last_answer(struct house *house, const struct remote_command *command, const char *kind)
{
	char topic[GATEWAY_TOPIC_SIZE], id[UUID_TEXT_SIZE], command_id[UUID_TEXT_SIZE];
	const struct fake_gateway *gateway = &house->fixture->gateway;

	uuid_format(&house->id, id);
	uuid_format(&command->id, command_id);
	snprintf(topic, sizeof(topic), "$aws/commands/things/%s/executions/%s/response/%s/json", id, command_id, kind);
	assert_true(gateway->count > 0);
	assert_int_equal(gateway->calls[gateway->count - 1].kind, GATEWAY_TOLD_PUBLISH);
	assert_string_equal(gateway->calls[gateway->count - 1].topic, topic);
	return gateway->calls[gateway->count - 1].payload;
}

static enum result respond(struct house *house, const struct remote_command *command, const char *payload)
{
	struct gateway_event event = event_of(house, GATEWAY_COMMAND_RESPONSE);

	event.command_id = command->id;
	event.payload = span_of_text(payload);
	return take_one(house, event);
}

static void test_a_report_that_cannot_be_is_rejected(void **state)
{
	struct house *house = *state;
	struct remote_command command = send_command(house, &house->id), unknown = {.id = {{1}}};
	size_t leaves = house->fixture->audit.count;
	static const struct {
		const char *payload, *error;
	} cases[] = {
		{"{", "\"error\":\"InvalidJson\""},
		{"{\"status\":\"DONE\"}", "\"error\":\"InvalidRequest\""},
		{"{\"status\":\"SUCCEEDED\",\"result\":{\"vin\":\"" VIN_A "\"}}", "\"error\":\"InvalidRequest\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_ok(respond(house, &command, cases[i].payload));
		const char *payload = last_answer(house, &command, "rejected");
		assert_non_null(strstr(payload, cases[i].error));
		assert_non_null(strstr(payload, "\"errorMessage\":\""));
		assert_non_null(strstr(payload, "\"executionId\":\""));
		assert_null(strstr(payload, VIN_A));
	}
	assert_ok(respond(house, &unknown, "{\"status\":\"SUCCEEDED\"}"));
	assert_non_null(strstr(last_answer(house, &unknown, "rejected"), "ResourceNotFound"));
	assert_int_equal(status_of(house, &command), COMMAND_CREATED);
	assert_ok(respond(house, &command, "{\"status\":\"REJECTED\"}"));
	assert_ok(respond(house, &command, "{\"status\":\"SUCCEEDED\"}"));
	assert_non_null(strstr(last_answer(house, &command, "rejected"), "InvalidStateTransition"));
	assert_int_equal(status_of(house, &command), COMMAND_REJECTED);
	assert_int_equal(house->fixture->audit.count, leaves + 1);
}

static void test_a_report_moves_the_status(void **state)
{
	struct house *house = *state;
	struct remote_command command = send_command(house, &house->id);

	assert_ok(respond(house, &command, "{\"status\":\"IN_PROGRESS\"}"));
	assert_non_null(strstr(last_answer(house, &command, "accepted"), "{\"executionId\":\""));
	assert_int_equal(status_of(house, &command), COMMAND_IN_PROGRESS);
	/* twice: the adapter offers a batch again when part of it failed */
	for (int i = 0; i < 2; i++) {
		assert_ok(respond(house, &command, "{\"status\":\"SUCCEEDED\"}"));
		last_answer(house, &command, "accepted");
	}
	assert_int_equal(status_of(house, &command), COMMAND_SUCCEEDED);
	assert_non_null(strstr(fake_audit_last(&house->fixture->audit), "\"action\":\"command.report\""));
	assert_int_equal(fleet_get_counters(house->fleet)->command_responses, 3);
}

static void test_what_was_said_before_the_revocation_counts(void **state)
{
	struct house *house = *state;
	struct remote_command first = send_command(house, &house->id), second = send_command(house, &house->id);
	struct gateway_event event = event_of(house, GATEWAY_COMMAND_RESPONSE);
	struct vehicle vehicle;

	house->fixture->clock.now_ms += 1000;
	assert_problem(change_device(house->fixture, &house->id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	event.payload = span_of_text("{\"status\":\"SUCCEEDED\"}");
	event.command_id = first.id;
	assert_ok(take_one(house, event));
	assert_int_equal(status_of(house, &first), COMMAND_SUCCEEDED);
	event.command_id = second.id;
	event.at_ms += 1000;
	assert_ok(take_one(house, event));
	assert_int_equal(status_of(house, &second), COMMAND_CREATED);
}

/* ---- cloned keys ------------------------------------------------------------------------------------- */

static size_t alert_count(struct house *house, char ret_detail[static 256])
{
	SESSION_CLEANUP struct session session;
	struct alert_page page;

	session_open(&session, house->fixture, &house->fixture->admin);
	assert_problem(alerts_list(&session.request, &(struct alert_query){0}, &page), PROBLEM_NONE);
	snprintf(ret_detail, 256, "%s", page.count > 0 ? page.alerts[0].detail : "");
	return page.count;
}

static void test_a_cloned_key_raises_one_alert(void **state)
{
	struct house *house = *state;
	struct gateway_event event = event_of(house, GATEWAY_CLONE_SUSPECTED);
	char detail[256];

	snprintf(event.other_address, sizeof(event.other_address), "2001:db8::7");
	assert_ok(take_one(house, event));
	assert_non_null(strstr(fake_audit_last(&house->fixture->audit), "\"subject\":\"cloned-key\""));
	size_t leaves = house->fixture->audit.count;
	assert_ok(take_one(house, event)); /* offered again */
	event.at_ms += ALERT_INTERVAL_MS - 1;
	assert_ok(take_one(house, event));
	assert_int_equal(alert_count(house, detail), 1);
	assert_non_null(strstr(detail, "192.0.2.1"));
	assert_non_null(strstr(detail, "2001:db8::7"));
	assert_int_equal(house->fixture->audit.count, leaves);
	assert_int_equal(fleet_get_counters(house->fleet)->cloned_keys, 1);
	event.at_ms += 1;
	assert_ok(take_one(house, event));
	assert_int_equal(alert_count(house, detail), 2);
}

/* ---- batches ------------------------------------------------------------------------------------------ */

static enum result commit_fails(struct registry *registry, const struct change_set *change,
				enum registry_conflict *ret_conflict, struct note *note)
{
	(void)registry;
	(void)change;
	(void)ret_conflict;
	(void)note;
	return RESULT_UNAVAILABLE;
}

static void test_a_batch_that_failed_is_offered_again(void **state)
{
	struct house *house = *state;
	struct registry *registry = house->fixture->platform.registry;
	const struct registry_ops *real = registry->ops;
	struct registry_ops failing = *real;
	struct remote_command command = send_command(house, &house->id);
	struct gateway_event events[] = {
		event_of(house, GATEWAY_VEHICLE_CONNECTED), event_of(house, GATEWAY_VEHICLE_READY),
		event_of(house, GATEWAY_COMMAND_RESPONSE), event_of(house, GATEWAY_VEHICLE_DISCONNECTED)};

	events[2].command_id = command.id;
	events[2].payload = span_of_text("{\"status\":\"FAILED\"}");
	failing.commit = commit_fails;
	registry->ops = &failing;
	fake_gateway_clear(&house->fixture->gateway);
	assert_result(fleet_events.take(house->fleet, events, 4), RESULT_UNAVAILABLE);
	assert_int_equal(house->fixture->gateway.count, 0); /* the vehicle's later events wait for its first */
	registry->ops = real;
	assert_ok(fleet_events.take(house->fleet, events, 4));
	assert_int_equal(status_of(house, &command), COMMAND_FAILED);
	assert_int_equal(vehicle_now(house->fixture, &house->id).state, VEHICLE_ACTIVE);
	assert_ok(fleet_events.take(house->fleet, events, 0));
}

#define MANY 40

/* Of each vehicle: connected, then progress, then the end; all of them mixed, and in the order of each. */
static void test_events_of_a_vehicle_stay_in_order(void **state)
{
	struct house *house = *state;
	static const char *const payloads[] = {"{\"status\":\"IN_PROGRESS\"}", "{\"status\":\"SUCCEEDED\"}"};
	struct remote_command commands[MANY];
	struct gateway_event events[3 * MANY];
	static const char digits[] = "0123456789";
	struct house each = *house;

	for (size_t i = 0; i < MANY; i++) {
		char vin[] = "1M8GDM9AXKP040000", device[16];

		vin[15] = digits[i / 10];
		vin[16] = digits[i % 10];
		snprintf(device, sizeof(device), "many-%zu", i);
		each.id = provisioned_vehicle(house->fixture, vin, device);
		each.certificate = newest_certificate(house->fixture, &each.id);
		commands[i] = send_command(house, &each.id);
		for (size_t step = 0; step < 3; step++) {
			events[step * MANY + i] =
				event_of(&each, step == 0 ? GATEWAY_VEHICLE_CONNECTED : GATEWAY_COMMAND_RESPONSE);
			events[step * MANY + i].command_id = commands[i].id;
			if (step > 0)
				events[step * MANY + i].payload = span_of_text(payloads[step - 1]);
		}
	}
	assert_ok(fleet_events.take(house->fleet, events, 3 * MANY));
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(status_of(house, &commands[i]), COMMAND_SUCCEEDED);
		assert_int_equal(vehicle_now(house->fixture, &commands[i].reference_id).state, VEHICLE_ACTIVE);
	}
	for (size_t i = 0; i < house->fixture->gateway.count; i++)
		assert_null(strstr(house->fixture->gateway.calls[i].topic, "rejected"));
}

/* ---- claims' messages -------------------------------------------------------------------------------- */

static sem_t asked, answer_now;

static enum result find_claim_slowly(struct registry *registry, const struct serial *serial, struct claim *ret_claim,
				     struct note *note)
{
	(void)registry;
	(void)serial;
	(void)ret_claim;
	(void)note;
	sem_post(&asked);
	sem_wait(&answer_now);
	return RESULT_ABSENT;
}

static void test_claims_beyond_the_queue_are_rejected_at_once(void **state)
{
	struct house *house = *state;
	struct registry *registry = house->fixture->platform.registry;
	const struct registry_ops *real = registry->ops;
	struct registry_ops slow = *real;
	struct gateway_claim_message message = {.request = GATEWAY_PROVISION,
						.caller = {.client_id = "unit-7", .connection = 9},
						.template_name = "vinveil",
						.payload = span_of_text("{\"parameters\":{}}")};

	fleet_close(house->fleet);
	open_fleet(house, 1, 1);
	slow.find_claim = find_claim_slowly;
	registry->ops = &slow;
	sem_init(&asked, 0, 0);
	sem_init(&answer_now, 0, 0);
	fleet_events.take_claim(house->fleet, &message);
	sem_wait(&asked); /* the one thread has it */
	fleet_events.take_claim(house->fleet, &message);
	assert_int_equal(house->fixture->gateway.count, 0);
	fleet_events.take_claim(house->fleet, &message);
	const struct fake_gateway_call *call = fake_gateway_call(&house->fixture->gateway, GATEWAY_TOLD_ANSWER, 0);
	assert_non_null(call);
	assert_string_equal(call->topic, "$aws/provisioning-templates/vinveil/provision/json/rejected");
	assert_int_equal(call->caller.connection, 9);
	assert_non_null(strstr(call->payload, "\"statusCode\":429"));
	sem_post(&answer_now);
	sem_post(&answer_now);
	fleet_close(house->fleet); /* finishes what is queued */
	house->fleet = NULL;
	registry->ops = real;
	assert_int_equal(told(house, GATEWAY_TOLD_ANSWER), 3);
	sem_destroy(&asked);
	sem_destroy(&answer_now);
}

struct taking {
	struct house *house;
	sem_t is_done;
};

static void *take_from_two_vehicles(void *context)
{
	struct taking *taking = context;
	struct gateway_event events[] = {event_of(taking->house, GATEWAY_VEHICLE_DISCONNECTED),
					 event_of(taking->house, GATEWAY_VEHICLE_DISCONNECTED)};

	/* One for each of two threads. */
	events[0].reference_id.bytes[UUID_SIZE - 1] = 0;
	events[1].reference_id.bytes[UUID_SIZE - 1] = 1;
	assert_ok(fleet_events.take(taking->house->fleet, events, 2));
	sem_post(&taking->is_done);
	return NULL;
}

/* Whoever has a claim's key may ask as often as he likes; what vehicles say must not stand behind that. */
static void test_events_do_not_wait_for_claims(void **state)
{
	struct house *house = *state;
	struct registry *registry = house->fixture->platform.registry;
	const struct registry_ops *real = registry->ops;
	struct registry_ops slow = *real;
	struct gateway_claim_message message = {.request = GATEWAY_CREATE_FROM_CSR, .payload = span_of_text("{}")};
	struct taking taking = {.house = house};
	struct timespec until;
	pthread_t thread;

	slow.find_claim = find_claim_slowly;
	registry->ops = &slow;
	sem_init(&asked, 0, 0);
	sem_init(&answer_now, 0, 0);
	sem_init(&taking.is_done, 0, 0);
	for (int i = 0; i < 8; i++) /* twice as many as there are threads */
		fleet_events.take_claim(house->fleet, &message);
	assert_int_equal(pthread_create(&thread, NULL, take_from_two_vehicles, &taking), 0);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	bool is_done = sem_timedwait(&taking.is_done, &until) == 0;
	for (int i = 0; i < 8; i++)
		sem_post(&answer_now);
	pthread_join(thread, NULL);
	assert_true(is_done);
	fleet_close(house->fleet);
	house->fleet = NULL;
	registry->ops = real;
	sem_destroy(&asked);
	sem_destroy(&answer_now);
	sem_destroy(&taking.is_done);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_house, close_house)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_a_certificate_that_nobody_was_given_is_cut),
		TEST(test_a_revoked_certificate_is_cut),
		TEST(test_the_first_connection_makes_it_active),
		TEST(test_a_device_that_has_just_gone_makes_nothing_active),
		TEST(test_a_suspended_vehicle_stays_so),
		TEST(test_ingest_is_told_once_whose_it_is),
		TEST(test_a_vehicle_that_is_ready_gets_what_waits),
		TEST(test_a_report_that_cannot_be_is_rejected),
		TEST(test_a_report_moves_the_status),
		TEST(test_what_was_said_before_the_revocation_counts),
		TEST(test_a_cloned_key_raises_one_alert),
		TEST(test_a_batch_that_failed_is_offered_again),
		TEST(test_events_of_a_vehicle_stay_in_order),
		TEST(test_claims_beyond_the_queue_are_rejected_at_once),
		TEST(test_events_do_not_wait_for_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
