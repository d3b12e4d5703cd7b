/* What vehicles say comes to the spools, and what the platform says comes to them. */
#include "tests/contract/gateway/client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define VIN "WVWZZZ1JZXW000001"

static struct fixture fixture;
static struct credential vehicle, other;
static struct uuid vehicle_id, other_id;
static char signals[GATEWAY_TOPIC_SIZE];

static int open_with(const struct fixture_options *options)
{
	fixture_open(&fixture, options);
	make_vehicle(&fixture, &vehicle, &vehicle_id);
	make_vehicle(&fixture, &other, &other_id);
	snprintf(signals, sizeof(signals), "vehicles/%s/signals", vehicle.name);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return open_with(NULL);
}

/* Slow, so that even a machine that is busy sends faster than that. */
#define LIMITED_PER_SECOND 2
#define LIMITED_BURST	   40

static int setup_limited(void **state)
{
	(void)state;
	return open_with(&(struct fixture_options){.per_second = LIMITED_PER_SECOND, .burst = LIMITED_BURST});
}

static int setup_small(void **state)
{
	(void)state;
	return open_with(&(struct fixture_options){.spool_mib = 48, .per_second = 100000, .burst = 100000});
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&fixture);
	return 0;
}

static const char *own(const char *prefix, const char *suffix)
{
	static char text[GATEWAY_TOPIC_SIZE];
	snprintf(text, sizeof(text), "%s%s%s", prefix, vehicle.name, suffix);
	return text;
}

static bool keeps(struct mqtt_client *client, const char *topic, const char *payload)
{
	return client_publish(client, topic, payload, false);
}

static void spools_telemetry_before_it_acknowledges(void **state)
{
	struct mqtt_client client;
	(void)state;
	client_enter(&client, &fixture, &vehicle, &(struct client_options){.version = MQTT_PROTOCOL_V5});
	for (int i = 0; i < 20; i++) {
		char payload[64];
		snprintf(payload, sizeof(payload), "{\"number\":%d}", i);
		assert_true(keeps(&client, signals, payload));
		assert_int_equal(client.publish_reason, 0x10); /* nobody subscribes, as is normal here */
		assert_int_equal(count_telemetry(&fixture, &vehicle_id, payload), 1);
	}
	assert_true(keeps(&client, own("$aws/iotfleetwise/vehicles/", "/signals"),
			  "\n\x03"
			  "abc"));
	assert_int_equal(count_telemetry(&fixture, &vehicle_id,
					 "\n\x03"
					 "abc"),
			 1);
	client_close(&client);
}

static void masks_vins(void **state)
{
	struct mqtt_client client;
	(void)state;
	client_enter(&client, &fixture, &vehicle, NULL);
	assert_true(keeps(&client, signals, "{\"one\":\"" VIN "\"}"));
	assert_true(keeps(&client, own("$aws/iotfleetwise/vehicles/", "/signals"), "two\x22\x11" VIN "2x"));
	assert_true(keeps(&client, own("$aws/iotfleetwise/vehicles/", "/checkins"), "\n\x11" VIN));
	assert_true(keeps(
		&client, own("$aws/commands/things/", "/executions/8f7f3b2e-0c7a-4c58-9d59-0a4a5b9d8f11/response/json"),
		"{\"status\":\"SUCCEEDED\",\"vin\":\"" VIN "\"}"));
	client_close(&client);
	assert_int_equal(count_telemetry(&fixture, &vehicle_id, VIN), 0);
	assert_int_equal(count_telemetry(&fixture, &vehicle_id, "{\"one\":\"XXXXXXXXXXXXXXXXX\"}"), 1);
	assert_int_equal(count_telemetry(&fixture, &vehicle_id,
					 "two\x22\x11"
					 "XXXXXXXXXXXXXXXXX"
					 "2x"),
			 1);
	AWAIT(count_events(&fixture, GATEWAY_COMMAND_RESPONSE, &vehicle_id) > 0);
	assert_null(strstr(last_event(&fixture, GATEWAY_COMMAND_RESPONSE, &vehicle_id).payload, VIN));
	assert_null(strstr(last_event(&fixture, GATEWAY_CHECKIN, &vehicle_id).payload, VIN));
	struct plugin_counters counters = {0};
	AWAIT(gateway_mosquitto_counters(fixture.gateway, &counters) == RESULT_OK && counters.masked >= 4);
}

static void refuses_what_is_too_large(void **state)
{
	struct mqtt_client client;
	char *large = malloc(GATEWAY_PAYLOAD_MAX + 2);
	(void)state;
	assert_non_null(large);
	memset(large, 'a', GATEWAY_PAYLOAD_MAX + 1);
	large[GATEWAY_PAYLOAD_MAX + 1] = '\0';
	client_enter(&client, &fixture, &vehicle, &(struct client_options){.version = MQTT_PROTOCOL_V5});
	assert_true(keeps(&client, signals, large));
	assert_true(client.publish_reason >= 0x80);
	client_close(&client);
	client_enter(&client, &fixture, &vehicle, NULL);
	assert_false(keeps(&client, signals, large));
	client_close(&client);
	large[GATEWAY_PAYLOAD_MAX] = '\0';
	client_enter(&client, &fixture, &vehicle, NULL);
	assert_true(keeps(&client, signals, large));
	client_close(&client);
	free(large);
}

static void tells_what_vehicles_do(void **state)
{
	static const char command[] = "8f7f3b2e-0c7a-4c58-9d59-0a4a5b9d8f11";
	struct mqtt_client client;
	char topic[GATEWAY_TOPIC_SIZE];
	struct uuid command_id;
	(void)state;
	client_enter(&client, &fixture, &vehicle, NULL);
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_CONNECTED, &vehicle_id) == 1);
	struct kept_event kept = last_event(&fixture, GATEWAY_VEHICLE_CONNECTED, &vehicle_id);
	assert_memory_equal(&kept.event.serial, &vehicle.serial, SERIAL_SIZE);
	assert_string_equal(kept.event.address, "127.0.0.1");
	assert_true(kept.event.at_ms > 1700000000000);

	assert_int_equal(client_subscribe(&client, own("vehicles/", "/#")), 1);
	assert_true(keeps(&client, own("$aws/iotfleetwise/vehicles/", "/checkins"), "checkin"));
	AWAIT(count_events(&fixture, GATEWAY_CHECKIN, &vehicle_id) == 1);
	assert_int_equal(count_events(&fixture, GATEWAY_VEHICLE_READY, &vehicle_id), 0);
	assert_int_equal(client_subscribe(&client, own("$aws/commands/things/", "/executions/+/request/json")), 1);
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_READY, &vehicle_id) == 1);

	snprintf(topic, sizeof(topic), "$aws/commands/things/%s/executions/%s/response/json", vehicle.name, command);
	assert_true(keeps(&client, topic, "{\"status\":\"SUCCEEDED\"}"));
	AWAIT(count_events(&fixture, GATEWAY_COMMAND_RESPONSE, &vehicle_id) == 1);
	kept = last_event(&fixture, GATEWAY_COMMAND_RESPONSE, &vehicle_id);
	assert_string_equal(kept.payload, "{\"status\":\"SUCCEEDED\"}");
	assert_int_equal(uuid_parse(span_of_text(command), &command_id), RESULT_OK);
	assert_true(uuid_equal(&kept.event.command_id, &command_id));
	client_close(&client);
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_DISCONNECTED, &vehicle_id) == 1);
}

static void offers_events_again_until_they_are_taken(void **state)
{
	(void)state;
	pthread_mutex_lock(&fixture.handler.mutex);
	fixture.handler.failures_left = 3;
	pthread_mutex_unlock(&fixture.handler.mutex);
	assert_true(is_admitted(&fixture, &vehicle, NULL));
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_DISCONNECTED, &vehicle_id) == 1);
	assert_int_equal(count_events(&fixture, GATEWAY_VEHICLE_CONNECTED, &vehicle_id), 1);
	assert_int_equal(fixture.handler.failures, 3);
	/* And over an end of vinveild's, too. */
	gateway_stop(&fixture);
	assert_true(is_admitted(&fixture, &vehicle, NULL));
	gateway_start(&fixture);
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_DISCONNECTED, &vehicle_id) == 2);
	assert_int_equal(count_events(&fixture, GATEWAY_VEHICLE_CONNECTED, &vehicle_id), 2);
}

static void suspects_a_clone(void **state)
{
	struct mqtt_client first;
	struct mqtt_client second;
	struct mqtt_client third;
	(void)state;
	client_enter(&first, &fixture, &vehicle, NULL);
	client_enter(&second, &fixture, &vehicle, NULL); /* the same vehicle, faster than its old connection ended */
	CLIENT_AWAIT(&first, first.is_down);
	client_enter(&third, &fixture, &vehicle, &(struct client_options){.from = "127.0.0.2"});
	CLIENT_AWAIT(&second, second.is_down);
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_CONNECTED, &vehicle_id) == 3);
	assert_int_equal(count_events(&fixture, GATEWAY_CLONE_SUSPECTED, &vehicle_id), 1);
	struct kept_event kept = last_event(&fixture, GATEWAY_CLONE_SUSPECTED, &vehicle_id);
	assert_string_equal(kept.event.address, "127.0.0.2");
	assert_string_equal(kept.event.other_address, "127.0.0.1");
	assert_memory_equal(&kept.event.serial, &vehicle.serial, SERIAL_SIZE);
	/* It was followed at once by the next: to the platform the vehicle was never gone. */
	assert_int_equal(count_events(&fixture, GATEWAY_VEHICLE_DISCONNECTED, &vehicle_id), 0);
	client_close(&first);
	client_close(&second);
	client_close(&third);
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_DISCONNECTED, &vehicle_id) == 1);
}

static void send(const char *payload)
{
	struct uuid command_id = random_uuid();
	fixture.gateway->ops->send_command(fixture.gateway, &vehicle_id, &command_id, span_of_text(payload));
}

static void mark(const char *text)
{
	fixture.gateway->ops->publish(fixture.gateway, &vehicle_id, "mark", span_of_text(text));
}

static void delivers_commands_to_who_is_ready(void **state)
{
	struct mqtt_client client;
	struct mqtt_client bystander;
	(void)state;
	client_enter(&client, &fixture, &vehicle, NULL);
	client_enter(&bystander, &fixture, &other, NULL);
	send("not yet");
	mark("first");
	CLIENT_AWAIT(&client, client.received_count > 0);
	assert_string_equal(client.received[0].payload, "first");
	assert_int_equal(client.received[0].qos, 1);
	assert_int_equal(client_subscribe(&client, own("$aws/commands/things/", "/executions/+/request/json")), 1);
	send("now");
	CLIENT_AWAIT(&client, client.received_count > 1);
	assert_string_equal(client.received[1].payload, "now");
	assert_int_equal(client.received[1].qos, 1);
	assert_memory_equal(client.received[1].topic, own("$aws/commands/things/", "/executions/"), 68);
	mosquitto_unsubscribe(client.mosquitto, NULL, own("$aws/commands/things/", "/executions/+/request/json"));
	assert_true(keeps(&client, signals, "{}"));
	send("no more");
	mark("last");
	CLIENT_AWAIT(&client, client.received_count > 2);
	assert_string_equal(client.received[2].payload, "last");
	assert_int_equal(bystander.received_count, 0);
	client_close(&client);
	client_close(&bystander);
}

static void a_resumed_session_is_ready(void **state)
{
	const struct client_options keeping = {.keeps_session = true};
	struct mqtt_client client;
	(void)state;
	client_enter(&client, &fixture, &vehicle, &keeping);
	assert_int_equal(client_subscribe(&client, own("$aws/commands/things/", "/#")), 1);
	client_close(&client);
	client_enter(&client, &fixture, &vehicle, &keeping);
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_READY, &vehicle_id) == 2);
	send("again");
	CLIENT_AWAIT(&client, client.received_count > 0);
	assert_string_equal(client.received[0].payload, "again");
	client_close(&client);
	client_enter(&client, &fixture, &vehicle, NULL); /* anew */
	send("lost");
	mark("last");
	CLIENT_AWAIT(&client, client.received_count > 0);
	assert_string_equal(client.received[0].payload, "last");
	client_close(&client);
	client_enter(&client, &fixture, &vehicle, &keeping); /* to a session that is no more */
	mark("end");
	CLIENT_AWAIT(&client, client.received_count > 0);
	assert_int_equal(count_events(&fixture, GATEWAY_VEHICLE_READY, &vehicle_id), 2);
	client_close(&client);
}

/* Until it is disconnected: how many messages were taken. */
static unsigned flood(void)
{
	struct mqtt_client client;
	unsigned sent = 0;
	client_enter(&client, &fixture, &vehicle, NULL);
	while (sent < 200 && keeps(&client, signals, "{\"flood\":1}"))
		sent++;
	assert_true(client.is_down);
	client_close(&client);
	return sent;
}

static void limits_a_flood_and_nobody_else(void **state)
{
	struct mqtt_client bystander;
	char topic[GATEWAY_TOPIC_SIZE];
	int64_t began_ms = now_ms();
	(void)state;
	client_enter(&bystander, &fixture, &other, NULL);
	snprintf(topic, sizeof(topic), "vehicles/%s/signals", other.name);
	unsigned sent = flood();
	assert_true(sent >= LIMITED_BURST);
	/* Coming back at once buys it nothing. */
	for (int i = 0; i < 3; i++)
		if (is_admitted(&fixture, &vehicle, NULL))
			sent += flood();
	assert_true(sent <= LIMITED_BURST + 1 + LIMITED_PER_SECOND * (now_ms() - began_ms) / 1000);
	assert_int_equal(count_telemetry(&fixture, &vehicle_id, "flood"), sent);
	for (int i = 0; i < 10; i++)
		assert_true(keeps(&bystander, topic, "{}"));
	AWAIT(is_admitted(&fixture, &vehicle, NULL));
	client_close(&bystander);
}

/* Frees what has been read, as vinveil-ingest does. */
static void drain_telemetry(void)
{
	char path[PATH_SIZE];
	struct spool_reader *reader = NULL;
	struct spool_record record;
	struct spool_position after = {0};
	snprintf(path, sizeof(path), "%s/telemetry", fixture.directory);
	assert_int_equal(spool_reader_open(path, NULL, &reader, NULL), RESULT_OK);
	while (spool_read(reader, &record, &after, NULL) == RESULT_OK)
		continue;
	assert_int_equal(spool_mark(reader, &after, NULL), RESULT_OK);
	spool_reader_close(reader);
}

/* False, so that it stands in a condition that is waited for. */
static bool come_back(struct mqtt_client *client)
{
	if (client->is_down && mosquitto_reconnect(client->mosquitto) == MOSQ_ERR_SUCCESS)
		client->is_down = false;
	return false;
}

static void a_full_spool_refuses_and_takes_it_later(void **state)
{
	struct mqtt_client client;
	unsigned kept = 0;
	char *payload = malloc(GATEWAY_PAYLOAD_MAX + 1);
	(void)state;
	assert_non_null(payload);
	memset(payload, '-', GATEWAY_PAYLOAD_MAX);
	payload[GATEWAY_PAYLOAD_MAX] = '\0';
	client_enter(&client, &fixture, &vehicle, NULL);
	while (kept < 1000 && keeps(&client, signals, payload))
		kept++;
	assert_true(client.is_down);
	assert_in_range(kept, 250, 400); /* of 48 MiB */
	assert_int_equal(count_telemetry(&fixture, &vehicle_id, "--------"), kept);
	/* libmosquitto keeps what was not acknowledged, and sends it again as often as it is connected. */
	drain_telemetry();
	unsigned before = client.acknowledged;
	CLIENT_AWAIT(&client, client.acknowledged > before || come_back(&client));
	client_close(&client);
	free(payload);
	assert_true(count_telemetry(&fixture, &vehicle_id, "--------") >= 1);
}

/* As for new certificates of its own, or a log that was moved away: the broker asks about everybody anew. */
static void a_reload_changes_nothing(void **state)
{
	const struct client_options keeping = {.keeps_session = true};
	struct mqtt_client client;
	struct mqtt_client sleeper;
	struct credential third;
	struct uuid third_id;
	(void)state;
	make_vehicle(&fixture, &third, &third_id);
	client_enter(&sleeper, &fixture, &third, &keeping);
	char filter[GATEWAY_TOPIC_SIZE];
	snprintf(filter, sizeof(filter), "$aws/commands/things/%s/#", third.name);
	assert_int_equal(client_subscribe(&sleeper, filter), 1);
	client_close(&sleeper);
	client_enter(&client, &fixture, &vehicle, &(struct client_options){.user_name = VIN});
	for (int i = 0; i < 20; i++) {
		assert_int_equal(kill(fixture.broker, SIGHUP), 0);
		assert_true(keeps(&client, signals, "{\"reload\":1}"));
		assert_false(is_admitted(&fixture, &vehicle, &(struct client_options){.client_id = other.name}));
	}
	assert_int_equal(count_telemetry(&fixture, &vehicle_id, "reload"), 20);
	assert_true(is_admitted(&fixture, &other, NULL));
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_DISCONNECTED, &other_id) == 1);
	assert_int_equal(count_events(&fixture, GATEWAY_VEHICLE_CONNECTED, &vehicle_id), 1);
	assert_int_equal(count_events(&fixture, GATEWAY_VEHICLE_DISCONNECTED, &vehicle_id), 0);
	/* The session that slept is still there. */
	client_enter(&sleeper, &fixture, &third, &keeping);
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_READY, &third_id) == 2);
	client_close(&sleeper);
	deny(&fixture, &vehicle.serial, &vehicle_id);
	CLIENT_AWAIT(&client, client.is_down);
	client_close(&client);
	assert_false(is_admitted(&fixture, &vehicle, NULL));
}

static void the_broker_ends_in_peace(void **state)
{
	struct mqtt_client client;
	int status = -1;
	(void)state;
	client_enter(&client, &fixture, &vehicle, NULL);
	assert_true(keeps(&client, signals, "{\"last\":1}"));
	assert_int_equal(kill(fixture.broker, SIGTERM), 0);
	assert_int_equal(waitpid(fixture.broker, &status, 0), fixture.broker);
	fixture.broker = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	CLIENT_AWAIT(&client, client.is_down);
	client_close(&client);
	assert_int_equal(count_telemetry(&fixture, &vehicle_id, "last"), 1);
	broker_start(&fixture);
	AWAIT(is_admitted(&fixture, &vehicle, NULL));
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(spools_telemetry_before_it_acknowledges, setup, teardown),
		cmocka_unit_test_setup_teardown(masks_vins, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_what_is_too_large, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_what_vehicles_do, setup, teardown),
		cmocka_unit_test_setup_teardown(offers_events_again_until_they_are_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(suspects_a_clone, setup, teardown),
		cmocka_unit_test_setup_teardown(delivers_commands_to_who_is_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(a_resumed_session_is_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reload_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(the_broker_ends_in_peace, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_a_flood_and_nobody_else, setup_limited, teardown),
		cmocka_unit_test_setup_teardown(a_full_spool_refuses_and_takes_it_later, setup_small, teardown),
	};
	if (!begin_program(argument_count, arguments))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
